"""Time of a training step in the three settings, taken in turns.

    python benchmarks/settings_speed.py A B C --data-dir DIR [--rerun]

A, B and C are the Pythons of `settings.py`. Each setting has one process, which waits
while the others work, so that what else the machine does falls on all of them, and one
thread. A round is one `fit` of `STEPS` steps in each, on batches that are kept in
memory; the first two rounds, which trace, are dropped, and the medians of the others
are kept. `cpu_ms` is the process' CPU time, `wall_ms` the clock. The networks:

* quickstart: the joint network of the quickstart, a DCN-v2 teacher and three students
  over shared tables with `LazyAdam`;
* teacher: a DCN-v2 alone over the same features, Keras' `Adam` and a hard loss.

A finished run is one line of benchmarks/results/settings_speed.jsonl. The last one is
printed; --rerun measures another one.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import settings
import store

NAME = "settings_speed"
NETWORKS = ("quickstart", "teacher")
STEPS, BATCHES, ROUNDS, DROPPED = 100, 50, 15, 2


def networks(data_dir: pathlib.Path | None) -> dict[str, Any]:
    """The compiled models by name, and the batches of the training."""
    import tensorflow as tf
    from tfdistill.zoo.quickstart import make_problem

    from tfdistill.data import RequestBatches
    from tfdistill.datasets import load_movielens
    from tfdistill.losses import SigmoidCrossEntropy
    from tfdistill.models import joint_network
    from tfdistill.optimizers import LazyAdam
    from tfdistill.trainers import Distiller
    from tfdistill.zoo import movielens_cascade as zoo

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.keras.utils.set_random_seed(0)
    problem = make_problem(load_movielens(data_dir))
    recipe = zoo.joint()
    joint = Distiller(recipe.network(problem.spec).model, recipe.transfers)
    hard = {output: SigmoidCrossEntropy() for output in recipe.labelled}
    optimizer = LazyAdam(recipe.learning_rate, rows_l2=recipe.rows_l2)
    shares = {output: recipe.loss_weights.get(output, 1.0) for output in hard}
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
            problem.parts.train,
            batch_size=recipe.batch_size,
            seed=0,
            negatives=recipe.negatives,
            known=problem.parts.known,
            outputs=outputs,
        )
        found[name] = model, batches(0).take(BATCHES).cache().repeat()
    return found


def serve_here(name: str, data_dir: pathlib.Path | None) -> None:
    """Answers each line, a network's name, with the times of one round."""
    from tfdistill.zoo.machine import versions

    settings.check_here(name)
    made = networks(data_dir)
    print(json.dumps(versions()), flush=True)
    while line := input():
        model, data = made[line]
        cpu, wall = time.process_time(), time.perf_counter()
        model.fit(data, steps_per_epoch=STEPS, epochs=1, verbose=0)
        spent = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps([1000 * seconds / STEPS for seconds in spent]), flush=True)


def measure(pythons: list[str], data_dir: pathlib.Path | None) -> dict[str, Any]:
    """Median milliseconds of a step by setting and network, and ratios to (a)."""
    data = ["--data-dir", data_dir] if data_dir else []
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    load = round(os.getloadavg()[0], 1)
    servers = {
        setting.name: settings.start(
            setting, __file__, *pythons, *data, "--child", setting.name, **pipes
        )
        for setting in settings.settings(pythons)
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
        "date": datetime.date.today().isoformat(),
        "command": "python benchmarks/settings_speed.py A B C --data-dir ml-100k",
        "seed": 0,
        "settings": versions,
        "load": [load, round(os.getloadavg()[0], 1)],
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


def show(run: Mapping[str, Any]) -> None:
    """Prints a run's medians."""
    print(f"{run['run']}: load {run['load']}")
    for step in run["steps"]:
        print(" ".join(f"{key} {value}" for key, value in step.items()))


def main() -> None:
    """Measures, where there is no run yet, and prints the last one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    settings.add_pythons(parser)
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--rerun", action="store_true", help="measure once more")
    parser.add_argument("--child", metavar="SETTING")
    options = parser.parse_args()
    if options.child:
        serve_here(options.child, options.data_dir)
        return
    run = store.newest(
        NAME, lambda: measure(options.pythons, options.data_dir), rerun=options.rerun
    )
    show(run)


if __name__ == "__main__":
    main()
