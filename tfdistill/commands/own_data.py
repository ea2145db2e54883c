"""Subcommands on a user's own table of impressions."""

# ruff: noqa: UP007, UP045 - typer reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, get_type_hints

import typer
from rich.console import Console

from tfdistill.commands.places import new_file, new_folder
from tfdistill.files import locked

if TYPE_CHECKING:
    from tfdistill.study.impressions import Impressions

__all__ = ["distill", "evaluate", "score_teacher", "train_teacher"]

Epochs = Annotated[int, typer.Option(min=1, help="Passes over the requests.")]


def _impressions(
    table: Annotated[
        Path, typer.Argument(help="Parquet or CSV file, one row per impression.")
    ],
    spec: Annotated[Path, typer.Option(help="JSON file of the feature spec.")],
    request: Annotated[str, typer.Option(help="Column that names the request.")],
    label: Annotated[str, typer.Option(help="Column of the labels, 0 or 1.")],
    user: Annotated[
        Optional[str],
        typer.Option(help="Column of the user, for GAUC; else each request counts."),
    ] = None,
    time: Annotated[
        Optional[str],
        typer.Option(
            help="Column of the time: the last tenth of the requests is then the test "
            "part and the one before it validation. Left out, the split is random."
        ),
    ] = None,
    time_format: Annotated[
        Optional[str],
        typer.Option(
            help="Format of a time that is text but not ISO 8601, such as "
            "'%d/%m/%Y %H:%M'."
        ),
    ] = None,
    list_size: Annotated[
        Optional[int],
        typer.Option(
            min=1, help="Impressions of a request to keep, the first ones; else all."
        ),
    ] = None,
    separator: Annotated[
        Optional[str],
        typer.Option(
            help="Stands between the fields of a CSV file; else it is found out, among "
            "comma, semicolon and tab."
        ),
    ] = None,
) -> Impressions:
    """Makes the table that a command is about of the options that describe it."""
    from tfdistill.spec import FeatureSpec
    from tfdistill.study.impressions import Impressions

    return Impressions(
        table,
        FeatureSpec.load(spec),
        request,
        label,
        user,
        time,
        time_format,
        list_size,
        separator,
    )


def _of_a_table(command: Callable[..., list[object]]) -> Callable[..., None]:
    """Gives a command the options of `_impressions` in place of its argument `data`.

    The command returns the words of the next step, which is printed with these options;
    none where it is the last one.
    """
    shared, own = _parameters(_impressions), _parameters(command)[1:]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        about = {p.name: given.pop(p.name) for p in shared}
        then = command(_impressions(**about), **given)
        if then:
            words = ["tfdistill", then[0], about.pop("table")]
            for name, value in about.items():
                option = "--" + name.replace("_", "-")
                words += [] if value is None else [option, value]
            typer.echo("Next: " + shlex.join(map(str, [*words, *then[1:]])))

    run.__signature__ = inspect.Signature(shared + own)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in shared + own}
    return run


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function; typer wants their annotations evaluated."""
    hints = get_type_hints(
        function, localns={"Impressions": object}, include_extras=True
    )
    return [
        p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name])
        for p in inspect.signature(function).parameters.values()
    ]


@_of_a_table
def train_teacher(
    data: Impressions,
    kind: Annotated[
        str, typer.Option(help="network (DCN-v2) or trees (LightGBM, as an extra).")
    ] = "network",
    epochs: Epochs = 10,
    out: Annotated[Path, new_folder("Folder of the teacher.")] = Path("runs/teacher"),
) -> list[object]:
    """Train a large ranker of all features: the first of two stages."""
    from tfdistill.jobs import steps

    with locked(out):
        path = steps.train_teacher(
            data, out, kind=kind, epochs=epochs, console=Console()
        )
    return ["score-teacher", "--item", "ITEM", "--teacher", path]


@_of_a_table
def score_teacher(
    data: Impressions,
    item: Annotated[
        str, typer.Option(help="The feature that tells a request's items apart.")
    ],
    teacher: Annotated[
        Optional[Path],
        typer.Option(
            help="What train-teacher made, or any SavedModel of the spec's features. A "
            "SavedModel is a program: give only one that you trust."
        ),
    ] = None,
    column: Annotated[
        Optional[str],
        typer.Option(help="Instead: the table's column of a teacher's logits."),
    ] = None,
    signature: Annotated[
        str, typer.Option(help="Signature of the SavedModel.")
    ] = "serving_default",
    name: Annotated[
        Optional[str],
        typer.Option(help="The teacher's name; else its file's or column's."),
    ] = None,
    version: Annotated[str, typer.Option(help="The teacher's version.")] = "1",
    dtype: Annotated[str, typer.Option(help="float32 or float16.")] = "float32",
    file_format: Annotated[
        str, typer.Option("--format", help="parquet or tfrecord.")
    ] = "parquet",
    out: Annotated[Path, new_folder("Folder of the scores.")] = Path("runs/scores"),
) -> list[object]:
    """Score all impressions once with any teacher, and store the scores.

    Run again after a kill, it goes on where it stopped.
    """
    from tfdistill.jobs import steps

    store = steps.score(
        data,
        out,
        item=item,
        teacher=teacher,
        column=column,
        signature=signature,
        name=name,
        version=version,
        dtype=dtype,
        file_format=file_format,
        console=Console(),
    )
    typer.echo(f"{store.manifest.rows} scores in {out}.")
    return ["distill", "--scores", out]


@_of_a_table
def distill(
    data: Impressions,
    without: Annotated[
        Optional[list[str]],
        typer.Option(help="A feature that the student does without; may be repeated."),
    ] = None,
    scores: Annotated[
        Optional[Path],
        typer.Option(
            help="Folder of a teacher's stored scores, for two stages: no teacher is "
            "trained then."
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="How both are trained without --scores: joint (soft labels and a "
            "hint), rocket (Rocket Launching) or dual-dnn (one input representation, "
            "hidden layers taught)."
        ),
    ] = "joint",
    out: Annotated[
        Path, new_folder("Folder of checkpoints, exports and the report.")
    ] = Path("runs/distill"),
    epochs: Epochs = 10,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds to train, from 0 on.")
    ] = 1,
) -> list[object]:
    """Distil a small ranker from your own impressions; compare, export, report.

    A DCN-v2 teacher reads all features of the spec, the student none that is
    privileged. Run again, it goes on where it stopped. With --scores the student
    learns from what a teacher of any kind has scored before.
    """
    from tfdistill.jobs import own_data

    with locked(out):
        results = own_data.distill(
            data,
            out,
            without=without or (),
            method=method,
            scores=scores,
            epochs=epochs,
            seeds=range(seeds),
            console=Console(),
        )
    if scores is None:
        return []
    (student,) = (export.path for export in results.exports)
    return ["evaluate", "--model", student, "--scores", scores]


@_of_a_table
def evaluate(
    data: Impressions,
    model: Annotated[
        Optional[list[Path]],
        typer.Option(help="Folder of a SavedModel, trusted; may be repeated."),
    ] = None,
    scores: Annotated[
        Optional[Path], typer.Option(help="Folder of a teacher's stored scores.")
    ] = None,
    out: Annotated[
        Optional[Path], new_file("JSON file to write the numbers to.")
    ] = None,
) -> list[object]:
    """Evaluate SavedModels and a teacher's stored scores on the test part."""
    from tfdistill.jobs import steps

    steps.evaluate(data, model or (), scores=scores, out=out, console=Console())
    return []
