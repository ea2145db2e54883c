"""Evaluation and SubmodelCheckpoint inside Keras' fit."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.trainers.callbacks import Evaluation, SubmodelCheckpoint
from tfdistill.trainers.fit import fit


def joint():
    """A network of two students, and the two as models of their own."""
    x = tf.keras.Input([2])
    students = [tf.keras.Model(x, tf.keras.layers.Dense(1)(x)) for _ in range(2)]
    model = tf.keras.Model(x, [student.output for student in students])
    model.compile("sgd", "mse")
    return model, students


def batches(start_step):
    x = tf.ones([4, 2])
    return tf.data.Dataset.from_tensors((x, (x[:, :1], x[:, 1:]))).repeat()


def train(model, callbacks, epochs=4):
    return fit(
        model, batches, steps_per_epoch=1, epochs=epochs, callbacks=callbacks, verbose=0
    )


class Record(tf.keras.callbacks.Callback):
    """Keeps the weights of each epoch's end."""

    def __init__(self, model):
        super().__init__()
        self.watched, self.weights = model, []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.watched.get_weights())


def series(**values):
    """A function that gives the next value of each series at each call."""
    iterators = {name: iter(numbers) for name, numbers in values.items()}
    return lambda: {name: next(numbers) for name, numbers in iterators.items()}


def test_each_student_keeps_its_own_best_epoch(tmp_path):
    model, students = joint()
    records = [Record(student) for student in students]
    best = [
        SubmodelCheckpoint(student, tmp_path / f"{i}.weights.h5", f"val_{name}", mode)
        for i, (student, name, mode) in enumerate(
            zip(students, ("auc", "loss2"), ("max", "min"))
        )
    ]
    values = series(auc=[0.6, 0.9, 0.7, 0.9], loss2=[5.0, 4.0, float("nan"), 3.0])
    train(model, [*best, *records, Evaluation(values)])
    assert [b.best_epoch for b in best] == [1, 3]
    assert [b.best for b in best] == [0.9, 3.0]
    for student in students:
        student.set_weights([np.zeros((2, 1)), np.zeros(1)])
    for i, (student, epoch) in enumerate(zip(students, (1, 3))):
        best[i].restore()
        for now, then in zip(student.get_weights(), records[i].weights[epoch]):
            np.testing.assert_array_equal(now, then)
    assert sorted(os.listdir(tmp_path)) == ["0.weights.h5", "1.weights.h5"]


def test_a_checkpoint_sees_the_weights_before_early_stopping_puts_back_others(tmp_path):
    model, (student, _) = joint()
    record = Record(student)
    stop = tf.keras.callbacks.EarlyStopping(
        "val_a", mode="max", patience=1, restore_best_weights=True
    )
    best = SubmodelCheckpoint(student, tmp_path / "s.weights.h5", "val_b", "max")
    values = series(a=[3.0, 2.0], b=[1.0, 2.0])
    history = train(model, [stop, best, record, Evaluation(values)])
    assert history.epoch == [0, 1]
    np.testing.assert_array_equal(student.get_weights()[0], record.weights[0][0])
    best.restore()
    np.testing.assert_array_equal(student.get_weights()[0], record.weights[1][0])


def test_a_failing_write_leaves_the_former_file(tmp_path, monkeypatch):
    model, (student, _) = joint()
    best = SubmodelCheckpoint(student, tmp_path / "s.weights.h5", "loss", "min")
    train(model, [best], epochs=1)
    saved = (tmp_path / "s.weights.h5").read_bytes()

    def fail(path):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(student, "save_weights", fail)
    with pytest.raises(OSError, match="disk full"):
        train(model, [best], epochs=1)
    assert (tmp_path / "s.weights.h5").read_bytes() == saved


def test_evaluation_runs_at_its_turns_and_at_the_last_epoch(tmp_path):
    model, (student, _) = joint()
    best = SubmodelCheckpoint(student, tmp_path / "s.weights.h5", "val_a", "max")
    values = series(a=[1.0, 3.0, 2.0])
    history = train(model, [best, Evaluation(values, every=3)], epochs=6)
    assert history.history["val_a"] == [1.0, 3.0, 2.0]
    assert best.best_epoch == 3


def test_progress_bar_and_history_show_the_evaluation(capsys):
    model, _ = joint()
    fit(
        model,
        batches,
        steps_per_epoch=1,
        epochs=1,
        callbacks=[Evaluation(lambda: {"gauc": 0.75})],
        verbose=2,
    )
    assert "val_gauc: 0.7500" in capsys.readouterr().out


def test_names_the_monitors_there_are(tmp_path):
    model, (student, _) = joint()
    best = SubmodelCheckpoint(student, tmp_path / "s.weights.h5", "val_acu", "max")
    with pytest.raises(ValueError, match=r"'val_acu' is not in .*'loss', 'val_auc'\]"):
        train(model, [best, Evaluation(lambda: {"auc": 1.0})])
    with pytest.raises(ValueError, match="no file"):
        best.restore()


def test_refuses_a_name_that_is_in_the_logs(tmp_path):
    model, _ = joint()
    data = batches(0).take(1)
    with pytest.raises(ValueError, match=r"\['val_loss'\] are in the epoch's logs"):
        fit(
            model,
            batches,
            steps_per_epoch=1,
            epochs=1,
            callbacks=[Evaluation(lambda: {"loss": 1.0})],
            validation_data=data,
            verbose=0,
        )


@pytest.mark.parametrize(
    ("path", "mode", "text"),
    [
        ("x.h5", "max", "got path='x.h5'"),
        ("x.weights.h5", "auto", "got mode='auto'"),
    ],
)
def test_refuses_wrong_arguments(path, mode, text):
    with pytest.raises(ValueError, match=text):
        SubmodelCheckpoint(joint()[1][0], path, "loss", mode)
    with pytest.raises(ValueError, match="got every=0"):
        Evaluation(dict, every=0)
