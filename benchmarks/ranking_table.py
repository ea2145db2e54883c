"""The tables of docs/ranking.md, from the finished runs of `ranking.py`.

    python benchmarks/ranking_table.py

Writes each problem's table between its markers in docs/ranking.md.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import store
from ranking_rows import ROWS

NAME = "ranking"
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "ranking.md"
METRICS = {
    "auc": "AUC",
    "gauc": "GAUC",
    "log_loss": "log loss",
    "calibration": "predicted / true",
    "ece": "ECE",
}

Runs = Sequence[Mapping[str, float]]


def table(problem: str) -> str:
    """Returns a problem's table in Markdown: the rows whose seeds are all there."""
    done = store.finished(NAME)
    found = {name: _seeds(done, problem, name) for name in ROWS}
    most = max(len(runs) for runs in found.values())
    found = {name: runs for name, runs in found.items() if runs and len(runs) == most}
    lines = [
        "| row | parameters | " + " | ".join(METRICS.values()) + " | AUC over baseline "
        "| the joint teacher's AUC |",
        "|---" * (len(METRICS) + 4) + "|",
    ]
    for name, runs in found.items():
        lines.append("| " + " | ".join([name, *_cells(name, runs, found)]) + " |")
    return "\n".join(lines)


def _seeds(done: Mapping[str, Any], problem: str, name: str) -> Runs:
    runs = []
    while f"{problem}/{name}/seed-{len(runs)}" in done:
        runs.append(done[f"{problem}/{name}/seed-{len(runs)}"]["test"])
    return runs


def _cells(name: str, runs: Runs, others: Mapping[str, Runs]) -> list[str]:
    row = ROWS[name]
    parameters = runs[0].get(f"{row.net}/parameters")
    cells = [f"{parameters:,}" if parameters else ""]
    cells += [
        store.spread([run[f"{row.net}/{metric}"] for run in runs]) for metric in METRICS
    ]
    gain = ""
    if row.baseline in others:
        other = ROWS[row.baseline].net
        pairs = zip(runs, others[row.baseline])
        gain = store.spread(
            [a[f"{row.net}/auc"] - b[f"{other}/auc"] for a, b in pairs], "+"
        )
        gain += f" ({row.baseline})"
    joint = row.net != "teacher" and "teacher/auc" in runs[0]
    teacher = store.spread([run["teacher/auc"] for run in runs]) if joint else ""
    return [*cells, gain, teacher]


def written(page: str) -> str:
    """Returns a page with each table between its two markers renewed."""
    parts = page.split("<!-- ")
    for index, part in enumerate(parts):
        marker, end, _ = part.partition(" -->")
        if end and marker.startswith("ranking: "):
            problem = marker.removeprefix("ranking: ")
            parts[index] = f"{marker} -->\n\n{table(problem)}\n\n"
    return "<!-- ".join(parts)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
