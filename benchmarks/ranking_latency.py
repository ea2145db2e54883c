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
import functools
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import timing
from ranking import Ranking
from ranking_table import LATENCY, SERVED
from timing import folder, in_turns, percentiles

from tfdistill.data import Requests
from tfdistill.export import flops, latency, pack, parameters, publish, ranker_servable
from tfdistill.jobs.exports import CANDIDATES, request_of

ROUNDS = 50


def measure(bench: Ranking) -> dict[str, Any]:
    """Parameters, MFLOP, p50 and p99 (ms) of each row that a problem has."""
    spec, test = bench.data.spec, bench.data.test
    sent = [request_of(test, row, CANDIDATES) for row in range(8)]
    nets = {
        name: bench.net(name, 0)
        for name in SERVED
        if bench.has(name, 0) and name != "GBDT"
    }
    with tempfile.TemporaryDirectory() as work:
        servables = {
            pathlib.Path(work, name): ranker_servable(net, spec, example=sent[0])
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
    if bench.has("GBDT", 0):
        found["GBDT"] = trees(bench, sent)
    return {"rows": found}


def trees(bench: Ranking, sent: list[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Latency of boosted trees on the same requests."""
    teacher = bench.trees()
    requests: Requests = bench.data.test
    matrices = []
    for request in sent:
        pairs = {
            name: np.repeat(request[name], CANDIDATES, axis=0)
            if name in requests.users
            else request[name][0]
            for name in bench.data.spec.names
        }
        matrices.append(teacher.columns.matrix(pairs))
    predict = functools.partial(teacher.booster.predict, raw_score=True, num_threads=1)
    calls = {n: functools.partial(predict, m) for n, m in enumerate(matrices)}
    times = in_turns(calls, ROUNDS, dropped=0)
    return percentiles(np.ravel([spent["wall"] for spent in times.values()]), 50, 99)


def measure_problem(options: argparse.Namespace) -> dict[str, Any]:
    return measure(Ranking(options.part, options.data_dir, options.work))


if __name__ == "__main__":
    timing.main(
        LATENCY,
        measure_problem,
        parts=("movielens-1m", "kuairec", "frappe"),
        one_file=True,
        arguments={"--data-dir": folder("data"), "--work": folder("runs/ranking")},
    )
