"""Finished runs, one JSON line each: what is there is not run again; and spreads."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tfdistill.zoo.machine import hardware, versions

from tfdistill.documents import as_json, read
from tfdistill.files import written_whole
from tfdistill.identity import fingerprint

RESULTS = pathlib.Path(__file__).parent / "results"


def finished(name: str) -> dict[str, dict[str, Any]]:
    """Returns the runs in `results/<name>.jsonl` by their id."""
    path = RESULTS / f"{name}.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    runs: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        run = read(line, dict[str, Any], what="a run", where=where)
        if "run" not in run:
            raise ValueError(f"{where} has no id of the run, only {sorted(run)}.")
        runs[run["run"]] = run
    return runs


def newest(
    name: str, measure: Callable[[], Mapping[str, Any]], *, rerun: bool
) -> dict[str, Any]:
    """Returns the last run, after measuring one if there is none or on `rerun`."""
    runs = finished(name)
    if rerun or not runs:
        append(name, f"{name}-{len(runs) + 1}", measure())
    return list(finished(name).values())[-1]


def kept(
    path: pathlib.Path, made_of: Any, make: Callable[[], Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Arrays that are made once, and read back only where they were made of the same.

    Args:
        path: The file's place; the fingerprint of what it is made of joins its name.
        made_of: Everything that decides them; see `fingerprint`.
        make: Makes them.
    """
    path = path.with_name(f"{path.name}-{fingerprint(made_of)}.npz")
    if not path.exists():
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as unfinished, open(unfinished, "wb") as file:
            np.savez(file, **made)
    with np.load(path) as arrays:
        return dict(arrays)


def percentiles(
    times: Sequence[float], *which: int, digits: int = 3
) -> dict[str, float]:
    """The percentiles of some times, by name: `p50`, `p99`."""
    found = np.percentile(times, which)
    return {f"p{q}": round(float(time), digits) for q, time in zip(which, found)}


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation over seeds; `sign="+"` for differences."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{np.mean(values):{sign}.4f} ± {deviation:.4f}"


def mean(values: Sequence[float]) -> str:
    """The spread of several seeds, and of one alone its value."""
    return spread(values) if len(values) > 1 else f"{values[0]:.4f}"


def append(name: str, run: str, values: Mapping[str, Any]) -> None:
    """Adds one finished run with the machine and, if not given, the versions here."""
    here = {"hardware": hardware(), "versions": versions()}
    row = {"run": run, **values, **{k: v for k, v in here.items() if k not in values}}
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / f"{name}.jsonl", "a", encoding="utf-8") as file:
        file.write(as_json(row, indent=None) + "\n")
