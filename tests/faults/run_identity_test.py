"""A run goes on only as the run that was begun: whatever differs is refused by name."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from runs_fixture import DATA, REFUSED

from tfdistill.data import RecallBatches, RequestBatches, TeacherLists
from tfdistill.layers import SqueezeLast
from tfdistill.losses import LogitMSE, SigmoidCrossEntropy, SigmoidSoftLabel
from tfdistill.pairs import Pairs
from tfdistill.trainers import (
    Distiller,
    Evaluation,
    FrozenTeacher,
    SubmodelCheckpoint,
    Transfer,
    fit,
)
from tfdistill.trainers.backup import Backup


def relabelled(at):
    """The requests with one label changed."""
    labels = DATA.labels.copy()
    labels[at, 0] = 1 - labels[at, 0]
    return dataclasses.replace(DATA, labels=labels)


def teacher(kernel=1.0):
    price = tf.keras.Input([None], name="price")
    model = tf.keras.Model({"price": price}, {"score": kernel * price})
    return FrozenTeacher(model)


class Stops(tf.keras.callbacks.Callback):
    def __init__(self, after):
        super().__init__()
        self._after = after

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 >= self._after


def run(directory, *, epochs=1, **changed):
    """A tiny distillation of two inputs; what is given replaces its settings."""
    tf.keras.utils.set_random_seed(0)
    price = tf.keras.Input([None], name="price")
    scores = tf.keras.layers.Dense(1, activation=changed.get("activation"))(
        price[..., tf.newaxis]
    )
    net = tf.keras.Model({"price": price}, {"fine": SqueezeLast()(scores)})
    transfer = Transfer(
        "soft",
        "score",
        "fine",
        changed.get("transfer_loss", SigmoidSoftLabel()),
        changed.get("weight", 0.5),
        mask="mask",
    )
    model = Distiller(net, [transfer], teacher=changed.get("teacher", teacher()))
    model.compile(
        changed.get("optimizer", tf.keras.optimizers.Adam(0.001)),
        loss={"fine": changed.get("loss", SigmoidCrossEntropy())},
        loss_weights={"fine": changed.get("loss_weight", 1.0)},
    )
    made = {"batch_size": 4, "seed": 0, "negatives": 1}
    batches = RequestBatches(
        changed.get("data", DATA), **{**made, **changed.get("batches", {})}
    )
    valid = RequestBatches(changed.get("valid", DATA), batch_size=8).once()
    return fit(
        model,
        batches,
        steps_per_epoch=3,
        epochs=epochs,
        callbacks=changed.get("callbacks", lambda: [])(),
        validation_data=valid,
        backup_dir=directory,
        save_every=changed.get("save_every"),
        config=changed.get("config"),
        verbose=0,
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    directory = tmp_path_factory.mktemp("begun")
    run(directory)
    return directory


def softer(step):
    return 1.0 / (1.0 + tf.cast(step, tf.float32))


CHANGES = {
    "learning rate": (
        {"optimizer": tf.keras.optimizers.Adam(5.0)},
        "optimizer.learning_rate was 0.001 and is 5.0",
    ),
    "schedule": (
        {
            "optimizer": tf.keras.optimizers.Adam(
                tf.keras.optimizers.schedules.ExponentialDecay(0.001, 10, 0.5)
            )
        },
        "optimizer.learning_rate.class was not there and is 'ExponentialDecay'",
    ),
    "optimizer's argument": (
        {"optimizer": tf.keras.optimizers.Adam(0.001, beta_1=0.8)},
        "optimizer.beta_1 was 0.9 and is 0.8",
    ),
    "hard loss": (
        {"loss": SigmoidSoftLabel(temperature=2.0)},
        "loss.fine.class was 'SigmoidCrossEntropy'",
    ),
    "weight of the hard loss": ({"loss_weight": 2.0}, "loss_weights.fine was 1.0"),
    "transfer's loss": ({"transfer_loss": LogitMSE()}, "transfers.soft.loss.class was"),
    "argument of the transfer's loss": (
        {"transfer_loss": SigmoidSoftLabel(temperature=3.0)},
        "transfers.soft.loss.temperature was 1.0 and is 3.0",
    ),
    "weight of the transfer": (
        {"weight": 0.25},
        "transfers.soft.weight was 0.5 and is 0.25",
    ),
    "weight that became a function": ({"weight": softer}, "weight.at 10 was not there"),
    "activation": ({"activation": "tanh"}, "activation was 'linear' and is 'tanh'"),
    "a label of the last request": (
        {"data": relabelled(-1)},
        "data.requests.labels was",
    ),
    "order of the requests": (
        {"data": DATA.select(np.r_[0:22, 23, 22])},
        "data.requests.users.age was",
    ),
    "an item's feature": (
        {
            "data": dataclasses.replace(
                DATA, items={"price": np.float32(np.r_[0:8, 99])}
            )
        },
        "data.requests.items.price was",
    ),
    "seed of the batches": ({"batches": {"seed": 1}}, "data.seed was 0 and is 1"),
    "negatives": ({"batches": {"negatives": 2}}, "data.negatives was 1 and is 2"),
    "known pairs": (
        {"batches": {"known": Pairs([0], [8], 9)}},
        "data.known was None and is",
    ),
    "validation data": ({"valid": relabelled(-1)}, "validation_data was"),
    "teacher's weights": ({"teacher": teacher(1.5)}, "teacher was"),
    "config": ({"config": {"source": "other"}}, "config.source was not there"),
    "callback": (
        {"callbacks": lambda: [tf.keras.callbacks.EarlyStopping("loss")]},
        "'EarlyStopping'",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_run_is_refused_and_what_changed_is_named(begun, what):
    before = {path.name: path.read_bytes() for path in begun.glob("step*")}
    changed, text = CHANGES[what]
    with pytest.raises(ValueError, match=REFUSED.format(text)):
        run(begun, epochs=2, **changed)
    assert {path.name: path.read_bytes() for path in begun.glob("step*")} == before


def test_the_same_run_goes_on_elsewhere_and_with_more_epochs(begun, tmp_path):
    shutil.copytree(begun, tmp_path / "moved")
    assert run(tmp_path / "moved", epochs=2).epoch == [0, 1]


@pytest.mark.parametrize("callbacks", [list, lambda: [Stops(after=2)]])
def test_weights_of_more_epochs_are_not_given_out_as_those_of_fewer(
    tmp_path, callbacks
):
    """A whole run, and one that stopped early: it gave no weights of epoch 1 either."""
    run(tmp_path, epochs=2, callbacks=callbacks)
    before = {path: path.read_bytes() for path in tmp_path.glob("step*")}
    with pytest.raises(ValueError, match=r"for 2 epochs.*got epochs=1\..*2 or"):
        run(tmp_path, epochs=1, callbacks=callbacks)
    assert {path: path.read_bytes() for path in tmp_path.glob("step*")} == before
    assert run(tmp_path, epochs=2, callbacks=callbacks).epoch == [0, 1]


def test_a_checkpoint_within_a_later_epoch_is_refused_too(tmp_path):
    class Dies(tf.keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, epochs=2, save_every=1, callbacks=lambda: [Dies()])
    with pytest.raises(ValueError, match="epochs=1. Ask for 2 or more"):
        run(tmp_path, epochs=1)
    assert run(tmp_path, epochs=2).epoch == [0, 1]


def test_a_callback_that_lowers_the_rate_makes_no_other_run(tmp_path):
    """In one process and in a new one the rate is as the checkpoint has it."""

    def lowers():
        return [
            tf.keras.callbacks.ReduceLROnPlateau(
                "loss", factor=0.5, patience=1, min_delta=9.0
            )
        ]

    for epochs in (3, 4):
        assert len(run(tmp_path, epochs=epochs, callbacks=lowers).epoch) == epochs
    with pytest.raises(ValueError, match="factor was 0.5 and is 0.1"):
        run(
            tmp_path,
            epochs=5,
            callbacks=lambda: [
                tf.keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0)
            ],
        )


def test_patience_and_the_judge_of_a_callback_count(tmp_path):
    class Judge:
        def __init__(self, source):
            self.identity = {"source": source}

        def __call__(self):
            return {"x": 1.0}

    def callbacks(patience=2, source="a"):
        stop = tf.keras.callbacks.EarlyStopping("val_x", mode="max", patience=patience)
        return lambda: [Evaluation(Judge(source)), stop]

    run(tmp_path, callbacks=callbacks())
    with pytest.raises(ValueError, match="patience was 2 and is 5"):
        run(tmp_path, epochs=2, callbacks=callbacks(patience=5))
    with pytest.raises(ValueError, match="source was 'a' and is 'b'"):
        run(tmp_path, epochs=2, callbacks=callbacks(source="b"))


def plain(directory, batches, loss="mse", epochs=1):
    """Keras' own model on batches of any function."""
    model = tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(1)])
    model.compile("sgd", loss)
    fit(
        model,
        batches,
        steps_per_epoch=20,
        epochs=epochs,
        backup_dir=directory,
        verbose=0,
    )


