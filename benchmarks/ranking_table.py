"""The tables of docs/ranking.md, from what `ranking.py` and its latency measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pages
import store
from harness import Column, Runs, cell, present, table_of
from ranking_rows import ROWS

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
METRICS = {
    "AUC": "auc",
    "GAUC": "gauc",
    "log loss": "log_loss",
    "predicted / true": "calibration",
    "ECE": "ece",
    "predicted / known rate": "known_ratio",
    "error of the rate": "known_error",
}
NOT_CALIBRATED = {"frappe": ("log_loss", "calibration", "ece")}
"""What says nothing where the negatives are drawn."""


def quality(problem: str, runs: Runs) -> str:
    """Returns a problem's table in Markdown: the rows whose seeds are all there."""
    most = max(len(lines) for lines in runs.values())
    untrue = NOT_CALIBRATED.get(problem, ())
    metrics = {title: m for title, m in METRICS.items() if m not in untrue}
    outputs = {
        f"{name}, {task}".rstrip(", "): [_of_output(name, task, x) for x in lines]
        for name, lines in runs.items()
        for task in (ROWS[name].tasks or ("",) if len(lines) == most else ())
    }
    columns: dict[str, Column] = {"parameters": _parameters}
    columns.update(present(metrics, outputs))
    columns["AUC over baseline"] = _gain
    columns["the joint teacher's AUC"] = _joint
    return table_of("row", columns, outputs)


def _of_output(name: str, task: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """A line with the metrics of one output, and those of its joint teacher."""
    row, end, test = ROWS[name], task and f"_{task}", line["test"]
    joint = {} if row.net == "teacher" else _under(f"teacher{end}", test)
    return {
        "test": _under(f"{row.net}{end}", test),
        "teacher": joint,
        "parameters": test.get(f"{row.net}/parameters"),
        "baseline": (f"{row.baseline}, {task}".rstrip(", "), row.baseline),
    }


def _under(output: str, test: Mapping[str, float]) -> dict[str, float]:
    head = f"{output}/"
    return {k[len(head) :]: v for k, v in test.items() if k.startswith(head)}


def _parameters(row: str, runs: Runs) -> str:
    parameters = runs[row][0]["parameters"]
    return f"{parameters:,}" if parameters else ""


def _gain(row: str, runs: Runs) -> str:
    baseline, name = runs[row][0]["baseline"]
    pairs = zip(runs[row], runs.get(baseline, ()))
    gains = [one["test"]["auc"] - other["test"]["auc"] for one, other in pairs]
    return f"{pages.spread(gains, '+')} ({name})" if gains else ""


def _joint(row: str, runs: Runs) -> str:
    found = [line["teacher"].get("auc") for line in runs[row]]
    return "" if None in found else pages.spread(found)


def latency(problem: str, runs: Runs) -> str:
    """Returns quality and latency of the served rows of a problem in Markdown."""
    timed = store.finished(LATENCY)[problem]["rows"]
    teachers = [name for name in TEACHERS if name in timed]
    faster = [f"faster than the {name}" for name in teachers]
    rows = []
    for name, values in timed.items():
        lines = [_of_output(name, "", line) for line in runs[name]]
        rows.append(
            [
                name,
                *(cell(metric, name, {name: lines}) for metric in ("auc", "gauc")),
                f"{values['mflop']:.2f}" if "mflop" in values else "",
                f"{values['p50']:.2f} / {values['p99']:.2f}",
                *(f"{timed[name]['p50'] / values['p50']:.1f}x" for name in teachers),
            ]
        )
    titles = ["served", "AUC", "GAUC", "MFLOP", "p50 / p99, ms", *faster]
    return pages.markdown(titles, rows)
