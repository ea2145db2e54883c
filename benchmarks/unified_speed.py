"""A step of training a teacher and three students beside one of the teacher alone.

    python benchmarks/unified_speed.py [--rerun]

As in `ranking_speed.py`: 26 categorical features with a million rows and 13 numeric
ones, batches of 64 requests of 20 candidates, one thread, in turns in one process; once
with the default teacher (cross layers beside 256-128) and once with that of
`ranking_speed.py` (beside 1024-512-256). Beside it the search for the candidates of all
users, once a round: 500 of 50,000 items for each of 20,000 users. A run is one line of
benchmarks/results/unified_speed.jsonl; --rerun measures another.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import store
import tensorflow as tf
from ranking_speed import feature_spec, in_turns, make_pair

from tfdistill.metrics import dot_scores, top_k
from tfdistill.zoo.unified_cascade import default_nets, recipe

NAME = "unified_speed"
USERS, ITEMS, WIDTH, DEPTH = 20_000, 50_000, 32, 500


def measure() -> dict[str, Any]:
    """Milliseconds of a step by teacher, and seconds of a search."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    spec = feature_spec()
    teachers = {
        "256-128": default_nets(spec)["teacher"],
        "1024-512-256": make_pair(spec).teacher,
    }
    steps = {}
    for name, teacher in teachers.items():
        unified = recipe({**default_nets(spec), "teacher": teacher})
        recipes = {"teacher alone": unified.only("teacher"), "with students": unified}
        steps[name] = in_turns(recipes, spec)
    rng = np.random.default_rng(0)
    queries, items = (
        rng.standard_normal((size, WIDTH), np.float32) for size in (USERS, ITEMS)
    )
    start = time.process_time()
    top_k(dot_scores(queries, items), USERS, DEPTH)
    return {"steps": steps, "seconds of a search": round(time.process_time() - start)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rerun", action="store_true", help="measure once more")
    run = store.newest(NAME, measure, rerun=parser.parse_args().rerun)
    for name, spent in run["steps"].items():
        ratio = spent["with students"] / spent["teacher alone"]
        print(f"teacher {name}: {spent}, {ratio:.2f}x")
    print(f"seconds of a search: {run['seconds of a search']}")


if __name__ == "__main__":
    main()
