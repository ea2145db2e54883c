"""What a report is made from: one plain value that holds all of a run's results.

Metric names are those of `tfdistill.metrics.METRICS`. A metric's values are a list over
seeds, in the order of `Results.seeds`; NaN is a value that is undefined.
"""

# ruff: noqa: UP007, UP045 - pydantic reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Optional

import pydantic

from tfdistill.data.summary import DataSummary
from tfdistill.documents import STRICT, Number, Several, Size
from tfdistill.metrics import metric

TEACHER = "teacher"
ALONE = "student alone"
DISTILLED = "student distilled"
MODELS = (TEACHER, ALONE, DISTILLED)

Values = Mapping[str, Sequence[Number]]
"""Metric name -> one value per seed."""


@dataclass(frozen=True)
class Part:
    """Counts of one part of the data: train, validation or test.

    Warm users and items have a training interaction, cold ones don't.
    """

    name: str
    requests: Size
    interactions: Size
    warm_users: Size
    cold_users: Size
    warm_items: Size
    cold_items: Size


@dataclass(frozen=True)
class Data:
    """Where the data came from, and how it was split.

    Attributes:
        source: The data's name and the place it was read from.
        rows: Interactions read.
        users: Users read.
        items: Size of the catalogue.
        split: The split's name, such as "last interactions of each user".
        parts: Counts of train, validation and test.
    """

    source: str
    rows: Size
    users: Size
    items: Size
    split: str
    parts: Several[Part]


@dataclass(frozen=True)
class Model:
    """One model's metrics on one stage's task.

    Attributes:
        name: One of `MODELS`.
        validation: Metric name -> values over seeds.
        test: Metric name -> values over seeds.
    """

    name: str
    validation: Values
    test: Values

    def __post_init__(self) -> None:
        _check_model(self.name)
        _check_values(self.validation)
        _check_values(self.test)


@dataclass(frozen=True)
class Stage:
    """One stage: the teacher, the student alone and the distilled student on its task.

    Attributes:
        name: "recall", "coarse" or "fine".
        primary: The metric that choices were made by; each model has it in both parts.
        models: One row per model.
        over_catalogue: Whether the whole catalogue was ranked, as for recall; by
            default lists were.
    """

    name: str
    primary: str
    models: Several[Model]
    over_catalogue: bool = False

    def __post_init__(self) -> None:
        for model in self.models:
            if self.primary not in model.test or self.primary not in model.validation:
                raise ValueError(
                    f"The primary metric of stage {self.name!r} must be given for "
                    f"validation and test, got {self.primary!r}, which "
                    f"{model.name!r} lacks."
                )

    def get(self, name: str) -> Model | None:
        """Returns the row of a model, None where there is none."""
        return next((model for model in self.models if model.name == name), None)


@dataclass(frozen=True)
class CascadeStage:
    """What one stage of a cascade kept.

    Attributes:
        name: "recall", "coarse" or "fine".
        kept: Items per user.
        values: `survival`, `survival_head`, `survival_tail` and `overlap` over seeds.
    """

    name: str
    kept: Size
    values: Values

    def __post_init__(self) -> None:
        _check_values(self.values)


@dataclass(frozen=True)
class Cascade:
    """One whole cascade, or the teacher over the whole catalogue.

    Attributes:
        name: One of `MODELS`.
        page: Quality of the final page on test, over seeds; holds `ndcg@10`.
        stages: What was left after each stage; for the teacher, its best at that cut.
    """

    name: str
    page: Values
    stages: Several[CascadeStage] = ()

    def __post_init__(self) -> None:
        _check_model(self.name)
        _check_values(self.page)
        if "ndcg@10" not in self.page:
            raise ValueError(
                f"The final page must be judged by 'ndcg@10', got only "
                f"{sorted(self.page)}."
            )


@dataclass(frozen=True)
class Cost:
    """Size and speed of one exported model.

    Attributes:
        name: "teacher" or a stage's name.
        parameters: Number of weights.
        mflops: Million floating-point operations per call; None where not counted.
        p50_ms: Median latency of a call.
        p99_ms: 99th percentile of the latency.
    """

    name: str
    parameters: Size
    mflops: Optional[float]
    p50_ms: Number
    p99_ms: Number


@dataclass(frozen=True)
class CalibrationBins:
    """One model's reliability bins on test (`tfdistill.metrics.Reliability`).

    Attributes:
        stage: The stage's name.
        model: One of `MODELS`.
        predicted: Mean prediction of each bin.
        observed: Click rate of each bin.
        count: Impressions of each bin.
    """

    stage: str
    model: str
    predicted: Sequence[Number]
    observed: Sequence[Number]
    count: Sequence[Size]

    def __post_init__(self) -> None:
        _check_model(self.model)
        if not len(self.predicted) == len(self.observed) == len(self.count):
            raise ValueError(
                "`predicted`, `observed` and `count` must have one entry per bin, "
                f"got {len(self.predicted)}, {len(self.observed)} and "
                f"{len(self.count)}."
            )


