"""The steps around `distill --scores`: a teacher, its stored scores, a judgement.

Run: `tfdistill train-teacher mine.parquet --spec spec.json --request request --label
click`; every step prints the command of the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.data.summary import DataSummary
from tfdistill.documents import as_json
from tfdistill.files import written_whole
from tfdistill.jobs.exports import published_once
from tfdistill.metrics import metric
from tfdistill.report.cells import plain
from tfdistill.scores import ScoreStore, join_requests, score_batches
from tfdistill.spec import LISTED, FeatureSpec
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.impressions import Impressions
from tfdistill.study.problem import Problem
from tfdistill.study.trained import StoredScores
from tfdistill.study.ways import train
from tfdistill.teachers import GbdtTeacher, PairTeacher, SavedModelTeacher
from tfdistill.trainers import LoggedTeacher
from tfdistill.types import Teacher
from tfdistill.zoo import ranking_pair
from tfdistill.zoo.ranking_pair import default_pair

__all__ = ["KINDS", "evaluate", "score", "train_teacher"]

KINDS = ("network", "trees")
"""What can be trained as a teacher: a DCN-v2, or boosted trees."""

_SIGNAL = "score"


def train_teacher(
    data: Impressions,
    out: Path,
    *,
    kind: str = "network",
    epochs: int = 10,
    console: Console | None = None,
) -> Path:
    """Trains a teacher of all features of the spec, privileged ones included.

    Args:
        data: The impressions; its training part is learned from.
        out: Folder of the run.
        kind: One of `KINDS`.
        epochs: Passes over the requests, for a network.
        console: Where progress is printed.

    Returns:
        What `score` takes: a SavedModel's folder, or the file of the trees.

    Raises:
        ValueError: If `kind` is none of them, or the table does not fit the spec.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
    console = console or Console()
    requests, summary = data.read(console=console)
    parts = data.parts(requests)
    if kind == "trees":
        trees = GbdtTeacher.fit(data.spec, parts["train"], parts["valid"])
        trees.save(out / "trees.npz")
        _keep(summary, out)
        return out / "trees.npz"
    recipe = ranking_pair.teacher(default_pair(data.spec)).changed(epochs=epochs)
    problem = Problem.of(data, requests, summary)
    nets = train(recipe, problem, out / "training", console=console)
    _keep(summary, out)
    serving = out / "serving"
    net = nets["teacher"]
    source = {"spec": data.spec.to_json(), "net": net.fingerprint}
    (export,) = published_once(
        serving, source, lambda: {serving: net.servable(allow_privileged=True)}
    )
    return Path(export.path)


def score(
    data: Impressions,
    out: Path,
    *,
    item: str,
    teacher: Path | None = None,
    column: str | None = None,
    signature: str = "serving_default",
    name: str | None = None,
    version: str = "1",
    dtype: str = "float32",
    file_format: str = "parquet",
    console: Console | None = None,
) -> ScoreStore:
    """Scores all impressions once, and stores the scores by request and item.

    A run that was killed goes on where it stopped.

    Args:
        data: The impressions.
        out: Folder of the store.
        item: The item feature that identifies the items of a request.
        teacher: Folder of a SavedModel, or a file of trees, that `train_teacher`
            returned; any SavedModel of the spec's features will do. Load only those
            that you trust: a SavedModel is a program.
        column: Instead, the table's column of a teacher's logits; what is empty is
            missing.
        signature: Of the SavedModel.
        name: The teacher's name; by default that of its column or file, or
            `SavedModel`: where it lies does not count, its weights do.
        version: The teacher's version.
        dtype: As for `score_batches`.
        file_format: As for `score_batches`.
        console: Where it is printed what the data look like; `data.json` beside the
            scores has it too.

    Returns:
        The store.

    Raises:
        ValueError: If not exactly one of `teacher` and `column` is given, or they don't
            fit the table.
    """
    if (teacher is None) == (column is None):
        raise ValueError(
            "Give either a teacher (a SavedModel or a file of trees) or a column of "
            f"scores, got {teacher} and {column}."
        )
    console = console or Console()
    requests, summary = data.read([column] if column else (), console=console)
    scorer = (
        LoggedTeacher({_SIGNAL: column})
        if column
        else _loaded(Path(str(teacher)), signature, data.spec)
    )
    store = score_batches(
        requests,
        scorer,
        out,
        teacher_name=name or column or _name(Path(str(teacher))),
        version=version,
        keys=["request_id", item],
        dtype=dtype,
        file_format=file_format,
    )
    _keep(summary, out)
    return store


