"""Time of a training step in the three settings, taken in turns.

    python benchmarks/settings_speed.py A B C --data-dir DIR [--rerun]

A, B and C are the Pythons of `settings.py`. Each setting has one process, which waits
while the others work, so that what else the machine does falls on all of them, and one
thread. A round is one `fit` of `STEPS` steps in each, on batches that are kept in
memory; the first two rounds, which trace, are dropped, and the medians of the others
are kept. `cpu_ms` is the process' CPU time, `wall_ms` the clock. The networks:

* quickstart: the network of the joint cascade, a DCN-v2 teacher and three students
  over shared tables with `LazyAdam`;
* teacher: a DCN-v2 alone over the same features, Keras' `Adam` and a hard loss.

A finished run is one line of benchmarks/results/settings_speed.jsonl. The last one is
printed; --rerun measures another one.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
from collections.abc import Mapping
from typing import Any

import settings
import timing
from timing import as_child, in_turns, threads

NETWORKS = ("quickstart", "teacher")
STEPS, BATCHES, ROUNDS, DROPPED = 100, 50, 15, 2


def networks(data_dir: str | None) -> dict[str, Any]:
    """The compiled models by name, and the batches of the training."""
    import tensorflow as tf

    from tfdistill.data import RequestBatches
    from tfdistill.datasets import load_movielens
    from tfdistill.losses import SigmoidCrossEntropy
    from tfdistill.models import joint_network
    from tfdistill.optimizers import LazyAdam
    from tfdistill.study import movielens_problem
    from tfdistill.trainers import Distiller
    from tfdistill.zoo import movielens_cascade as zoo

    threads(1)
    tf.keras.utils.set_random_seed(0)
    problem = movielens_problem(load_movielens(data_dir))
    recipe = zoo.joint()
    schedule = recipe.schedule
    joint = Distiller(recipe.network(problem.spec).model, recipe.terms.transfers)
    hard = {output: SigmoidCrossEntropy() for output in recipe.labelled}
    optimizer = LazyAdam(schedule.learning_rate, rows_l2=schedule.rows_l2)
    shares = {output: recipe.terms.loss_weights.get(output, 1.0) for output in hard}
    joint.compile(optimizer, loss=hard, loss_weights=shares)
    alone = joint_network(problem.spec, {"teacher": zoo.NETS["teacher"]})
    teacher = Distiller(alone.model, ())
    teacher.compile("adam", loss={"teacher": SigmoidCrossEntropy()})
    found = {}
    for name, model, outputs in (
        ("quickstart", joint, {**recipe.labelled, "recall": ""}),
        ("teacher", teacher, {"teacher": ""}),
    ):
        batches = RequestBatches(
            problem.train,
            batch_size=schedule.batch_size,
            seed=0,
            negatives=schedule.negatives,
            known=problem.known,
            outputs=outputs,
        )
        found[name] = model, batches(0).take(BATCHES).cache().repeat()
    return found


def serve_here(name: str, *data_dir: str) -> None:
    """Answers each line, a network's name, with the times of one round."""
    from tfdistill.jobs.machine import versions

    settings.check_here(name)
    made = networks(data_dir[0] if data_dir else None)
    print(json.dumps(versions()), flush=True)
    while line := input():
        model, data = made[line]
        fit = functools.partial(model.fit, data, steps_per_epoch=STEPS, verbose=0)
        spent = in_turns({"": fit}, 1, dropped=0)[""]
        print(json.dumps([times[0] / STEPS for times in spent.values()]), flush=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Median milliseconds of a step by setting and network, and ratios to (a)."""
    data = [options.data_dir] if options.data_dir else []
    servers = {
        setting.name: settings.start(
            setting, __file__, setting.name, *data, stdin=subprocess.PIPE
        )
        for setting in settings.settings(options.pythons)
    }
    versions = {name: _answer(server) for name, server in servers.items()}
    times: dict[tuple[str, str], list[list[float]]] = {}
    for round_ in range(ROUNDS + DROPPED):
        for network in NETWORKS:
            for name, server in servers.items():
                print(network, file=server.stdin, flush=True)
                spent = _answer(server)
                if round_ >= DROPPED:
                    times.setdefault((network, name), []).append(spent)
    for server in servers.values():
        print(file=server.stdin, flush=True)
        server.wait()
    return {
        "command": "python benchmarks/settings_speed.py A B C --data-dir ml-100k",
        "seed": 0,
        "settings": versions,
        "steps": [_step(network, name, times) for network, name in times],
    }


def _answer(server: subprocess.Popen) -> Any:
    """The next line of a process."""
    line = server.stdout.readline()
    if not line:
        raise RuntimeError(f"{server.args} ended with code {server.wait()}.")
    return json.loads(line)


def _step(
    network: str, name: str, times: Mapping[tuple[str, str], list[list[float]]]
) -> dict[str, Any]:
    """Medians of one network in one setting; a ratio is taken within each round."""
    found: dict[str, Any] = {"network": network, "setting": name}
    for index, clock in enumerate(("cpu", "wall")):
        mine = [spent[index] for spent in times[network, name]]
        first = [spent[index] for spent in times[network, "a"]]
        ratios = [one / other for one, other in zip(mine, first)]
        found[f"{clock}_ms"] = round(statistics.median(mine), 2)
        found[f"{clock}_ratio"] = round(statistics.median(ratios), 3)
    return found


if __name__ == "__main__":
    if not as_child(serve_here):
        arguments = {**settings.PYTHONS, "--data-dir": timing.folder()}
        timing.main("settings_speed", measure, arguments=arguments)
