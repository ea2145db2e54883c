"""A sub-model that stops at its best epoch, while the others go on."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import SteppedDropout
from tfdistill.optimizers import LazyAdam
from tfdistill.trainers import (
    Evaluation,
    SubmodelCheckpoint,
    SubmodelEarlyStopping,
    fit,
)

SCORES = (0.5, 0.8, 0.7, 0.9, 0.9, 0.9)  # the best epoch is 1, it stops after 2


def joint(frozen=()):
    """A teacher with a table and dropout, and a student."""
    tf.keras.utils.set_random_seed(3)
    item = tf.keras.Input([2], dtype=tf.int64)
    nets = []
    for name, rate in (("teacher", 0.5), ("student", 0.0)):
        rows = tf.keras.layers.Embedding(4, 8, name=f"{name}_table")(item)
        dropped = SteppedDropout(rate, seed=1, name=f"{name}_dropout")(rows)
        score = tf.keras.layers.Dense(1, name=name)(dropped)
        nets.append(tf.keras.Model(item, score))
    model = tf.keras.Model(item, {net.output_names[0]: net.output for net in nets})
    for name in frozen:
        model.get_layer(name).trainable = False
    model.compile(LazyAdam(0.1, rows_l2=1e-2), {net: "mse" for net in model.output})
    return model, nets


def batches(start_step):
    def batch(step):
        seed = tf.stack([1, step])
        x = tf.random.stateless_uniform([8, 2], seed, maxval=4, dtype=tf.int64)
        y = tf.cast(x, tf.float32)[..., tf.newaxis]
        return x, {"teacher": y, "student": y}

    return tf.data.Dataset.counter(start_step).map(batch)


class Record(tf.keras.callbacks.Callback):
    def __init__(self, net):
        super().__init__()
        self.net, self.weights = net, []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append([w.numpy() for w in self.net.trainable_variables])


class Kill(tf.keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def trained(folder, *callbacks, fits=(6,), patience=1, frozen=()):
    model, (teacher, student) = joint(frozen)
    best = SubmodelCheckpoint(teacher, folder / "t.weights.h5", "val_score", "max")
    stop = SubmodelEarlyStopping(best, patience)
    done = iter(SCORES)
    records = [Record(teacher), Record(student)]
    for epochs in fits:
        fit(
            model,
            batches,
            steps_per_epoch=3,
            epochs=epochs,
            callbacks=[
                Evaluation(lambda: {"score": next(done)}),
                records[0],
                best,
                stop,
                records[1],
                *callbacks,
            ],
            backup_dir=folder / "backup",
            verbose=0,
        )
    return model, records, stop


def test_it_goes_back_to_its_best_weights_and_rests(tmp_path):
    model, (teacher, student), stop = trained(tmp_path)
    assert stop.stopped_epoch == 2
    for epoch in (3, 4, 5):  # neither gradients, momentum nor L2 move it
        assert not teacher.weights[epoch]  # nothing of it is trainable
    table = model.get_layer("teacher_table").get_weights()[0]
    np.testing.assert_array_equal(table, teacher.weights[1][0])
    assert np.abs(student.weights[5][0] - student.weights[2][0]).min() > 0
    assert model.get_layer("teacher_table").trainable  # as it was found


def test_what_was_frozen_before_stays_frozen(tmp_path):
    model, (teacher, _), stop = trained(tmp_path, frozen=["teacher_table"])
    assert stop.stopped_epoch == 2 and not teacher.weights[4]
    assert not model.get_layer("teacher_table").trainable
    assert model.get_layer("teacher").trainable


def test_an_interrupted_training_rests_no_longer_than_the_next_begins(tmp_path):
    folder = tmp_path / "first"
    model, (teacher, _) = joint()
    best = SubmodelCheckpoint(teacher, folder / "t.weights.h5", "val_score", "max")
    stop = SubmodelEarlyStopping(best)

    def train(scores, *callbacks):
        done = iter(scores)
        evaluator = Evaluation(lambda: {"score": next(done)})
        fit(
            model,
            batches,
            steps_per_epoch=1,
            epochs=len(scores),
            callbacks=[evaluator, best, stop, *callbacks],
            backup_dir=tmp_path / f"backup-{len(scores)}",
            verbose=0,
        )

    with pytest.raises(KeyboardInterrupt):
        train(SCORES, Kill(4))  # it rests by then
    assert not teacher.trainable
    before = model.get_layer("teacher_table").get_weights()[0]
    train(SCORES[:2])
    assert stop.stopped_epoch is None and teacher.trainable
    assert np.abs(model.get_layer("teacher_table").get_weights()[0] - before).max() > 0


def test_a_net_at_rest_drops_nothing(tmp_path):
    model, _, _ = trained(tmp_path)
    steps = int(model.get_layer("teacher_dropout").step)
    assert steps == 2 * 3  # those of the best epoch, and none since


def test_patience(tmp_path):
    _, _, stop = trained(tmp_path, patience=2)
    assert stop.stopped_epoch == 5  # .9 came in time
    with pytest.raises(ValueError, match="patience=0"):
        SubmodelEarlyStopping(stop.checkpoint, patience=0)


@pytest.mark.parametrize("killed", [2, 3, 5])
def test_a_killed_training_goes_on_bit_by_bit(tmp_path, killed, monkeypatch):
    unbroken, _, _ = trained(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", Kill(killed))
    monkeypatch.setattr(f"{__name__}.SCORES", SCORES[killed:])
    resumed, _, stop = trained(tmp_path / "killed")
    assert stop.stopped_epoch == 2
    for one, other in zip(unbroken.get_weights(), resumed.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_rounds_of_fit_are_one_training(tmp_path):
    once, _, _ = trained(tmp_path / "once")
    rounds, _, stop = trained(tmp_path / "rounds", fits=(2, 4, 6))
    assert stop.stopped_epoch == 2
    for one, other in zip(once.get_weights(), rounds.get_weights()):
        np.testing.assert_array_equal(one, other)
