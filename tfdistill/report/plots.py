"""The report's pictures, as PNG bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from tfdistill.metrics import FunnelPoint, Price, metric, pareto
from tfdistill.report.cells import title
from tfdistill.report.schema import (
    ALONE,
    DISTILLED,
    MODELS,
    TEACHER,
    CalibrationBins,
    Cascade,
    CascadeStage,
    Results,
    Stage,
)

COLOURS = {TEACHER: "#4d4d4d", ALONE: "#d55e00", DISTILLED: "#0072b2"}
MARKERS = {TEACHER: "D", ALONE: "o", DISTILLED: "o"}
_OTHERS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DPI = 160
_STYLE: Mapping[str, Any] = {"color": "#555555", "fontsize": 9}


def latency_plot(results: Results) -> bytes | None:
    """Quality over latency, one panel per stage, with an arrow for distilling.

    Returns:
        PNG bytes; None where no stage's cost was measured.
    """
    teacher = results.cost(TEACHER)
    stages = [stage for stage in results.stages if results.cost(stage.name)]
    if teacher is None or not stages:
        return None
    figure, panels = _panels(len(stages), width=3.6, height=3.5)
    slowest = max(cost.p50_ms for cost in results.costs)
    fastest = min(cost.p50_ms for cost in results.costs)
    for stage, axes in zip(stages, panels):
        cost = results.cost(stage.name)
        if cost is None:
            continue
        latency = {TEACHER: teacher.p50_ms, ALONE: cost.p50_ms, DISTILLED: cost.p50_ms}
        _draw_points(axes, stage, latency)
        _log_scale(axes)
        axes.set_xlim(fastest / 1.6, slowest * 1.6)
        axes.set_xlabel("latency p50 (ms, log scale)", **_STYLE)
        axes.set_title(f"{title(stage.name)}: {metric(stage.primary).label}")
    _legend(figure, panels[0])
    return _png(figure)


def curves_plot(curves: Mapping[str, Sequence[float]]) -> bytes | None:
    """One small panel per training curve; `val_x` is drawn dashed with `x`.

    Returns:
        PNG bytes; None where there is no curve.
    """
    names = [name for name in curves if not name.startswith("val_")]
    if not names:
        return None
    figure, panels = _panels(len(names), width=2.9, height=2.2)
    for name, axes in zip(names, panels):
        for line, style in ((name, "-"), (f"val_{name}", "--")):
            values = curves.get(line, ())
            if values:
                axes.plot(
                    range(1, len(values) + 1),
                    values,
                    style,
                    color=COLOURS[DISTILLED] if style == "-" else COLOURS[ALONE],
                    marker="." if len(values) < 30 else "",
                    label="training" if style == "-" else "validation",
                )
        axes.set_title(name.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("epoch", **_STYLE)
    longest = max(panels, key=lambda axes: len(axes.lines))
    if len(longest.lines) > 1:
        _legend(figure, longest)
    return _png(figure)


def calibration_plot(bins: Sequence[CalibrationBins]) -> bytes | None:
    """Observed over predicted click rate in bins of equal mass, a panel per stage.

    Returns:
        PNG bytes; None where no bins were given.
    """
    stages = list(dict.fromkeys(entry.stage for entry in bins))
    if not stages:
        return None
    figure, panels = _panels(len(stages), width=4.2, height=4.6)
    for stage, axes in zip(stages, panels):
        own = [entry for entry in bins if entry.stage == stage]
        rates = [rate for e in own for rate in (*e.predicted, *e.observed)]
        end = min(1.0, 1.08 * max(rates, default=1.0))
        axes.plot([0, end], [0, end], color="#bbbbbb", lw=1, label="calibrated")
        for entry in sorted(own, key=lambda entry: MODELS.index(entry.model)):
            axes.plot(
                entry.predicted,
                entry.observed,
                marker=MARKERS[entry.model],
                ms=4,
                lw=1.4,
                color=COLOURS[entry.model],
                label=f"{title(entry.model)} (ECE {_ece(entry):.4f})",
            )
        axes.set_xlim(0, end)
        axes.set_ylim(0, end)
        axes.set_box_aspect(1)
        axes.set_title(title(stage))
        axes.set_xlabel("mean prediction of the bin", **_STYLE)
        axes.set_ylabel("click rate of the bin", **_STYLE)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=2,
            fontsize=8,
            frameon=False,
        )
    return _png(figure)


def cascade_plot(cascades: Sequence[Cascade]) -> bytes | None:
    """What each stage lets through: relevant items, tail ones, the teacher's set.

    Returns:
        PNG bytes; None where no cascade has stages.
    """
    cascades = [cascade for cascade in cascades if cascade.stages]
    if not cascades:
        return None
    shown = {
        "survival": "Relevant items still there",
        "survival_tail": "Relevant tail items still there",
        "overlap": "Overlap with the teacher's set",
    }
    figure, panels = _panels(len(shown), width=3.7, height=3.3)
    for (name, text), axes in zip(shown.items(), panels):
        drawn = [c for c in cascades if name != "overlap" or c.name != TEACHER]
        drawn.sort(key=lambda cascade: MODELS.index(cascade.name))
        for place, cascade in enumerate(drawn):
            _draw_bars(axes, cascade, name, place, len(drawn))
        stages = cascades[0].stages
        axes.set_xticks(range(len(stages)))
        axes.set_xticklabels([f"{title(s.name).split()[0]}\n{s.kept}" for s in stages])
        axes.set_ylim(0, 1)
        axes.set_title(text)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0%}"))
        axes.grid(visible=False, axis="x")
    _legend(figure, panels[0])
    return _png(figure)


def funnel_plot(funnels: Mapping[str, Sequence[CascadeStage]]) -> bytes | None:
    """The share of positives that survives each stage, a line for each cascade.

    Args:
        funnels: Name of the cascade -> its stages, with `survival` over seeds. All
            start with every positive in the catalogue.

    Returns:
        PNG bytes; None where there is no cascade.
    """
    if not funnels:
        return None
    figure, (axes,) = _panels(1, width=6.4, height=4.0)
    stages = next(iter(funnels.values()))
    for place, (name, kept) in enumerate(funnels.items()):
        values = [np.asarray(stage.values["survival"], dtype=float) for stage in kept]
        axes.errorbar(
            range(1 + len(kept)),
            [1.0, *(v.mean() for v in values)],
            yerr=[0.0, *(v.std(ddof=1) if v.size > 1 else 0.0 for v in values)],
            marker="o",
            ms=5,
            capsize=3,
            color=_colour(name, place),
            label=f"{title(name)}: {values[-1].mean():.1%}",
        )
    axes.set_xticks(range(1 + len(stages)))
    labels = [f"{title(stage.name).split()[0]}\n{stage.kept}" for stage in stages]
    axes.set_xticklabels(["Catalogue", *labels])
    axes.set_ylim(0, 1.02)
    axes.margins(x=0.12)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0%}"))
    axes.set_title("Positives still there after each stage")
    _legend(figure, axes)
    return _png(figure)


def frontier_plot(
    curves: Mapping[str, Sequence[FunnelPoint]], quality: str
) -> bytes | None:
    """Quality of the page over the cost of a request, by FLOPs and by latency.

    Args:
        curves: Name of the cascade -> its points, such as `metrics.sweep`'s. A line
            joins those on its Pareto frontier, with their sizes; the others are faint.
        quality: A metric of `METRICS`.

    Returns:
        PNG bytes; None where there is no point.
    """
    if not any(curves.values()):
        return None
    figure, panels = _panels(2, width=5.4, height=4.4)
    prices: dict[Price, str] = {"mflops": "MFLOP", "p50_ms": "latency p50 (ms)"}
    for axes, (by, text) in zip(panels, prices.items()):
        for place, (name, points) in enumerate(curves.items()):
            colour, best = _colour(name, place), pareto(points, by)
            for drawn, style in ((points, "."), (best, "-o")):
                axes.plot(
                    [getattr(point.cost, by) for point in drawn],
                    [point.quality for point in drawn],
                    style,
                    ms=4,
                    color=colour,
                    alpha=1.0 if drawn is best else 0.35,
                    label=title(name) if drawn is best else None,
                )
            for point in best:
                axes.annotate(
                    ">".join(map(str, point.sizes[:-1])),
                    (getattr(point.cost, by), point.quality), (4, -9),
                    textcoords="offset points", fontsize=6, color=colour,
                )  # fmt: skip
        _log_scale(axes)
        axes.margins(x=0.15, y=0.1)
        axes.set_xlabel(f"{text} of a request, log scale", **_STYLE)
        axes.set_ylabel(f"{metric(quality).label} of the page", **_STYLE)
    _legend(figure, panels[0])
    return _png(figure)


def _colour(name: str, place: int) -> str:
    """The colour of one of `MODELS`, or else one by the place in the plot."""
    return COLOURS.get(name, _OTHERS[place % len(_OTHERS)])


def _draw_points(axes: Axes, stage: Stage, latency: Mapping[str, float]) -> None:
    """Draws each model's mean with its spread, and the step from alone to distilled."""
    means = {}
    for model in stage.models:
        values = np.asarray(model.test[stage.primary], dtype=float)
        means[model.name] = float(values.mean())
        axes.errorbar(
            latency[model.name],
            means[model.name],
            yerr=values.std(ddof=1) if values.size > 1 else None,
            fmt=MARKERS[model.name],
            color=COLOURS[model.name],
            ms=7,
            capsize=3,
            label=title(model.name),
        )
    shown = metric(stage.primary)
    students = [mean for name, mean in means.items() if name != TEACHER]
    for name, mean in means.items():
        left = name == TEACHER  # the slowest: its label has no room on the right
        lift = -3 if left else 1 if mean == max(students) else -7  # never overlapping
        axes.annotate(
            shown.show(mean), (latency[name], mean), (-9 if left else 9, lift),
            textcoords="offset points", ha="right" if left else "left",
            color=COLOURS[name], fontsize=8,
        )  # fmt: skip
    if ALONE in means and DISTILLED in means:
        axes.annotate(
            "", (latency[DISTILLED], means[DISTILLED]), (latency[ALONE], means[ALONE]),
            arrowprops={"arrowstyle": "->", "color": "#888888", "shrinkA": 5},
        )  # fmt: skip
    axes.margins(y=0.25)


