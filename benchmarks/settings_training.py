"""The joint cascade in the three settings: its metrics beside the spread of its seeds.

    python benchmarks/settings_training.py A B C [--data-dir DIR] [--seeds 3]

A, B and C are the Pythons of `settings.py`. First, its joint training from one start in
each setting: weights and dropout that NumPy drew, as the same seed draws other ones in
Keras 2 and 3. Then the whole job, seed by seed. Every training runs in a process of its
own, one after the other, and is one line of results/settings_training.jsonl.
`settings_table.py` makes the tables of docs/keras.md of them.
"""

from __future__ import annotations

import pathlib
import tempfile
import time
import zlib
from typing import Any

import numpy as np
import settings
import store
import timing
from movielens_cascade import flat, joint
from timing import answer, as_child

from tfdistill import _keras
from tfdistill.datasets import load_movielens
from tfdistill.jobs.machine import versions
from tfdistill.models import JointNetwork
from tfdistill.spec import FeatureSpec
from tfdistill.study import Problem, Recipe, movielens_problem, train
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
    trained = train(recipe, problem, work)
    (history,) = {id(net.history): net.history for net in trained.values()}.values()
    monitors = [recipe.monitor(name) for name in recipe.nets]
    return {
        "loss": [round(value, 6) for value in history["loss"]],
        "valid": {name: round(max(history[name]), 6) for name in monitors},
    }


def train_here(name: str, what: str, *data_dir: str) -> dict[str, Any]:
    """Runs one training in this process; what its line keeps."""
    settings.check_here(name)
    wall = time.perf_counter()
    data = load_movielens(*data_dir)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        if what == START:
            found = from_one_start(movielens_problem(data), work)
        else:
            seed = int(what.removeprefix("seed-"))
            found = {"test": flat(joint(data, work, seed))}
    return {
        **found,
        "data": data.name,
        "cpu_s": round(time.process_time(), 1),  # without its checks' processes
        "wall_s": round(time.perf_counter() - wall, 1),
        "versions": versions(),
    }


def main() -> None:
    """Runs the trainings that are not there yet."""
    only = {"default": "abc", "help": "the settings to run in"}
    options = timing.parsed(
        {
            **settings.PYTHONS,
            "--data-dir": timing.folder(),
            "--seeds": {"type": int, "default": 3},
            "--only": only,
        }
    )
    data = [options.data_dir] if options.data_dir else []
    for what in (START, *(f"seed-{seed}" for seed in range(options.seeds))):
        for setting in settings.settings(options.pythons):

            def measure(what: str = what, setting: Any = setting) -> dict[str, Any]:
                child = settings.start(setting, __file__, setting.name, what, *data)
                return answer(child)

            if setting.name in options.only:
                run = f"{setting.name}/{what}"
                store.once(NAME, run, measure, rerun=options.rerun)


if __name__ == "__main__":
    if not as_child(train_here):
        main()
