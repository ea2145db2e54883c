"""What training a teacher and three students costs beside the teacher alone.

    python benchmarks/unified_speed.py [--rerun]

A step, as in `ranking_speed.py`: 26 categorical features with a million rows and 13
numeric ones, batches of 64 requests of 20 candidates, one thread, in turns in one
process; once with the default teacher (cross layers beside 256-128) and once with that
of `ranking_speed.py` (beside 1024-512-256). Whole trainings: those of the small
simulator of `unified.py`, validation and searches for candidates included, one after
the other in the same process. A run is one line of
benchmarks/results/unified_speed.jsonl; --rerun measures another.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import timing
from ranking_speed import feature_spec, make_pair, step_times, training_step
from timing import show_ratios, threads
from unified import VARIANTS
from unified_data import PROBLEMS

from tfdistill.study import train
from tfdistill.zoo.unified_cascade import default_nets, recipe

TRAINED = "simulator-4k"


def steps() -> dict[str, dict[str, float]]:
    """Milliseconds of a step, by teacher."""
    spec = feature_spec()
    teachers = {
        "256-128": default_nets(spec)["teacher"],
        "1024-512-256": make_pair(spec).teacher,
    }
    found = {}
    for name, teacher in teachers.items():
        unified = recipe({**default_nets(spec), "teacher": teacher})
        found[name] = step_times(
            {
                "teacher alone": training_step(unified.only("teacher"), spec),
                "with students": training_step(unified, spec),
                "with students, teacher at rest": training_step(
                    unified, spec, resting=["teacher"]
                ),
            }
        )
    return found


def trainings() -> dict[str, float]:
    """Seconds of processor time of whole trainings, of as many steps each."""
    problem = PROBLEMS[TRAINED](None)
    found = {}
    for name, made in {
        "teacher alone": problem.recipe().only("teacher"),
        "with students": problem.recipe(),
        "with students, equal lists": VARIANTS["equal lists"](problem),
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            train(made, problem, folder)
            found[name] = round(time.process_time() - start, 1)
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Steps and trainings, with one thread."""
    threads(1)
    return {"steps": steps(), "trainings": trainings()}


def show(run: Mapping[str, Any]) -> None:
    costs = {f"a step, teacher {name}": s for name, s in run["steps"].items()}
    for what, spent in {**costs, "trainings": run["trainings"]}.items():
        show_ratios(what, spent)


if __name__ == "__main__":
    timing.main("unified_speed", measure, shown=show)
