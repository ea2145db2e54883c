"""Writes the tables of docs/keras.md from the finished runs.

python benchmarks/settings_table.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pages
import store

PAGE = "keras.md"
SETTINGS = ("a", "b", "c")
ROWS = {
    "recall, NDCG@10": "recall/{}/ndcg@10",
    "coarse ranking, GAUC": "coarse/{}/gauc",
    "fine ranking, GAUC": "fine/{}/gauc",
}
MODELS = ("teacher", "student alone", "student distilled")


def _values() -> list[list[str]]:
    runs = store.finished("settings_values")
    kinds = list(runs["b/1"]["kinds"])
    rows = [["", "arrays", "b", "c"]]
    for kind in kinds:
        found = [runs[f"{setting}/1"]["kinds"][kind] for setting in ("b", "c")]
        differences = [f"{one['difference']:.1e}" for one in found]
        rows.append([kind, str(found[0]["arrays"]), *differences])
    return rows


def _start() -> list[list[str]]:
    runs = store.finished("settings_training")
    chosen = {s: runs[f"{s}/one-start"] for s in SETTINGS}
    rows = [["", *SETTINGS]]
    for epoch in (0, 9, 19):
        losses = [f"{run['loss'][epoch]:.4f}" for run in chosen.values()]
        rows.append([f"loss of epoch {epoch + 1}", *losses])
    for metric in chosen["a"]["valid"]:
        values = [f"{run['valid'][metric]:.4f}" for run in chosen.values()]
        rows.append([f"`{metric}`", *values])
    return rows


def _joint() -> list[list[str]]:
    runs = store.finished("settings_training")
    rows = [["", "seeds of a", "b, seed 0", "c, seed 0", "seeds of c"]]
    for label, metric in ROWS.items():
        for model in MODELS:
            rows.append([f"{label}, {model}", *_cells(runs, metric.format(model))])
    return rows


def _cells(runs: Mapping[str, Any], metric: str) -> list[str]:
    """Mean and spread where there are seeds, and the value of one."""
    found = {
        setting: [
            run["test"][metric]
            for name, run in runs.items()
            if name.startswith(f"{setting}/seed-")
        ]
        for setting in SETTINGS
    }
    one = [f"{found[s][0]:.4f}" if found[s] else "" for s in ("b", "c")]
    return [pages.mean(found["a"]), *one, pages.mean(found["c"])]


def _speed() -> list[list[str]]:
    *_, run = store.finished("settings_speed").values()
    rows = [["network, setting", "CPU ms", "over a", "wall ms", "over a"]]
    for step in run["steps"]:
        times = []
        for clock in ("cpu", "wall"):
            times.append(f"{step[f'{clock}_ms']:.2f}")
            times.append(f"{step[f'{clock}_ratio']:.3f}")
        rows.append([f"{step['network']}, {step['setting']}", *times])
    return rows


PARTS: Mapping[str, Callable[[], list[list[str]]]] = {
    "values": _values,
    "start": _start,
    "joint": _joint,
    "speed": _speed,
}


def table(part: str) -> str:
    """The table of one of `PARTS`."""
    head, *rows = PARTS[part]()
    return pages.markdown(head, rows).replace("|---", "| --- ")  # as the page has it


if __name__ == "__main__":
    pages.renew(PAGE, {"settings": table})
