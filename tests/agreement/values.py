"""Values that must be equal whatever `tf.keras` is, from inputs made by NumPy alone.

    python tests/agreement/values.py [OUT.npz]

writes those of this setting; without a path, `expected.npz`, which the test compares
with. It is made with TensorFlow 2.15 and Keras 2.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / folder) for folder in ("contract", "models")]

import loss_cases  # noqa: E402
import rankers_test as rankers  # noqa: E402

from tfdistill import _keras, metrics, models  # noqa: E402
from tfdistill.pairs import Pairs  # noqa: E402

EXPECTED = HERE / "expected.npz"
LIST = 4
NETS = {
    **rankers.CASES,
    "dnn": models.Dnn((8, 3), l2=0.1),
    "dcn": models.DcnV2(2, (8, 3), l2=0.1),
    "coarse": models.CoarseTwoTower((8,), dim=4, interaction=3, l2=0.1),
    "two_tower": models.TwoTower((8,), dim=4, l2=0.1),
    "sequence": models.SequenceTower(dim=4, blocks=1, heads=2),
}
"""Every architecture, over the features of `rankers_test`."""

Values = Iterator[tuple[str, np.ndarray]]


def of_losses() -> Values:
    """Each loss and its gradient to the student, in a Transfer and in `compile`."""
    for case in loss_cases.CASES:
        batch, loss = case.batch(), case.loss()
        tf.random.set_seed(0)  # for those that draw
        yield from _value(f"losses/{case.name}", batch["student"], loss.reduce, batch)
        if "keras" in loss.not_applicable:
            continue
        teacher, mask = batch["teacher"], batch["mask"]
        mask = mask.reshape(mask.shape + (1,) * (teacher.ndim - mask.ndim))
        labels = {"teacher": np.where(mask, teacher, np.float32("nan"))}
        name = f"compiled losses/{case.name}"
        yield from _value(name, batch["student"], _compiled(loss), labels)


def _compiled(loss: tf.keras.losses.Loss) -> Callable[..., tf.Tensor]:
    """A loss as Keras calls it, where NaN marks what the teacher did not score."""
    return lambda student, teacher: loss(teacher, student)


def _value(
    name: str,
    student: np.ndarray,
    function: Callable[..., tf.Tensor],
    batch: Mapping[str, np.ndarray],
) -> Values:
    """The value of a function of the student and others, and its gradient."""
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = function(**{**batch, "student": student})
    yield name, value.numpy()
    yield f"{name}/gradient", tape.gradient(value, student).numpy()


def of_nets() -> Values:
    """Each architecture's outputs and gradients, its weights given by their names."""
    features = rankers.batch(length=LIST)
    for name, architecture in NETS.items():
        net = models.Net(architecture, rankers.SPEC.names)
        model = models.joint_network(rankers.SPEC, {"net": net}).model
        for weight in model.weights:
            path = _keras.path_of(weight)
            rng = np.random.default_rng(zlib.crc32(path.encode()))
            if weight.dtype in ("float32", tf.float32):
                weight.assign(rng.normal(0, 0.3, weight.shape))
        variables = model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = model(features)
            found = tf.add_n([tf.reduce_mean(tf.sin(x)) for x in outputs.values()])
            found += tf.add_n([tf.zeros([]), *model.losses])
        for output, value in outputs.items():
            yield f"nets/{name}/{output}", value.numpy()
        for weight, slope in zip(variables, tape.gradient(found, variables)):
            slope = tf.convert_to_tensor(slope).numpy()
            yield f"nets/{name}/{_keras.path_of(weight)}/gradient", slope


def of_metrics() -> Values:
    """The metrics of each kind of model, on scores with ties and padding."""
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 30, 20)).round(1)
    labels, head = rng.random((2, 30, 20)) < 0.3
    mask = rng.random((30, 20)) < 0.9
    users, items = np.nonzero(labels & mask)
    top = np.argsort(-student, axis=1, kind="stable")
    relevant = Pairs(users, items)
    kinds = {
        "ranking": metrics.ranking_summary(
            labels * 1, student, np.arange(30) // 2, mask=mask, head=head
        ),
        "retrieval": metrics.retrieval_summary(
            top, relevant, np.arange(20) < 5, cuts=(10,)
        ),
        "agreement": metrics.agreement_summary(student, teacher, mask=mask),
    }
    for kind, values in kinds.items():
        for name, value in values.items():
            yield f"metrics/{kind}/{name}", np.asarray(value)


def values() -> dict[str, np.ndarray]:
    """All of them by name; the part in front of the first slash is their kind."""
    return dict([*of_losses(), *of_nets(), *of_metrics()])


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest value of the array.

    A sum's small parts are only as exact as its large ones, and what is 0 but for
    rounding has no scale of its own: below 1e-3 the scale is that.
    """
    if found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    scale = max(1e-3, float(np.max(np.abs(expected))))
    return float(np.max(np.abs(found - expected))) / scale


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else EXPECTED
    np.savez_compressed(out, **values())
