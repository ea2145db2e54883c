"""One way to time, to run apart and to show: what all benchmarks of speed share.

Variants take turns in one process, so that what else the machine does falls on all of
them, and the first rounds, which trace, are dropped.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pages
import pandas as pd
import store

CLOCKS = ("cpu", "wall")


def threads(number: int) -> None:
    """Sets how many threads TensorFlow may have."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(number)
    tf.config.threading.set_inter_op_parallelism_threads(number)


def in_turns(
    variants: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    dropped: int = 1,
    calls: int = 1,
    seconds: float = 0.0,
) -> dict[str, dict[str, np.ndarray]]:
    """Milliseconds of a call of each variant, by clock (`cpu`, `wall`) and round.

    Args:
        variants: What is called, by name.
        rounds: How many rounds are kept at least.
        dropped: How many are not, before them.
        calls: How many calls a variant has in a round.
        seconds: How long the rounds go on at least.
    """
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    end, turn = time.perf_counter() + seconds, 0
    while turn < rounds + dropped or time.perf_counter() < end:
        for name, call in variants.items():
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(calls):
                call()
            took = time.process_time() - cpu, time.perf_counter() - wall
            spent[name].append(took)
        turn += 1
    kept = {n: 1000 / calls * np.array(s[dropped:]).T for n, s in spent.items()}
    return {name: dict(zip(CLOCKS, times)) for name, times in kept.items()}


def medians(times: Mapping[str, np.ndarray], digits: int = 3) -> dict[str, float]:
    """The medians of a variant's times: `cpu_ms`, `wall_ms`."""
    return {f"{c}_ms": round(float(np.median(t)), digits) for c, t in times.items()}


def percentiles(
    times: Sequence[float], *which: int, digits: int = 3
) -> dict[str, float]:
    """The percentiles of some times, by name: `p50`, `p99`."""
    found = np.percentile(times, which)
    return {f"p{q}": round(float(time), digits) for q, time in zip(which, found)}


def resident(field: str = "VmRSS", pid: int | str = "self") -> float:
    """Megabytes of a process, from the system's account."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    (line,) = (row for row in status.splitlines() if row.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def child(
    script: str,
    *arguments: Any,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.Popen:
    """Starts `python script --child arguments`, whose last line is read as JSON."""
    root = str(pathlib.Path(__file__).parents[1])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [python, script, "--child", *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": paths, **(env or {})}
    options = {"stdout": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(command, env=variables, **options)


def answer(process: subprocess.Popen) -> Any:
    """What a child's last line says, once it has ended.

    Raises:
        RuntimeError: If it failed.
    """
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with code {process.returncode}.")
    return json.loads(said.splitlines()[-1])


def show(run: Mapping[str, Any]) -> None:
    """Prints a run: its values, and a table of each part that has rows."""
    for name, value in run.items():
        rows = list(value.values()) if isinstance(value, Mapping) else value
        if name in ("hardware", "versions"):
            continue
        if not isinstance(rows, list) or not all(isinstance(x, Mapping) for x in rows):
            print(f"{name}: {value}")
            continue
        frame = pd.DataFrame(rows, value if isinstance(value, Mapping) else None)
        wide = len(frame.columns) > 6
        print(f"{name}:\n{(frame.T if wide else frame).to_string()}")


def show_ratios(what: str, values: Mapping[str, float]) -> None:
    """Prints some values and their ratios to the first."""
    first = next(iter(values.values()))
    for name, value in values.items():
        print(f"{what}: {name} {value} {value / first:.2f}x")


def as_child(work: Callable[..., Any]) -> bool:
    """Does a child's work and says what it gave, where this process is one."""
    here = sys.argv[1:2] == ["--child"]
    if here:
        print(json.dumps(work(*sys.argv[2:])))
    return here


def folder(default: str | None = None) -> dict[str, Any]:
    """An argument of `main` that is a path."""
    return {"type": pathlib.Path, "default": default}


def parsed(arguments: Mapping[str, Mapping[str, Any]]) -> argparse.Namespace:
    """The command line of the script that runs: `--rerun` and further arguments.

    Args:
        arguments: They, as `add_argument` takes them.
    """
    doc = sys.modules["__main__"].__doc__ or ""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    for flag, settings in arguments.items():
        parser.add_argument(flag, **settings)
    parser.add_argument("--rerun", action="store_true", help="measure once more")
    return parser.parse_args()


def main(
    name: str,
    measure: Callable[[argparse.Namespace], Mapping[str, Any]],
    *,
    parts: Sequence[str] = (),
    one_file: bool = False,
    arguments: Mapping[str, Mapping[str, Any]] | None = None,
    table: pages.Table | None = None,
    page: str = "",
    shown: Callable[[Mapping[str, Any]], None] = show,
) -> None:
    """Prints the newest run, after measuring one where there is none or on `--rerun`.

    Args:
        name: Of the file of lines; a part's file has the part's name too.
        measure: Measures a run, by the options of the command line.
        parts: What can be measured apart.
        one_file: Whether a part is a run of one file instead, by its name.
        arguments: Further ones of the command line, as `add_argument` takes them.
        table: Gives a part's table in Markdown.
        page: The page of docs/ that has the tables, which `table` renews.
        shown: Prints a run.
    """
    choices = [*parts, *(["table"] if table else [])]
    part = {"part": {"choices": choices}} if parts else {}
    options = parsed({**part, **(arguments or {})})
    part = options.part if parts else ""
    if part != "table":
        measured = functools.partial(measure, options)
        if one_file:
            run = store.once(name, part, measured, rerun=options.rerun)
        else:
            file = f"{name}_{part}".rstrip("_")
            run = store.newest(file, measured, rerun=options.rerun)
        shown(run)
    if table:
        pages.renew(page, {name: table})
