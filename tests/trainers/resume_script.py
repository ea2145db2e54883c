"""One training, run by resume_test.py as a process that may be told to die.

Usage: python resume_script.py DIRECTORY [--die-at-step N | --die-in-write N]
Writes DIRECTORY/result.npz when the training has ended.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import threading

import numpy as np
import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.layers import SqueezeLast, SteppedDropout
from tfdistill.losses import Hint, SigmoidCrossEntropy, SigmoidSoftLabel
from tfdistill.optimizers import LazyAdam
from tfdistill.trainers.callbacks import Evaluation, SubmodelCheckpoint
from tfdistill.trainers.distiller import Distiller
from tfdistill.trainers.fit import fit
from tfdistill.trainers.transfer import Transfer

NUM_ITEMS, NUM_SEEN = 5000, 100  # rows that make a checkpoint take a while; used ones
EPOCHS, SAVE_EVERY = 20, 5


def requests(seed: int, count: int = 96, length: int = 6) -> Requests:
    rng = np.random.default_rng(seed)
    candidates = rng.integers(0, NUM_SEEN, (count, length)).astype(np.int32)
    quality = np.random.default_rng(0).normal(size=NUM_ITEMS)[candidates]
    labels = (quality + rng.normal(size=candidates.shape) > 0).astype(np.float32)
    return Requests(
        users={"age": rng.normal(size=count).astype(np.float32)},
        items={"item": np.arange(NUM_ITEMS)},
        candidates=candidates,
        labels=labels,
        group=np.arange(count),
    )


def network() -> tuple[tf.keras.Model, tf.keras.Model]:
    """Teacher and student on one table; gives the joint network and the student."""
    item = tf.keras.Input([None], dtype=tf.int64, name="item")
    embedded = tf.keras.layers.Embedding(NUM_ITEMS, 16)(item)
    hidden = {}
    for seed, (name, units) in enumerate([("teacher", 16), ("student", 4)], start=1):
        dense = tf.keras.layers.Dense(units, activation="relu")(embedded)
        hidden[name] = SteppedDropout(0.3, seed)(dense)
    outputs = {
        name: SqueezeLast()(tf.keras.layers.Dense(1)(vector))
        for name, vector in hidden.items()
    }
    student = tf.keras.Model(item, outputs["student"])
    outputs["teacher_hidden"] = hidden["teacher"]
    outputs["student_hidden"] = tf.keras.layers.Dense(16)(hidden["student"])
    return tf.keras.Model({"item": item}, outputs), student


def distiller() -> tuple[Distiller, tf.keras.Model]:
    joint, student = network()
    ramp = tf.keras.optimizers.schedules.PolynomialDecay(0.0, 30, 1.0)
    transfers = [
        Transfer("soft", "teacher", "student", SigmoidSoftLabel(), ramp, mask="mask"),
        Transfer("hint", "teacher_hidden", "student_hidden", Hint(), 0.1, mask="mask"),
    ]
    model = Distiller(joint, transfers)
    model.compile(
        LazyAdam(tf.keras.optimizers.schedules.ExponentialDecay(0.01, 20, 0.9)),
        {name: SigmoidCrossEntropy() for name in ("teacher", "student")},
    )
    return model, student


class DieAtStep(tf.keras.callbacks.Callback):
    """Sends SIGKILL to its own process before a step, in the middle of an epoch."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        if self.model.optimizer.iterations.numpy() == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def die_in_write(directory: pathlib.Path, step: int) -> None:
    """Sends SIGKILL as soon as a file of the checkpoint of `step` appears."""

    def watch() -> None:
        while not list(directory.glob(f"step-{step}*")):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--die-at-step", type=int)
    parser.add_argument("--die-in-write", type=int)
    options = parser.parse_args()

    tf.keras.utils.set_random_seed(1)
    model, student = distiller()
    train, valid = requests(seed=1), requests(seed=2)
    outputs = ("teacher", "student")
    batches = RequestBatches(
        train,
        batch_size=8,
        seed=3,
        negatives=2,
        known=train.positives(),
        outputs=outputs,
    )
    once = RequestBatches(valid, batch_size=32, outputs=outputs).once()
    stop = tf.keras.callbacks.EarlyStopping(
        "val_student_loss", mode="min", patience=3, restore_best_weights=True
    )
    best = SubmodelCheckpoint(
        student, options.directory / "best.weights.h5", "val_norm", "max"
    )
    norm = Evaluation(lambda: {"norm": np.linalg.norm(student.get_weights()[1])})
    callbacks = [stop, best, norm]
    if options.die_at_step is not None:
        callbacks.append(DieAtStep(options.die_at_step))
    if options.die_in_write is not None:
        die_in_write(options.directory / "backup", options.die_in_write)
    history = fit(
        model,
        batches,
        steps_per_epoch=batches.steps_per_epoch,
        epochs=EPOCHS,
        callbacks=callbacks,
        backup_dir=options.directory / "backup",
        save_every=SAVE_EVERY,
        config={"seed": 3},
        validation_data=once,
        verbose=0,
    )
    best.restore()
    np.savez(
        options.directory / "result.npz",
        *[w.numpy() for w in [*model.weights, *model.optimizer.variables]],
        **{f"history_{name}": values for name, values in history.history.items()},
        best=[best.best, best.best_epoch],
        stop=[stop.wait, stop.stopped_epoch, stop.best, stop.best_epoch],
        best_weights=np.concatenate([w.ravel() for w in student.get_weights()]),
    )


if __name__ == "__main__":
    main()