def numbers(changed_from=10**6):
    def batches(start_step):
        def batch(step):
            x = tf.random.stateless_normal([4, 2], [1, step])
            return x, x[:, :1] + tf.cast(step >= changed_from, tf.float32)

        return tf.data.Dataset.counter(start_step).map(batch)

    return batches


@pytest.mark.parametrize("step", [0, 1, 7, 10])
def test_batches_of_any_function_are_compared_beyond_the_first(tmp_path, step):
    plain(tmp_path, numbers())
    plain(tmp_path, numbers(changed_from=21))  # the run is over: no training
    with pytest.raises(ValueError, match="data.*batch.* was"):
        plain(tmp_path, numbers(changed_from=step), epochs=2)


def test_a_loss_that_is_a_function_is_known_by_what_it_does(tmp_path):
    def scaled(factor):
        return lambda y, z: factor * tf.reduce_mean((y - z) ** 2, -1)

    plain(tmp_path, numbers(), scaled(2.0))
    plain(tmp_path, numbers(), scaled(2.0), epochs=2)
    for other in (scaled(3.0), lambda y, z: 2.0 * tf.reduce_mean(abs(y - z), -1)):
        with pytest.raises(ValueError, match="loss.*was"):
            plain(tmp_path, numbers(), other, epochs=3)