def _draw_bars(axes: Axes, cascade: Cascade, name: str, place: int, of: int) -> None:
    """Draws one cascade's bars beside the others', with their values."""
    width = 0.8 / of
    for position, stage in enumerate(cascade.stages):
        values = np.asarray(stage.values.get(name, [math.nan]), dtype=float)
        x, mean = position + (place - (of - 1) / 2) * width, float(values.mean())
        axes.bar(
            x,
            mean,
            0.92 * width,
            yerr=values.std(ddof=1) if values.size > 1 else None,
            color=COLOURS[cascade.name],
            ecolor="#222222",
            label=title(cascade.name) if position == 0 else None,
        )
        if not math.isnan(mean):
            axes.annotate(
                f"{100 * mean:.1f}", (x, mean), (0, 3), textcoords="offset points",
                ha="center", fontsize=7, color="#333333",
            )  # fmt: skip


def _ece(entry: CalibrationBins) -> float:
    """Returns the expected calibration error of the bins."""
    gaps = np.abs(np.asarray(entry.predicted) - np.asarray(entry.observed))
    return float(np.average(gaps, weights=entry.count)) if gaps.size else math.nan


def _panels(count: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Returns a figure with `count` styled panels, three or four in a row."""
    columns = min(count, 4 if -count % 4 <= -count % 3 else 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    panels = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#999999")
        axes.tick_params(labelsize=8, color="#999999")
        axes.grid(color="#eeeeee", lw=0.8)
        axes.set_axisbelow(True)
        axes.title.set_fontsize(10)
    return figure, panels


def _log_scale(axes: Axes) -> None:
    """Makes the horizontal axis logarithmic, with plain numbers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, axes: Axes) -> None:
    """Puts one legend for all panels below them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return buffer.getvalue()
