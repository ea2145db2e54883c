"""The report's tables, which terminal and HTML both render."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tfdistill.data.summary import NOTABLE, DataSummary
from tfdistill.metrics import FunnelPoint, Metric, metric, pareto
from tfdistill.report.cells import (
    COMPARISON,
    SPACE,
    Cell,
    Table,
    compared,
    comparison,
    explained,
    gap_closed,
    mean,
    reading,
    title,
)
from tfdistill.report.schema import (
    ALONE,
    DISTILLED,
    MODELS,
    TEACHER,
    Cost,
    Results,
    Stage,
    Values,
)

_PAGE = "ndcg@10"
_CASCADE_CAPTION = (
    "Test. The cascade of students alone against that of distilled ones; the teacher "
    "ranks the whole catalogue. In brackets: items kept. "
)


def overview_table(results: Results) -> Table:
    """A row per stage and for the page: what distilling gains, what students save."""
    tasks = [
        (
            stage.name,
            stage.primary,
            {model.name: model.test[stage.primary] for model in stage.models},
        )
        for stage in results.stages
    ]
    if results.cascades:
        pages = {entry.name: entry.page[_PAGE] for entry in results.cascades}
        tasks.append(("cascade", _PAGE, pages))
    rows = []
    for name, primary, values in tasks:
        shown = metric(primary)
        row = [Cell(title(name)), Cell(shown.label, hint=explained(shown))]
        row += compared(shown, values)
        row.append(Cell(gap_closed(shown, values)))
        row += _savings(results.cost(TEACHER), results.cost(name))
        rows.append(row)
    return Table(
        "At a glance",
        ["Stage", "Metric", *COMPARISON[1:], "Gap closed", "Smaller", "Faster"],
        rows,
        caption=f"Test. {reading(len(results.seeds))} Gap closed: the gain of "
        "distilling over the teacher's lead on the student alone. Smaller and faster: "
        "the teacher's parameters and median latency over the student's.",
    )


def frontier_table(curves: Mapping[str, Sequence[FunnelPoint]], quality: str) -> Table:
    """A row for every choice of sizes, with what makes it worth its cost.

    Args:
        curves: Name of the cascade -> its points, such as `metrics.sweep`'s.
        quality: A metric of `METRICS`.
    """
    shown, rows = metric(quality), []
    for name, points in curves.items():
        rows.append([Cell(title(name))])
        by_flops = pareto(points, "mflops")
        by_latency = pareto(points, "p50_ms")
        for point in points:
            worth = {"FLOPs": point in by_flops, "latency": point in by_latency}
            rows.append(
                [
                    Cell(" > ".join(map(str, point.sizes))),
                    Cell(shown.show(point.quality)),
                    Cell(f"{point.cost.mflops:.2f}"),
                    Cell(f"{point.cost.p50_ms:.2f}"),
                    Cell(", ".join(text for text, best in worth.items() if best)),
                ]
            )
    columns = ["Items kept", shown.label, "MFLOP", "ms (p50)", "Best at its"]
    return Table(
        "Sizes of the stages",
        columns,
        rows,
        caption="Recall first, the page last. Best at its cost: no cheaper choice of "
        "this cascade reaches the quality.",
    )


def stage_table(stage: Stage, seeds: int, part: str = "test") -> Table:
    """One stage's metrics: teacher, student alone, student distilled, difference.

    Args:
        stage: The stage.
        seeds: Number of training seeds.
        part: "test" or "validation" for all metrics of one part; "brief" for test
            without head and tail, and validation's primary metric.
    """
    test = {model.name: model.test for model in stage.models}
    valid = {model.name: model.validation for model in stage.models}
    if part == "brief":
        test = {name: _whole(values) for name, values in test.items()}
        valid = {
            name: {stage.primary: values[stage.primary]}
            for name, values in valid.items()
        }
    sections = {"Test": test} if part != "validation" else {}
    sections |= {"Validation": valid} if part != "test" else {}
    return Table(
        title(stage.name),
        COMPARISON,
        comparison(sections),
        caption="" if part == "brief" else reading(seeds),
        warnings=stage_warnings(stage),
    )


def cascade_table(results: Results, *, brief: bool = False) -> Table:
    """The final page of each cascade, and what its stages let through.

    Args:
        results: The run.
        brief: Leaves out head and tail.
    """
    sections: dict[str, dict[str, Values]] = {}
    for entry in results.cascades:
        sections.setdefault("Final page", {})[entry.name] = entry.page
        for stage in entry.stages:
            head = f"{stage.name.capitalize()} ({stage.kept})"
            values = dict(stage.values)
            if entry.name == TEACHER:  # it is what the overlap is with
                values.pop("overlap", None)
            sections.setdefault(head, {})[entry.name] = values
    if brief:
        for models in sections.values():
            models.update({name: _whole(values) for name, values in models.items()})
    return Table(
        "Cascade",
        COMPARISON,
        comparison(sections),
        caption="" if brief else _CASCADE_CAPTION + reading(len(results.seeds)),
        warnings=cascade_warnings(results),
    )


def cost_table(results: Results) -> Table:
    """Size and speed of the exported models."""
    teacher, digits = results.cost(TEACHER), (0, 3, 2, 2)
    numbers = {cost.name: dataclasses.astuple(cost)[1:] for cost in results.costs}
    least = [
        min((value for value in column if value is not None), default=None)
        for column in zip(*numbers.values())
    ]
    rows = []
    for name, values in numbers.items():
        row = [Cell(title(name))]
        for value, best, places in zip(values, least, digits):
            text = "–" if value is None else f"{value:,.{places}f}"
            row.append(Cell(text, "best" if value == best else ""))
        row.append(Cell(_times(teacher.p50_ms / values[2]) if teacher else "–"))
        rows.append(row)
    return Table(
        f"Cost of one call ({results.cost_setting})",
        [
            "Model",
            "Parameters",
            "MFLOPs",
            "Latency p50 (ms)",
            "Latency p99 (ms)",
            "Faster than teacher",
        ],
        rows,
        caption="Student alone and student distilled are one architecture, and cost "
        "the same.",
    )


def data_table(results: Results) -> Table:
    """Counts of each part of the split."""
    rows = []
    for part in results.data.parts:
        name, *counts = dataclasses.astuple(part)
        rows.append([Cell(name), *(Cell(f"{count:,}") for count in counts)])
    return Table(
        "Data",
        [
            "Part",
            "Requests",
            "Interactions",
            "Warm users",
            "Cold users",
            "Warm items",
            "Cold items",
        ],
        rows,
        caption=f"Split: {results.data.split}. Warm: with an interaction in training; "
        "cold: without.",
    )


def summary_table(summary: DataSummary) -> Table:
    """What was read: sizes, click rate, and a row of shares for each feature."""
    rows = [
        [Cell(shares.name), *(_share(share) for _, share in shares.problems())]
        for shares in summary.features
    ]
    return Table(
        "What was read",
        ["Feature", "Missing", "Unknown", "Out of range"],
        rows,
        caption=f"{summary.rows:,} impressions in {summary.requests:,} requests of "
        f"{summary.shortest} to {summary.longest} (median {summary.median:g}); click "
        f"rate {summary.click_rate:.2%}, {summary.unlabelled:.2%} without a label. "
        "Unknown: not in the vocabulary; out of range: no id of the table.",
    )


def _share(share: float) -> Cell:
    return Cell(f"{share:.2%}", "worse" if share >= NOTABLE else "")


def export_table(results: Results) -> Table:
    """The written SavedModels and how they were checked."""
    rows = [
        [
            Cell(title(export.name)),
            Cell(export.path),
            Cell(f"{export.max_difference:.1e}" if export.max_difference else "0"),
        ]
        for export in results.exports
    ]
    checkers = dict.fromkeys(export.verified_by for export in results.exports)
    return Table(
        "Exported models",
        ["Model", "SavedModel", "Largest score difference"],
        rows,
        caption=f"Loaded and compared by: {'; '.join(checkers)}.",
        words=True,
    )


def glossary_table(results: Results) -> Table:
    """One line for each metric that the report shows."""
    names: dict[str, None] = {}
    for stage in results.stages:
        for model in stage.models:
            names.update(dict.fromkeys(_whole(model.test)))
    for cascade in results.cascades:
        names.update(dict.fromkeys(_whole(cascade.page)))
        for part in cascade.stages:
            names.update(dict.fromkeys(_whole(part.values)))
    rows = [
        [Cell(shown.label), Cell(shown.text), Cell(shown.direction)]
        for shown in map(metric, names)
    ]
    return Table("Metrics", ["Metric", "Meaning", "Direction"], rows, words=True)


def stage_warnings(stage: Stage) -> list[str]:
    """Returns what a reader of a stage's numbers must know.

    The teacher isn't better than the student alone on validation: there is nothing to
    distil. Or distilling doesn't help on test.
    """
    shown, name = metric(stage.primary), title(stage.name)
    warnings = []
    teacher, alone, distilled = (stage.get(model) for model in MODELS)
    if teacher and alone:
        ours = mean(alone.validation[stage.primary])
        theirs = mean(teacher.validation[stage.primary])
        if not shown.gain(theirs, over=ours) > 0.0:
            warnings.append(
                f"{name}: the teacher is not better than the student alone on "
                f"validation ({shown.label} {shown.show(theirs)} against "
                f"{shown.show(ours)}), so there is little to learn from it."
            )
    if alone and distilled:
        values = (model.test[stage.primary] for model in (alone, distilled))
        warnings += _no_help(name, shown, *values)
    return warnings


def cascade_warnings(results: Results) -> list[str]:
    """Returns a warning where distilling doesn't help the final page."""
    pages = {entry.name: entry.page[_PAGE] for entry in results.cascades}
    if ALONE not in pages or DISTILLED not in pages:
        return []
    return _no_help("Cascade", metric(_PAGE), pages[ALONE], pages[DISTILLED])