def test_all_that_decides_recall_batches_is_in_their_identity():
    users, items = {"user_id": np.arange(3)}, {"item_id": np.arange(9)}

    def made(pairs=((0, 1, 2), (4, 5, 6)), lists=None, **changed):
        options = {"batch_size": 2, "positives": 1, "shared": 2, **changed}
        lists = TeacherLists(lists, 9) if lists is not None else None
        return RecallBatches(users, items, Pairs(*pairs, 9), lists=lists, **options)

    head = np.array([[1, 2], [3, 4], [5, 6]])
    others = [
        made(),
        made(pairs=((0, 1, 2), (4, 5, 7))),
        made(seed=1),
        made(shared=3),
        made(passes=2),
        made(lists=head),
        made(lists=head[:, ::-1]),
    ]
    found = [json.dumps(batches.identity, sort_keys=True) for batches in others]
    assert len(set(found)) == len(found)
    assert found[5] == json.dumps(made(lists=head).identity, sort_keys=True)


def test_another_runs_weights_are_not_restored(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    path = tmp_path / "best.weights.h5"
    best = SubmodelCheckpoint(model, path, "loss", "min")
    model.fit(tf.ones([2, 2]), tf.ones([2, 1]), callbacks=[best], verbose=0)
    best.restore()
    model.set_weights([w + 1 for w in model.get_weights()])
    model.save_weights(path)
    with pytest.raises(ValueError, match="holds other weights than those"):
        best.restore()


def test_a_backup_of_an_earlier_format_is_refused_in_one_sentence(begun, tmp_path):
    shutil.copytree(begun, tmp_path / "old")
    state = tf.train.latest_checkpoint(str(tmp_path / "old"))
    backup = Backup(
        tmp_path / "old", {}, [], steps_per_epoch=3, save_every=None
    )  # as it is read
    run_state = backup._run
    del run_state.value["format"], run_state.value["version"]
    tf.train.Checkpoint(run=run_state).write(state)
    with pytest.raises(ValueError, match="by tfdistill 0.1.0 or before, .* begin anew"):
        run(tmp_path / "old", epochs=2)


def test_the_librarys_version_is_recorded_and_not_refused(begun, tmp_path, monkeypatch):
    from tfdistill.trainers import backup

    shutil.copytree(begun, tmp_path / "new")
    monkeypatch.setattr(backup, "__version__", "9.9.9")
    run(tmp_path / "new", epochs=2)
    read = Backup(tmp_path / "new", {}, [], steps_per_epoch=3, save_every=None)
    assert read._run["version"] == "9.9.9"
