"""The tables of docs/ranking.md, from what `ranking.py` and its latency measured.

    python benchmarks/ranking_table.py

Writes each problem's table between its markers in docs/ranking.md.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import store
from pages import renewed, seeds
from ranking_rows import ROWS

NAME = "ranking"
LATENCY = "ranking_latency"
SERVED = (
    "teacher",
    "LR",
    "FM",
    "GBDT",
    "small alone",
    "small soft",
    "small soft + unlabelled",
    "small under GBDT",
    "third alone",
    "third under teacher and GBDT",
    "joint, no hint",
    "large teacher",
    "third under large teacher",
    "third under large teacher + unlabelled",
)
TEACHERS = ("teacher", "large teacher")
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "ranking.md"
METRICS = {
    "auc": "AUC",
    "gauc": "GAUC",
    "log_loss": "log loss",
    "calibration": "predicted / true",
    "ece": "ECE",
    "known_ratio": "predicted / known rate",
    "known_error": "error of the rate",
}
NOT_CALIBRATED = {"frappe"}  # the negatives are drawn
CALIBRATION = {"log_loss", "calibration", "ece"}

Runs = Sequence[Mapping[str, float]]


def table(problem: str) -> str:
    """Returns a problem's table in Markdown: the rows whose seeds are all there."""
    done = store.finished(NAME)
    found = {name: seeds(done, problem, name) for name in ROWS}
    most = max(len(runs) for runs in found.values())
    found = {name: runs for name, runs in found.items() if runs and len(runs) == most}
    metrics = [name for name in METRICS if _shown(problem, name, found)]
    titles = [METRICS[name] for name in metrics]
    lines = [
        f"| row | parameters | {' | '.join(titles)} | AUC over baseline "
        "| the joint teacher's AUC |",
        "|---" * (len(metrics) + 4) + "|",
    ]
    for name in found:
        for output in ROWS[name].outputs:
            label = f"{name}, {output[len(ROWS[name].net) + 1 :]}".rstrip(", ")
            cells = [label, *_cells(name, output, found, metrics)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(problem: str, metric: str, found: Mapping[str, Runs]) -> bool:
    """Whether a column is true of the problem and there."""
    first = next((runs[0] for runs in found.values()), {})
    there = any(name.endswith(f"/{metric}") for name in first)
    return there and not (problem in NOT_CALIBRATED and metric in CALIBRATION)


def _cells(
    name: str, output: str, found: Mapping[str, Runs], metrics: Sequence[str]
) -> list[str]:
    row, runs = ROWS[name], found[name]
    parameters = runs[0].get(f"{row.net}/parameters")
    cells = [f"{parameters:,}" if parameters else ""]
    cells += [
        store.spread([run[f"{output}/{metric}"] for run in runs]) for metric in metrics
    ]
    gain = ""
    if row.baseline in found:
        other = output.replace(row.net, ROWS[row.baseline].net, 1)
        pairs = zip(runs, found[row.baseline])
        gain = store.spread(
            [a[f"{output}/auc"] - b[f"{other}/auc"] for a, b in pairs], "+"
        )
        gain += f" ({row.baseline})"
    taught = output.replace(row.net, "teacher", 1)
    joint = row.net != "teacher" and f"{taught}/auc" in runs[0]
    teacher = store.spread([run[f"{taught}/auc"] for run in runs]) if joint else ""
    return [*cells, gain, teacher]


def latency_table(problem: str) -> str:
    """Returns quality and latency of the served rows of a problem in Markdown."""
    done, timed = store.finished(NAME), store.finished(LATENCY)[problem]["rows"]
    teachers = [name for name in TEACHERS if name in timed]
    lines = [
        "| served | AUC | GAUC | MFLOP | p50 / p99, ms "
        + " ".join(f"| faster than the {name}" for name in teachers)
        + " |",
        "|---" * (5 + len(teachers)) + "|",
    ]
    for name, values in timed.items():
        net = ROWS[name].net
        quality = [
            store.spread([run[f"{net}/{k}"] for run in seeds(done, problem, name)])
            for k in ("auc", "gauc")
        ]
        cells = [
            name,
            *quality,
            f"{values['mflop']:.2f}" if "mflop" in values else "",
            f"{values['p50']:.2f} / {values['p99']:.2f}",
            *(f"{timed[name]['p50'] / values['p50']:.1f}x" for name in teachers),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = {"ranking": table, "latency": latency_table}


def written(page: str) -> str:
    """Returns a page with each table between its two markers renewed."""
    for name, made in TABLES.items():
        page = renewed(page, name, made)
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