def run_warnings(results: Results) -> list[str]:
    """Returns what a reader of the whole run must know."""
    warnings = list(results.warnings)
    if results.summary is not None:
        warnings += results.summary.warnings()
    if len(results.seeds) == 1:
        warnings.append(
            "One training seed: differences may be noise. Repeat with several seeds "
            "for spread and paired differences."
        )
    return warnings


def _no_help(
    name: str, shown: Metric, alone: Sequence[float], distilled: Sequence[float]
) -> list[str]:
    """Returns a warning where the mean over seeds isn't better after distilling."""
    before, after = mean(alone), mean(distilled)
    if shown.gain(after, over=before) > 0.0:
        return []
    return [
        f"{name}: distilling does not help on test ({shown.label} {shown.show(after)} "
        f"distilled, {shown.show(before)} alone)."
    ]


def _savings(teacher: Cost | None, student: Cost | None) -> list[Cell]:
    """Returns how many times smaller and faster than the teacher a student is."""
    if teacher is None or student is None:
        return [Cell("–", "muted"), Cell("–", "muted")]
    return [
        Cell(_times(teacher.parameters / student.parameters)),
        Cell(_times(teacher.p50_ms / student.p50_ms)),
    ]


def _times(ratio: float) -> str:
    return f"{ratio:.1f}{SPACE}×"


def _whole(values: Values) -> Values:
    """Returns the metrics that aren't of head or tail items alone."""
    return {
        name: numbers
        for name, numbers in values.items()
        if not name.endswith(("_head", "_tail"))
    }
