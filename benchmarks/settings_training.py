"""The quickstart in the three settings: its metrics beside the spread of its seeds.

    python benchmarks/settings_training.py A B C [--data-dir DIR] [--seeds 3]

A, B and C are the Pythons of `settings.py`. First, the joint training of the quickstart
from one start in each setting: weights and dropout that NumPy drew, as the same seed
draws other ones in Keras 2 and 3. Then the whole quickstart, seed by seed. Every
training runs in a process of its own, one after the other, and is one line of
results/settings_training.jsonl. `settings_table.py` makes the tables of docs/keras.md
of them.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time
import zlib
from typing import Any

import numpy as np
import settings
import store
from tfdistill.zoo.quickstart import Problem, make_problem, quickstart

from tfdistill import _keras
from tfdistill.datasets import load_movielens
from tfdistill.models import JointNetwork
from tfdistill.spec import FeatureSpec
from tfdistill.study.recipe import Recipe
from tfdistill.study.training import train
from tfdistill.zoo import movielens_cascade as zoo

NAME = "settings_training"
START = "one-start"


class OneStart(Recipe):
    """A recipe whose networks start with the same weights in every setting."""

    def network(self, spec: FeatureSpec) -> JointNetwork:
        """Builds the network and draws its weights and seeds by their names."""
        made = super().network(spec)
        for weight in made.model.trainable_weights:
            rng = np.random.default_rng(zlib.crc32(_keras.path_of(weight).encode()))
            if len(weight.shape) > 1:
                limit = np.sqrt(6 / sum(weight.shape))  # Glorot's
                weight.assign(rng.uniform(-limit, limit, weight.shape))
        for layer in made.model.layers:
            if hasattr(layer, "seed"):
                layer.seed = zlib.crc32(layer.name.encode()) % 2**31
        return made


def from_one_start(problem: Problem, work: pathlib.Path) -> dict[str, Any]:
    """Trains jointly; the loss of each epoch and the best validation of each net."""
    recipe = OneStart(**vars(zoo.joint()))
    judge = problem.judges["valid"]
    trained = train(
        recipe,
        problem.spec,
        problem.parts.train,
        judge,
        work,
        known=problem.parts.known,
    )
    (history,) = {id(net.history): net.history for net in trained.values()}.values()
    monitors = [recipe.monitor(name) for name in recipe.nets]
    return {
        "loss": [round(value, 6) for value in history["loss"]],
        "valid": {name: round(max(history[name]), 6) for name in monitors},
    }


def whole(problem: Problem, work: pathlib.Path, seed: int) -> dict[str, Any]:
    """Runs the quickstart with one seed; its test metrics."""
    from movielens_cascade import flat

    return {"test": flat(quickstart(problem, work, seeds=(seed,)))}


def train_here(name: str, what: str, data_dir: pathlib.Path | None) -> None:
    """Runs one training in this process and keeps its line."""
    settings.check_here(name)
    wall = time.perf_counter()
    problem = make_problem(load_movielens(data_dir))
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        if what == START:
            found = from_one_start(problem, work)
        else:
            found = whole(problem, work, int(what.removeprefix("seed-")))
    found["data"] = problem.data.name
    found["cpu_s"] = round(time.process_time(), 1)  # without its checks' processes
    found["wall_s"] = round(time.perf_counter() - wall, 1)
    store.append(NAME, f"{name}/{what}", found)


def main() -> None:
    """Runs the trainings that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    settings.add_pythons(parser)
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="abc", help="the settings to run in")
    parser.add_argument("--child", nargs=2, metavar=("SETTING", "TRAINING"))
    options = parser.parse_args()
    if options.child:
        train_here(*options.child, options.data_dir)
        return
    data = ["--data-dir", options.data_dir] if options.data_dir else []
    for what in (START, *(f"seed-{seed}" for seed in range(options.seeds))):
        for setting in settings.settings(options.pythons):
            wanted = setting.name in options.only
            if wanted and f"{setting.name}/{what}" not in store.finished(NAME):
                child = ["--child", setting.name, what]
                settings.run(setting, __file__, *options.pythons, *data, *child)


if __name__ == "__main__":
    main()
