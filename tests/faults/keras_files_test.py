"""A Distiller as a file: .keras, weights alone, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.losses import ListSoftmaxKL, LogitMSE, SigmoidCrossEntropy
from tfdistill.trainers import (
    Distiller,
    EnsembleTeacher,
    FrozenTeacher,
    Kept,
    LoggedTeacher,
    Transfer,
)

RNG = np.random.default_rng(0)
LAYERS = tf.keras.layers


def joint(teacher=None, sliced=False, **options):
    """A Distiller of two outputs over lists, with a schedule and a derived signal."""
    tf.keras.utils.set_random_seed(2)
    x = tf.keras.Input([5, 4], name="x")
    outputs = {}
    for name in ("booster", "fine"):
        z = LAYERS.Dense(1)(x)
        outputs[name] = z[..., 0] if sliced else LAYERS.Reshape([5], name=name)(z)
    decay = tf.keras.optimizers.schedules.PolynomialDecay(0.1, 9, 1.0)
    kl = {"weight": 1.0, "mask": "kept", **options}
    transfers = [
        Transfer("soft", "score" if teacher else "booster", "fine", LogitMSE(), decay),
        Transfer("kl", "booster", "fine", ListSoftmaxKL(2.0), **kl),
    ]
    derived = {"kept": Kept("booster", 3)}
    network = tf.keras.Model({"x": x}, outputs)
    distiller = Distiller(network, transfers, derived=derived, teacher=teacher)
    hard = {name: SigmoidCrossEntropy() for name in outputs}
    distiller.compile("adam", hard, metrics={"fine": ["mae"]})
    return distiller


LISTS = {
    "x": RNG.normal(size=(8, 5, 4)).astype("f"),
    "t": RNG.normal(size=(8, 5)).astype("f"),
}
CLICKS = dict.fromkeys(("booster", "fine"), (LISTS["t"] > 0).astype("f"))


@pytest.mark.parametrize(
    "teacher",
    [
        None,
        LoggedTeacher({"score": "t"}),
        FrozenTeacher(lambda features: features["t"]),
        EnsembleTeacher([LoggedTeacher({"score": "t"})]),
    ],
    ids=["none", "logged", "frozen", "ensemble"],
)
def test_a_checkpoint_goes_on_where_it_was(teacher, tmp_path):
    path = str(tmp_path / "c.keras")
    distiller = joint(teacher)
    saving = tf.keras.callbacks.ModelCheckpoint(path)
    distiller.fit(LISTS, CLICKS, shuffle=False, verbose=0, callbacks=[saving])
    loaded = tf.keras.models.load_model(path)
    assert type(loaded) is Distiller
    for one, other in zip(distiller.predict(LISTS), loaded.predict(LISTS)):
        np.testing.assert_array_equal(one, other)
    if teacher is not None and not isinstance(teacher, LoggedTeacher):
        kind = type(teacher).__name__
        with pytest.raises(ValueError, match=f"holds no {kind}.*distiller.teacher"):
            loaded.evaluate(LISTS, CLICKS, verbose=0)
        loaded.teacher = teacher
    histories = [
        model.fit(LISTS, CLICKS, shuffle=False, epochs=2, verbose=0).history
        for model in (distiller, loaded)
    ]
    check_equal(*histories)


def check_equal(one, other):
    """The numbers of two trainings, but for the order in which threads add up."""
    assert list(one) == list(other)
    for key, values in one.items():
        np.testing.assert_allclose(values, other[key], rtol=1e-6)


@tf.keras.utils.register_keras_serializable(package="test")
def a_schedule(step):
    return 1.0 + 0.0 * tf.cast(step, tf.float32)


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (
            lambda: joint(weight=lambda step: 1.0),
            "c.keras",
            "transfers: .*schedule '<lambda>'|transfers: .*<lambda>",
        ),
        (joint, "c.h5", "only a .keras file gives it back.*save_weights"),
        (
            joint,
            "folder",
            "only a .keras file gives it back.*tfdistill.export|"
            "must end in `.keras`",  # Keras 3's callback
        ),
    ],
    ids=["lambda", "h5", "SavedModel"],
)
def test_what_could_not_be_read_again_is_not_written(make, name, message, tmp_path):
    distiller = make()
    with pytest.raises(ValueError, match=message):
        saving = tf.keras.callbacks.ModelCheckpoint(str(tmp_path / name))
        distiller.fit(LISTS, CLICKS, verbose=0, callbacks=[saving])
    assert not list(tmp_path.iterdir())


def test_a_sliced_network_is_read_back_equal_or_not_written(tmp_path):
    """Keras 2 writes a slice that it can't read; Keras 3 reads it."""
    distiller, path = joint(sliced=True), tmp_path / "c.keras"
    if _keras.VERSION == "2":
        with pytest.raises(ValueError, match=r"network: .*llipsis.*SqueezeLast"):
            distiller.save(path)
        assert not path.exists()
        return
    distiller.fit(LISTS, CLICKS, verbose=0)
    distiller.save(path)
    loaded = tf.keras.models.load_model(path)
    for name, values in distiller.predict(LISTS, verbose=0).items():
        np.testing.assert_array_equal(loaded.predict(LISTS, verbose=0)[name], values)


def test_a_refused_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "c.keras"
    joint().save(path)
    old = path.read_bytes()
    with pytest.raises(ValueError, match="lambda"):
        joint(weight=lambda step: 1.0).save(path)
    assert path.read_bytes() == old


@pytest.mark.parametrize(
    ("saved", "loaded"), [(0, 0), (1, 0), (1, 1)], ids=["new", "into new", "into other"]
)
def test_the_optimizer_goes_with_the_weights(saved, loaded, tmp_path):
    """A file of a model that trained, or was compiled alone, into another one."""
    one, other = joint(), joint()
    for model, epochs in ((one, saved), (other, 2 * loaded)):
        if epochs:
            model.fit(LISTS, CLICKS, shuffle=model is other, epochs=epochs, verbose=0)
    one.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    histories = [
        model.fit(LISTS, CLICKS, shuffle=False, epochs=2, verbose=0).history
        for model in (one, other)
    ]
    check_equal(*histories)
    for mine, theirs in zip(one.optimizer.variables, other.optimizer.variables):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-5)


def test_a_registered_function_is_stored_as_a_schedule(tmp_path):
    joint(overrides={"temperature": a_schedule}).save(tmp_path / "c.keras")
    loaded = tf.keras.models.load_model(tmp_path / "c.keras")
    assert loaded._transfers[1].overrides["temperature"] is a_schedule


CHECKPOINTS = pytest.mark.skipif(
    _keras.VERSION == "3", reason="Keras 3 saves weights as .weights.h5 alone"
)


@pytest.mark.parametrize("name", ["w.weights.h5", pytest.param("w", marks=CHECKPOINTS)])
def test_weights_alone_are_saved_for_any_network(name, tmp_path):
    distiller, other = joint(sliced=True), joint(sliced=True)
    saving = tf.keras.callbacks.ModelCheckpoint(
        str(tmp_path / name), save_weights_only=True
    )
    distiller.fit(LISTS, CLICKS, verbose=0, callbacks=[saving])
    other.load_weights(str(tmp_path / name))
    for one, two in zip(distiller.network.weights, other.network.weights):
        np.testing.assert_array_equal(one, two)
