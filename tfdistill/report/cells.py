"""The report's tables as plain values, and how models stand side by side in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfdistill.metrics import Metric, metric
from tfdistill.report.schema import ALONE, DISTILLED, MODELS, TEACHER, Values

TITLES = {
    "recall": "Recall",
    "coarse": "Coarse ranking",
    "fine": "Fine ranking",
    TEACHER: "Teacher",
    ALONE: "Student alone",
    DISTILLED: "Student distilled",
}
SPACE = "\N{NO-BREAK SPACE}"
COMPARISON = [
    "Metric",
    "Teacher",
    "Student alone",
    "Distilled",
    "Distilled − alone",
    "Verdict",
]


@dataclass(frozen=True)
class Cell:
    """One cell: its text, its tone ("best", "better", "worse", "muted"), its hint."""

    text: str
    tone: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """One table; a row of a single cell heads the rows below it.

    Attributes:
        title: What it shows.
        columns: Heads; the first column holds labels, the others numbers.
        rows: Cells.
        caption: How to read it.
        warnings: What the reader must not miss.
        words: Whether all cells are words, aligned left.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    warnings: Sequence[str] = ()
    words: bool = False


def title(name: str) -> str:
    """Returns a stage's or model's name as a heading."""
    return TITLES.get(name, name.capitalize())


def reading(seeds: int) -> str:
    """Returns how to read a comparison over so many seeds."""
    if seeds == 1:
        return "One seed, so no spread. Bold: best of the row."
    return (
        f"Mean ± standard deviation over {seeds} seeds; differences are paired by "
        "seed. Bold: best of the row. Verdict: in how many seeds distilling is better; "
        "coloured where all agree."
    )


def comparison(sections: Mapping[str, Mapping[str, Values]]) -> list[list[Cell]]:
    """Returns one row per metric under a heading per section."""
    rows = []
    for head, models in sections.items():
        rows.append([Cell(head)])
        names = dict.fromkeys(name for values in models.values() for name in values)
        for name in names:
            shown = metric(name)
            values = {
                model: models[model][name] for model in models if name in models[model]
            }
            label = Cell(shown.label, hint=explained(shown))
            rows.append([label, *compared(shown, values)])
    return rows


def compared(shown: Metric, values: Mapping[str, Sequence[float]]) -> list[Cell]:
    """Returns the cells of the three models, their difference and a verdict."""
    means = {name: mean(numbers) for name, numbers in values.items()}
    known = {n: shown.gain(m, over=0.0) for n, m in means.items() if not math.isnan(m)}
    best = max(known.values(), default=math.nan)
    cells = []
    for name in MODELS:
        tone = "best" if known.get(name) == best else ""
        cells.append(Cell(_spread(shown, values.get(name, ())), tone))
    if ALONE not in known or DISTILLED not in known:
        return [*cells, Cell("–", "muted"), Cell("–", "muted")]
    pairs = list(zip(values[DISTILLED], values[ALONE]))
    gains = [
        round(shown.gain(ours, over=theirs), shown.digits) for ours, theirs in pairs
    ]
    verdict, tone = _verdict(gains)
    difference = _spread(shown, [ours - theirs for ours, theirs in pairs], sign=True)
    return [*cells, Cell(difference, tone), Cell(verdict, tone)]


def _verdict(gains: Sequence[float]) -> tuple[str, str]:
    """Returns in words how many seeds gain, and the tone where all agree."""
    better, worse = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    if len(gains) == 1:
        return ("better" if better else "worse" if worse else "equal"), ""
    tone = "better" if better == len(gains) else "worse" if worse == len(gains) else ""
    return f"better{SPACE}{better}/{len(gains)}", tone


def _spread(shown: Metric, values: Sequence[float], *, sign: bool = False) -> str:
    """Returns mean and standard deviation over seeds as text."""
    text = shown.show(mean(values), sign=sign)
    if len(values) > 1 and text != "–":
        text += f" ±{SPACE}{shown.show(float(np.std(values, ddof=1)))}"
    return text


def plain(values: Sequence[float | None]) -> str:
    """Returns the mean of what is there, with its spread over several seeds, as text.

    Example:
        >>> plain([0.25, 0.75]), plain([None, math.nan]), plain([1234])
        ('0.5000 ± 0.3536', '-', '1,234')
    """
    present = [v for v in values if v is not None and not math.isnan(v)]
    if not present:
        return "-"
    middle = mean(present)
    if middle >= 1000:
        return f"{middle:,.0f}"
    spread = f" ± {np.std(present, ddof=1):.4f}" if len(present) > 1 else ""
    return f"{middle:.4f}{spread}"


def gap_closed(shown: Metric, values: Mapping[str, Sequence[float]]) -> str:
    """Returns which share of the teacher's lead the distilled student makes up."""
    if not all(name in values for name in MODELS):
        return "–"
    teacher, alone, distilled = (mean(values[name]) for name in MODELS)
    lead = shown.gain(teacher, over=alone)
    if not lead > 0.0:
        return "–"
    share = shown.gain(distilled, over=alone) / lead
    return f"{share:.0%}".replace("-", "−")


def explained(shown: Metric) -> str:
    """Returns a metric's one line of explanation."""
    return f"{shown.text} ({shown.direction})"


def mean(values: Sequence[float]) -> float:
    """Returns the mean over seeds, NaN where there is none."""
    return float(np.mean(values)) if len(values) else math.nan
