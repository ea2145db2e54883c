"""The losses where people use them: compile(loss=), TFRS tasks and the Distiller."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import tensorflow as tf
from loss_cases import CASES, Case

import tfdistill.losses
from tfdistill import _keras
from tfdistill.trainers.distiller import Distiller
from tfdistill.trainers.transfer import Transfer

MODULES = sorted(m.name for m in pkgutil.iter_modules(tfdistill.losses.__path__))
KERAS = [case for case in CASES if "keras" not in case.loss().not_applicable]
KEYS = ("student", "teacher", "mask", "weights", "labels")
each_loss = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@pytest.fixture(autouse=True)
def applicable(request, record_property):
    """Records the line of this loss and place; leaves where it is n/a."""
    if "case" not in request.fixturenames:
        return
    case = request.getfixturevalue("case")
    place = request.function.__name__.removeprefix("test_")
    keras = place not in ("distiller", "example")
    reason = case.loss().not_applicable.get("keras") if keras else None
    if place == "ragged" and case.shape != "score":
        reason = "vectors, which must be dense"
    record_property("contract", (case.name, place, reason and f"n/a: {reason}"))
    if reason:
        pytest.skip(reason)


def output(index: int) -> str:
    return f"output_{index}"


def network(cases: list[Case]) -> tf.keras.Model:
    """A model that passes its inputs on, so that the losses see known numbers."""
    inputs, outputs = {}, {}
    scale = tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    for i, case in enumerate(cases):
        batch = case.batch()
        for key in ("student", "teacher"):
            shape = batch[key].shape[1:]
            inputs[f"{key}_{i}"] = tf.keras.Input(shape, name=f"{key}_{i}")
            passed = scale(inputs[f"{key}_{i}"][..., tf.newaxis])[..., 0]
            name = output(i) if key == "student" else f"source_{i}"
            outputs[name] = tf.keras.layers.Activation("linear", name=name)(passed)
    return tf.keras.Model(inputs, outputs)


@pytest.fixture(scope="module")
def compiled():
    """One training step of a model with every loss in compile(loss=)."""
    model = network(KERAS)
    x, y, w = {}, {}, {}
    for i, case in enumerate(KERAS):
        batch = case.batch()
        mask = batch["mask"] if case.shape == "score" else batch["mask"][:, np.newaxis]
        x |= {f"{key}_{i}": batch[key] for key in ("student", "teacher")}
        y[output(i)] = np.where(mask, batch["teacher"], np.nan).astype("f")
        w[output(i)] = batch["weights"]
    model = tf.keras.Model(model.inputs, {k: model.output[k] for k in y})
    model.compile("sgd", loss={output(i): c.loss() for i, c in enumerate(KERAS)})
    model.optimizer.build(model.trainable_variables)  # else all is traced twice
    return model.train_on_batch(x, y, w, return_dict=True)


@pytest.fixture(scope="module")
def distilled():
    """One training step of a Distiller with every loss as a transfer."""
    x, y, w, transfers = {}, {}, {}, []
    for i, case in enumerate(CASES):
        batch = case.batch()
        x |= {f"{key}_{i}": v for key, v in batch.items() if key not in KEYS[3:]}
        y[output(i)], w[output(i)] = batch["labels"], batch["weights"]
        transfers.append(
            Transfer(
                f"t{i}",
                source=f"source_{i}",
                target=output(i),
                loss=case.loss(),
                mask=f"mask_{i}",
                weights=output(i),
                labels=output(i),
                inputs={name: f"{name}_{i}" for name in case.loss().inputs},
            )
        )
    model = Distiller(network(CASES), transfers)
    model.compile("sgd", loss={})
    model.optimizer.build(model.network.trainable_variables)
    data = tf.data.Dataset.from_tensors((x, y, w))
    return model.fit(data, verbose=0).history


def check(case: Case, value, batch):
    expected = case.loss().reduce(**batch)
    np.testing.assert_allclose(value, expected, rtol=1e-5 + case.noise)


@each_loss
def test_compile(case, compiled):
    value = compiled[f"{output(KERAS.index(case))}_loss"]
    batch = {k: v for k, v in case.batch().items() if k in KEYS[:4]}
    check(case, value, batch)


@pytest.mark.skipif(_keras.VERSION == "3", reason="TFRS needs Keras 2")
@each_loss
def test_tfrs(case):
    import tensorflow_recommenders as tfrs

    batch = {k: v for k, v in case.batch().items() if k in KEYS[:2]}
    task = tfrs.tasks.Ranking(loss=case.loss(), metrics=[])
    value = task(batch["teacher"], batch["student"], sample_weight=None)
    check(case, value, batch)


@each_loss
def test_distiller(case, distilled):
    value = distilled[f"transfer_t{CASES.index(case)}"][0]
    names = (*KEYS, *case.loss().inputs)
    check(case, value, {k: v for k, v in case.batch().items() if k in names})


@each_loss
def test_ragged(case):
    """Ragged lists, called as Keras does, are lists with a mask."""
    batch, loss = case.batch(), case.loss()
    keys, mask = KEYS[:2] + KEYS[3:4], np.ones_like(batch["mask"])
    mask[1, 3:] = False
    signals = {k: tf.RaggedTensor.from_tensor(batch[k], mask.sum(1)) for k in keys}
    value = loss(signals["teacher"], signals["student"], signals["weights"])
    check(case, value, {**{k: batch[k] for k in keys}, "mask": mask})
    check(case, loss.reduce(**signals), {**{k: batch[k] for k in keys}, "mask": mask})


@each_loss
def test_example(case):
    """The docstring of the loss has an example, which runs."""
    cls = type(case.loss())
    names = dict(vars(importlib.import_module(cls.__module__)))
    (test,) = doctest.DocTestFinder(recurse=False).find(cls, globs=names)
    result = doctest.DocTestRunner().run(test)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_docstring(name):
    module = importlib.import_module(f"tfdistill.losses.{name}")
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0 or not getattr(module, "__all__", ())
