"""Subcommands on a user's own table of impressions."""

# ruff: noqa: UP007, UP045 - typer reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console

from tfdistill.files import locked

if TYPE_CHECKING:
    from tfdistill.zoo.impressions import Impressions

__all__ = ["distill", "evaluate", "score_teacher", "train_teacher"]

Table = Annotated[
    Path, typer.Argument(help="Parquet or CSV file, one row per impression.")
]
Spec = Annotated[Path, typer.Option(help="JSON file of the feature spec.")]
Request = Annotated[str, typer.Option(help="Column that names the request.")]
Label = Annotated[str, typer.Option(help="Column of the labels, 0 or 1.")]
User = Annotated[
    Optional[str],
    typer.Option(help="Column of the user, for GAUC; else each request counts."),
]
Time = Annotated[
    Optional[str],
    typer.Option(
        help="Column of the time: the last tenth of the requests is then the test "
        "part and the one before it validation. Left out, the split is random."
    ),
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the requests.")]


def train_teacher(
    table: Table,
    spec: Spec,
    request: Request,
    label: Label,
    user: User = None,
    time: Time = None,
    kind: Annotated[
        str, typer.Option(help="network (DCN-v2) or trees (LightGBM, as an extra).")
    ] = "network",
    epochs: Epochs = 10,
    out: Annotated[Path, typer.Option(help="Folder of the teacher.")] = Path(
        "runs/teacher"
    ),
) -> None:
    """Train a large ranker of all features: the first of two stages."""
    from tfdistill.zoo import stages

    data = _impressions(table, spec, request, label, user, time)
    with locked(out):
        path = stages.train_teacher(
            data, out, kind=kind, epochs=epochs, console=Console()
        )
    _next("score-teacher", table, spec, data, "--item", "ITEM", "--teacher", path)


def score_teacher(
    table: Table,
    spec: Spec,
    request: Request,
    label: Label,
    item: Annotated[
        str, typer.Option(help="The feature that tells a request's items apart.")
    ],
    user: User = None,
    time: Time = None,
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
        Optional[str], typer.Option(help="The teacher's name; else that of its file.")
    ] = None,
    version: Annotated[str, typer.Option(help="The teacher's version.")] = "1",
    dtype: Annotated[str, typer.Option(help="float32 or float16.")] = "float32",
    file_format: Annotated[
        str, typer.Option("--format", help="parquet or tfrecord.")
    ] = "parquet",
    out: Annotated[Path, typer.Option(help="Folder of the scores.")] = Path(
        "runs/scores"
    ),
) -> None:
    """Score all impressions once with any teacher, and store the scores.

    Run again after a kill, it goes on where it stopped.
    """
    from tfdistill.zoo import stages

    data = _impressions(table, spec, request, label, user, time)
    store = stages.score(
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
    )
    typer.echo(f"{store.manifest.rows} scores in {out}.")
    _next("distill", table, spec, data, "--scores", out)


def distill(
    table: Table,
    spec: Spec,
    request: Request,
    label: Label,
    user: User = None,
    time: Time = None,
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
        Path, typer.Option(help="Folder of checkpoints, exports and the report.")
    ] = Path("runs/distill"),
    epochs: Epochs = 10,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds to train, from 0 on.")
    ] = 1,
) -> None:
    """Distil a small ranker from your own impressions; compare, export, report.

    A DCN-v2 teacher reads all features of the spec, the student none that is
    privileged. Run again, it goes on where it stopped. With --scores the student
    learns from what a teacher of any kind has scored before.
    """
    from tfdistill.zoo import own_data, stages

    data = _impressions(table, spec, request, label, user, time)
    shared: Any = {
        "without": without or (),
        "epochs": epochs,
        "seeds": range(seeds),
        "console": Console(),
    }
    with locked(out):
        if scores is None:
            own_data.distill(data, out, method=method, **shared)
            return
        paths = stages.distill(data, scores, out, **shared)
    models = [part for path in paths for part in ("--model", path)]
    _next("evaluate", table, spec, data, *models, "--scores", scores)


def evaluate(
    table: Table,
    spec: Spec,
    request: Request,
    label: Label,
    user: User = None,
    time: Time = None,
    model: Annotated[
        Optional[list[Path]],
        typer.Option(help="Folder of a SavedModel, trusted; may be repeated."),
    ] = None,
    scores: Annotated[
        Optional[Path], typer.Option(help="Folder of a teacher's stored scores.")
    ] = None,
    out: Annotated[
        Optional[Path], typer.Option(help="JSON file to write the numbers to.")
    ] = None,
) -> None:
    """Judge SavedModels and a teacher's stored scores on the test part."""
    from tfdistill.zoo import stages

    data = _impressions(table, spec, request, label, user, time)
    stages.evaluate(data, model or (), scores=scores, out=out, console=Console())


def _impressions(
    table: Path,
    spec: Path,
    request: str,
    label: str,
    user: Optional[str],
    time: Optional[str],
) -> Impressions:
    from tfdistill.data.spec import FeatureSpec
    from tfdistill.zoo.impressions import Impressions

    return Impressions(table, FeatureSpec.load(spec), request, label, user, time)


def _next(
    command: str, table: Path, spec: Path, data: Impressions, *options: object
) -> None:
    """Prints the command of the next step."""
    words = ["tfdistill", command, table, "--spec", spec]
    for name in ("request", "label", "user", "time"):
        value = getattr(data, name)
        words += [] if value is None else [f"--{name}", value]
    typer.echo("Next: " + shlex.join(map(str, [*words, *options])))