def evaluate(
    data: Impressions,
    models: Sequence[Path],
    *,
    scores: Path | None = None,
    out: Path | None = None,
    console: Console | None = None,
) -> dict[str, dict[str, float]]:
    """Judges SavedModels, and the stored scores of a teacher, on the test part.

    Args:
        data: The impressions.
        models: Folders of SavedModels of rankers.
        scores: Folder of a teacher's store; it is judged where it has a score.
        out: File to write the numbers to, as JSON; null is what is not defined.
        console: Where the table is printed.

    Returns:
        All metrics of `ranking_summary` by model.

    Raises:
        ValueError: If there is nothing to evaluate, or a model gives NaN.
    """
    if not models and scores is None:
        raise ValueError(
            "There is nothing to evaluate: give SavedModels (--model), the scores of a "
            "teacher (--scores), or both."
        )
    console = console or Console()
    requests, _ = data.read(console=console)
    test = data.parts(requests)["test"]
    judged = {}
    if scores is not None:
        store = ScoreStore.open(scores)
        scored, coverage = join_requests(test, store, {"score": "stored"})
        console.print(f"Test part: {coverage}.")
        teacher = StoredScores("stored")
        judged[f"teacher {store.manifest.teacher}"] = teacher.metrics(
            ListEvaluator(scored)
        )
    for path in models:
        judged[str(path)] = ListEvaluator(test).ranking(_logits(path, test))
    if out is not None:
        with written_whole(out) as unfinished:
            unfinished.write_text(as_json(judged), encoding="utf-8")
    _print({name: [values] for name, values in judged.items()}, console)
    return judged


def _keep(summary: DataSummary, out: Path) -> None:
    """Writes what the data looked like beside what was made of it.

    After that: a run that is refused, for its data, must not describe the former one's.
    """
    with written_whole(out / "data.json") as unfinished:
        unfinished.write_text(as_json(summary), encoding="utf-8")


def _name(teacher: Path) -> str:
    """What a teacher is called wherever it lies."""
    return "SavedModel" if teacher.is_dir() else teacher.name


def _loaded(path: Path, signature: str, spec: FeatureSpec) -> Teacher:
    if path.is_dir():
        return SavedModelTeacher(path, signature=signature)
    if not path.exists():
        raise ValueError(
            f"There is no teacher at {str(path)!r}. Give the folder of a SavedModel, "
            "such as the one that `tfdistill train-teacher` exports, or the file of "
            "trees that `train-teacher --kind trees` writes."
        )
    users, items = ([f.name for f in spec.scope(*s)] for s in (("user",), LISTED))
    return PairTeacher(GbdtTeacher.load(path), users=users, items=items)


def _logits(path: Path, requests: Requests) -> np.ndarray:
    """Logits `[R, L]` of a ranker's SavedModel; one that gives NaN is refused."""
    teacher = SavedModelTeacher(path)
    batches = RequestBatches(requests, batch_size=256).once()
    logits = np.concatenate([teacher(x)[_SIGNAL].numpy() for x, _, _ in batches])
    wrong = int(np.isnan(logits[requests.candidates >= 0]).sum())
    if wrong:
        raise ValueError(
            f"The model in {str(path)!r} gives NaN for {wrong} impressions of the test "
            "part; metrics of the others would not be the model's."
        )
    return logits


def _print(
    judged: Mapping[str, Sequence[Mapping[str, float]]], console: Console
) -> None:
    """Prints a row for each model: what its seeds have, or their mean and spread."""
    table = Table(title="Test part")
    table.add_column("model", overflow="fold")
    columns = list(next(iter(judged.values()), [{}])[0])
    for column in columns:
        table.add_column(column, justify="right")
    for name, runs in judged.items():
        table.add_row(name, *(plain([run[c] for run in runs]) for c in columns))
    console.print(table)
    for column in columns:
        without = [
            n for n, runs in judged.items() if any(isnan(r[column]) for r in runs)
        ]
        if without:
            told, of = metric(column), ", ".join(without)
            text = f"{told.label} is not defined for {of}: {told.undefined}."
            console.print(text, markup=False)
