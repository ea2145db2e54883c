"""Latency of the trained rankers of ranking.py: one user and 500 candidates.

    python benchmarks/ranking_latency.py movielens-1m --data-dir DIR [--rerun]

The nets of seed 0 are exported, checked and called through their signature `packed`
from Python, in turns in one process of one thread; rows that were not trained yet are
trained. Trees are measured after them: LightGBM's `predict` on encoded features, one
thread. A run is one line of benchmarks/results/ranking_latency.jsonl; docs/ranking.md
has the tables.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import store
from ranking import Bench
from ranking_table import LATENCY, SERVED
from tfdistill.zoo.serving import CANDIDATES, request_of

from tfdistill.data import Requests
from tfdistill.export import (
    flops,
    latency,
    pack,
    parameters,
    publish,
    ranker_servable,
)

ROUNDS = 50


def measure(bench: Bench) -> dict[str, Any]:
    """Parameters, MFLOP, p50 and p99 (ms) of each row that a problem has."""
    spec, test = bench.problem.spec, bench.problem.test
    sent = [request_of(test, row, CANDIDATES) for row in range(8)]
    nets = {
        name: bench.net(name, 0)
        for name in SERVED
        if bench.has(name) and name != "GBDT"
    }
    with tempfile.TemporaryDirectory() as folder:
        servables = {
            pathlib.Path(folder, name): ranker_servable(net, spec, example=sent[0])
            for name, net in nets.items()
        }
        paths = {pathlib.Path(d).name: r.path for d, r in publish(servables).items()}
        timed = latency(
            paths,
            [pack(request, spec) for request in sent],
            baseline="teacher",
            threads=1,
            rounds=ROUNDS,
            signatures=dict.fromkeys(paths, "packed"),
        )
    found = {}
    for name, net in nets.items():
        counted = parameters(net)
        found[name] = {
            "parameters": counted.tables + counted.rest,
            "mflop": round(flops(net, list_size=CANDIDATES), 3),
            "p50": round(timed[name].p50, 3),
            "p99": round(timed[name].p99, 3),
        }
    if bench.has("GBDT"):
        found["GBDT"] = trees(bench, sent)
    return {"rows": found}


def trees(bench: Bench, sent: list[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Latency of boosted trees on the same requests."""
    teacher = bench.trees()
    requests: Requests = bench.problem.test
    matrices = []
    for request in sent:
        pairs = {
            name: np.repeat(request[name], CANDIDATES, axis=0)
            if name in requests.users
            else request[name][0]
            for name in bench.problem.spec.names
        }
        matrices.append(teacher.columns.matrix(pairs))
    spent = []
    for _ in range(ROUNDS):
        for matrix in matrices:
            start = time.perf_counter()
            teacher.booster.predict(matrix, raw_score=True, num_threads=1)
            spent.append(1000 * (time.perf_counter() - start))
    return store.percentiles(spent, 50, 99)


def main() -> None:
    """Measures a problem if that is new, and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=("movielens-1m", "kuairec", "frappe"))
    parser.add_argument("--data-dir", type=pathlib.Path, default="data")
    parser.add_argument("--work", type=pathlib.Path, default="runs/ranking")
    parser.add_argument("--rerun", action="store_true", help="measure once more")
    options = parser.parse_args()
    if options.rerun or options.problem not in store.finished(LATENCY):
        bench = Bench(options.problem, options.data_dir, options.work)
        store.append(LATENCY, options.problem, measure(bench))
    for name, values in store.finished(LATENCY)[options.problem]["rows"].items():
        print(f"{name}: {values}")


if __name__ == "__main__":
    main()
