"""Finished runs, one JSON line each: what is there is not run again."""

from __future__ import annotations

import datetime
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfdistill.documents import as_json, read
from tfdistill.files import written_whole
from tfdistill.identity import fingerprint
from tfdistill.jobs.machine import hardware, versions

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


def once(
    name: str,
    run: str,
    measure: Callable[[], Mapping[str, Any]],
    *,
    rerun: bool = False,
) -> dict[str, Any]:
    """Returns a run by its id, after measuring it if it is not there or on `rerun`."""
    if rerun or run not in finished(name):
        append(name, run, _dated(measure))
    return finished(name)[run]


def newest(
    name: str, measure: Callable[[], Mapping[str, Any]], *, rerun: bool
) -> dict[str, Any]:
    """Returns the last run, after measuring one if there is none or on `rerun`."""
    if rerun or not finished(name):
        values = _dated(measure)  # another process may add a line meanwhile
        append(name, f"{name}-{len(finished(name)) + 1}", values)
    return list(finished(name).values())[-1]


def _dated(measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What was measured, with the date and the machine's load at its start."""
    load = round(os.getloadavg()[0], 1)
    return {"date": datetime.date.today().isoformat(), "load": load, **measure()}


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


def append(name: str, run: str, values: Mapping[str, Any]) -> None:
    """Adds one finished run with the machine and, if not given, the versions here."""
    here = {"hardware": hardware(), "versions": versions()}
    row = {"run": run, **values, **{k: v for k, v in here.items() if k not in values}}
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / f"{name}.jsonl", "a", encoding="utf-8") as file:
        file.write(as_json(row, indent=None) + "\n")
