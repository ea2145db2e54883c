"""One training in rounds, run by rounds_test.py as a process that may be killed.

python rounds_script.py DIRECTORY [--kill-at EPOCH] [--epochs N]
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import numpy as np
import tensorflow as tf
from zoo_fixture import movielens

from tfdistill.losses import SigmoidSoftLabel
from tfdistill.models import Dnn, Net, TwoTower
from tfdistill.study.public import movielens_problem
from tfdistill.study.recipe import Recipe, Schedule, Terms
from tfdistill.study.rounds import Candidates
from tfdistill.study.ways import train
from tfdistill.zoo.ranking_pair import pair_transfer
from tfdistill.zoo.recall_from_logits import softmax_transfer

FEATURES = ("user_id", "item_id")
RECIPE = Recipe(
    {
        "teacher": Net(Dnn((8,)), FEATURES),
        "recall": Net(TwoTower((), dim=4), FEATURES, task="recall"),
        "fine": Net(Dnn((4,)), FEATURES),
    },
    terms=Terms(
        transfers=(
            softmax_transfer("recall"),
            pair_transfer("soft", "teacher", "fine", SigmoidSoftLabel()),
        )
    ),
    schedule=Schedule(
        epochs=5,
        batch_size=16,
        negatives=4,
        candidates=Candidates(per_list=3, depth=12, epochs=2),
    ),
)


class KillAt(tf.keras.callbacks.Callback):
    """Dies in the middle of an epoch, or after the epoch's end."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__()
        self._epoch, self._step, self._at = epoch, step, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._at = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._at, batch) == (self._epoch, self._step):
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--kill-at", type=int)
    parser.add_argument("--epochs", type=int, default=RECIPE.schedule.epochs)
    options = parser.parse_args()
    problem = movielens_problem(movielens())
    kill = () if options.kill_at is None else (KillAt(options.kill_at, 2),)
    nets = train(
        RECIPE.changed(epochs=options.epochs),
        problem,
        options.directory,
        callbacks=kill,
    )
    weights = [
        w.numpy() for n in nets.values() for m in n.models.values() for w in m.weights
    ]
    np.savez(options.directory / "weights.npz", *weights)


if __name__ == "__main__":
    main()