@dataclass(frozen=True)
class Export:
    """One written SavedModel and how it was checked.

    Attributes:
        name: "recall", "coarse" or "fine".
        path: Where it is.
        verified_by: The process that loaded it, in words.
        max_difference: Largest absolute difference of its scores from the model's.
    """

    name: str
    path: str
    verified_by: str
    max_difference: Number


@dataclass(frozen=True)
class Baseline:
    """A simple model of the catalogue that a run is held against.

    Attributes:
        name: Such as "EASE".
        validation: Metric name -> value; holds `ndcg@10`, which chooses the best one.
        test: Likewise.
    """

    name: str
    validation: Mapping[str, Number]
    test: Mapping[str, Number]

    def __post_init__(self) -> None:
        for part in (self.validation, self.test):
            if "ndcg@10" not in part:
                raise ValueError(
                    f"A baseline is compared by 'ndcg@10'; {self.name!r} has only "
                    f"{sorted(part)}."
                )


@dataclass(frozen=True)
class Results:
    """Everything a report shows about one run.

    Attributes:
        title: The report's title.
        command: The command that repeats the run.
        data: Source, split and counts.
        seeds: The training seeds.
        versions: Package -> version.
        hardware: One line.
        facts: More that a reader must know to compare, such as steps, tuning trials,
            or wall time: label -> text.
        stages: One entry per stage, in the order of the cascade.
        cascades: The cascade of students alone, of distilled ones, and the teacher.
        costs: The teacher's and each stage's.
        cost_setting: What one call is, such as "one user, 500 candidates".
        curves: Curve -> one value per epoch, of the first seed; `val_x` is drawn with
            `x`.
        calibration: Bins of the ranking stages, of the first seed.
        warnings: Sentences that stand at the top.
        exports: The SavedModels.
        summary: What the data looked like before the training.
        baselines: Simple models, where the catalogue is ranked.

    Raises:
        ValueError: Where a metric's number of values isn't that of the seeds. A teacher
            may have one value for all seeds.

    Example:
        >>> data = Data("made up", rows=9, users=3, items=4, split="none", parts=())
        >>> Results("Title", "command", data, seeds=(0,)).cost("teacher") is None
        True
    """

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = STRICT

    title: str
    command: str
    data: Data
    seeds: Several[int]
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    stages: Several[Stage] = ()
    cascades: Several[Cascade] = ()
    costs: Several[Cost] = ()
    cost_setting: str = "one user, 500 candidates"
    curves: Values = field(default_factory=dict)
    calibration: Several[CalibrationBins] = ()
    warnings: Several[str] = ()
    exports: Several[Export] = ()
    summary: Optional[DataSummary] = None
    baselines: Several[Baseline] = ()

    @property
    def best_baseline(self) -> Baseline | None:
        """The baseline that is best on validation, None where there is none."""
        return max(self.baselines, key=lambda b: b.validation["ndcg@10"], default=None)

    def __post_init__(self) -> None:
        for stage in self.stages:
            for model in stage.models:
                for values in (model.validation, model.test):
                    self._check_seeds(f"{stage.name}, {model.name}", values)
        for cascade in self.cascades:
            self._check_seeds(f"cascade, {cascade.name}", cascade.page)
            for part in cascade.stages:
                self._check_seeds(f"cascade, {cascade.name}", part.values)

    def _check_seeds(self, where: str, values: Values) -> None:
        allowed = {len(self.seeds)} | ({1} if where.endswith(TEACHER) else set())
        for name, numbers in values.items():
            if len(numbers) not in allowed:
                raise ValueError(
                    f"{where}: {name!r} must have one value per seed "
                    f"({len(self.seeds)}), got {len(numbers)}."
                )

    def cost(self, name: str) -> Cost | None:
        """Returns the cost of the teacher or of a stage, None where not measured."""
        return next((cost for cost in self.costs if cost.name == name), None)


def over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Turns one dict of metrics per seed into one list per metric.

    Args:
        runs: Metric name -> value, of each seed; all with the same names.

    Returns:
        Metric name -> values over seeds.

    Raises:
        ValueError: Where a seed's names differ from the first one's.

    Example:
        >>> over_seeds([{"auc": 0.7}, {"auc": 0.8}])
        {'auc': [0.7, 0.8]}
    """
    names = list(runs[0]) if runs else []
    for run in runs:
        if set(run) != set(names):
            raise ValueError(
                f"All seeds must have the metrics {sorted(names)}, got {sorted(run)}."
            )
    return {name: [run[name] for run in runs] for name in names}


def _check_model(name: str) -> None:
    if name not in MODELS:
        raise ValueError(f"A model is one of {MODELS}, got {name!r}.")


def _check_values(values: Values) -> None:
    for name in values:
        metric(name)
