"""What a run is held against: simple models that need no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfdistill.metrics import metric
from tfdistill.report.cells import Cell, Table, mean, title
from tfdistill.report.schema import Results

__all__ = ["baseline_table", "baseline_warnings"]

_BY = "ndcg@10"


def baseline_table(results: Results) -> Table:
    """A row per baseline, recall model and page, each over the best baseline.

    Args:
        results: The run.
    """
    best, shown = results.best_baseline, metric(_BY)
    if best is None:
        return Table("Against simple baselines", [], [])
    bar = best.test[_BY]
    rows = [[Cell("Baselines, tuned on validation")]]
    for other in results.baselines:
        value = other.test[_BY]
        rows.append([Cell(other.name), Cell(shown.show(value)), _over(value, bar)])
        rows[-1].append(Cell("the best on validation" if other is best else ""))
    rows.append([Cell("This run")])
    for name, values in _run(results):
        value, below = mean(values), mean(values) < bar
        tone = "worse" if below else ""
        row = [Cell(name), Cell(shown.show(value)), _over(value, bar, tone)]
        rows.append([*row, Cell("below it" if below else "", tone)])
    return Table(
        "Against simple baselines",
        ["Model", f"{shown.label} over the catalogue", f"Over {best.name}", "Verdict"],
        rows,
        caption=f"Test. {best.name} is the best baseline on validation; a baseline "
        "knows each user's history up to the part, as the nets do by their features.",
    )


def baseline_warnings(results: Results) -> list[str]:
    """Returns a warning for each result that a simple baseline beats.

    Args:
        results: The run.
    """
    best, shown = results.best_baseline, metric(_BY)
    if best is None:
        return []
    bar = best.test[_BY]
    below = [
        f"{name} {shown.show(mean(values))}"
        for name, values in _run(results)
        if mean(values) < bar
    ]
    if not below:
        return []
    return [
        f"{best.name}, which needs no network, has {shown.label} {shown.show(bar)} on "
        f"test and is better than: {'; '.join(below)}. Serve it, teach by its lists "
        "(tfdistill.zoo.list_student), or train again on what came since: nets go "
        "stale, most of all those that know users by ids."
    ]


def _run(results: Results) -> Iterator[tuple[str, Sequence[float]]]:
    """Name and values of what the run recalls and shows."""
    for stage in results.stages:
        for model in stage.models if stage.over_catalogue else ():
            yield f"{title(stage.name)}: {title(model.name)}", model.test[_BY]
    for cascade in results.cascades:
        yield f"Page: {title(cascade.name)}", cascade.page[_BY]


def _over(value: float, bar: float, tone: str = "") -> Cell:
    """How far above or below the best baseline a value is."""
    gain = value / bar - 1 if bar else 0.0
    return Cell(f"{100 * gain:+.1f} %".replace("-", "−"), tone)
