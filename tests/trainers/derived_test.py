"""Signals made of others: against loops, by finite differences, in the Distiller."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import (
    BPR,
    LogitMSE,
    SigmoidCrossEntropy,
    TopKSoftLabel,
    soft_top_k,
)
from tfdistill.trainers import Distiller, Kept, LoggedTeacher, Survival, Transfer

STAGES = {"recall": 3, "fine": 2}
MASK = np.array([[1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 0, 1], [1, 1, 0, 0, 0, 0]], bool)


def signals(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = {n: rng.normal(0, 2, MASK.shape).astype("f") for n in (*STAGES, "teacher")}
    return {**drawn, "mask": MASK}


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else 1.0 - sigmoid(-x)


def cut_by_loop(scores: list[float], k: int, t: float) -> float:
    """The cut that keeps k items in expectation, by halving in float64."""
    low, high = min(scores) - 50 * t, max(scores) + 50 * t
    for _ in range(200):
        middle = (low + high) / 2
        many = sum(sigmoid((s - middle) / t) for s in scores) > k
        low, high = (middle, high) if many else (low, middle)
    return low


def survival_by_loop(found, t: float) -> np.ndarray:
    """Probabilities of all stages, multiplied; NaN where not valid."""
    chance = np.where(MASK, 1.0, np.nan)
    for name, k in STAGES.items():
        for row, valid in enumerate(MASK):
            scores = [float(s) for s in found[name][row][valid]]
            if len(scores) > k:
                cut = cut_by_loop(scores, k, t)
                chance[row, valid] *= [sigmoid((s - cut) / t) for s in scores]
    return chance


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_survival_is_the_product_of_soft_cuts(temperature):
    found = signals()
    z = Survival(STAGES, temperature, "mask")(found)
    expected = survival_by_loop(found, temperature)
    np.testing.assert_allclose(
        np.where(MASK, tf.sigmoid(z), np.nan), expected, rtol=1e-4, atol=1e-6
    )


def test_survival_losses_are_sums_of_log_survival():
    """Against the labels, and against the teacher's best two."""
    found, labels = signals(), (np.random.default_rng(3).random(MASK.shape) < 0.4) * 1.0
    z = Survival(STAGES, mask="mask")(found)
    chance = survival_by_loop(found, 1.0)
    chance[2] = sigmoid(16.0)  # one stage takes them all, the other one too
    chance[2, ~MASK[2]] = np.nan

    def loop(relevant: np.ndarray) -> list[float]:
        losses = -np.where(relevant, np.log(chance), np.log1p(-chance))
        return [row[valid].mean() for row, valid in zip(losses, MASK)][:2]

    by_label = SigmoidCrossEntropy(reduction="none").reduce(
        student=z, teacher=labels, mask=MASK
    )
    rows = [row[valid].mean() for row, valid in zip(by_label.numpy(), MASK)][:2]
    np.testing.assert_allclose(rows, loop(labels > 0), rtol=1e-4)
    by_teacher = TopKSoftLabel(2, reduction="none").reduce(
        student=z, teacher=found["teacher"], mask=MASK
    )
    scores = np.where(MASK, found["teacher"], -np.inf)
    best = np.argsort(np.argsort(-scores, 1), 1) < 2
    np.testing.assert_allclose(by_teacher[:2], loop(best), rtol=1e-4)


def test_gradients_equal_finite_differences():
    found = {k: tf.constant(v) for k, v in signals().items()}
    loss = TopKSoftLabel(2)

    def value(scores):
        z = Survival(STAGES, mask="mask")({**found, **scores})
        return loss.reduce(student=z, teacher=found["teacher"], mask=MASK)

    stages = {name: found[name] for name in STAGES}
    with tf.GradientTape() as tape:
        tape.watch(stages)
        total = value(stages)
    for name, slope in tape.gradient(total, stages).items():
        step, estimated = 1e-2, np.zeros(MASK.shape)
        for place in np.ndindex(MASK.shape):
            moved = [found[name].numpy() for _ in range(2)]
            moved[0][place] += step
            moved[1][place] -= step
            up, down = (float(value({name: x})) for x in moved)
            estimated[place] = (up - down) / (2 * step)
        np.testing.assert_allclose(slope, estimated, atol=2e-4)
        np.testing.assert_allclose(tf.reduce_sum(slope, 1), np.zeros(3), atol=1e-6)
        assert not np.any(slope.numpy()[~MASK]) and not np.any(slope[2])


@pytest.mark.parametrize("size", [0.0, 1e4])
@pytest.mark.parametrize("compiled", [False, True])
def test_ties_and_large_scores_stay_finite(size, compiled):
    scores = tf.constant(np.sign(signals()["fine"]) * size)

    @tf.function(jit_compile=compiled)
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            z = Survival(STAGES, mask="mask")({"recall": x, "fine": -x, "mask": MASK})
            value = SigmoidCrossEntropy().reduce(
                student=z, teacher=tf.ones_like(x), mask=MASK
            )
        return value, tape.gradient(value, x)

    value, slope = run(scores)
    assert np.isfinite(value) and np.all(np.isfinite(slope))


def test_as_many_are_kept_in_expectation_as_are_cut():
    scores = np.random.default_rng(0).normal(0, 3, (4, 500)).astype("f")
    valid = np.ones(scores.shape, bool)
    for k, temperature in ((1, 0.1), (40, 1.0), (499, 2.0)):
        kept = tf.reduce_sum(tf.sigmoid(soft_top_k(scores, valid, k, temperature)), 1)
        np.testing.assert_allclose(kept, np.full(4, k), rtol=1e-3)
    hard = soft_top_k(scores, valid, 40, 1e-3).numpy() > 0
    ranks = np.argsort(np.argsort(-scores, 1), 1)
    np.testing.assert_array_equal(hard, ranks < 40)


def test_kept_items_are_the_best_of_those_a_stage_gets():
    found = signals()
    recall = found["kept"] = Kept("recall", 3, "mask")(found)
    fine = Kept("fine", 2, "kept")(found)
    for row, valid in enumerate(MASK):
        first = sorted(np.flatnonzero(valid), key=lambda i: -found["recall"][row, i])[
            :3
        ]
        assert set(np.flatnonzero(recall[row])) == set(first)
        second = sorted(first, key=lambda i: -found["fine"][row, i])[:2]
        assert set(np.flatnonzero(fine[row])) == set(second)
    scores = tf.constant([[np.nan, 1.0, 1.0, 0.0]])
    assert Kept("x", 1)({"x": scores}).numpy().tolist() == [[False, True, True, False]]


def network() -> tf.keras.Model:
    x = tf.keras.Input([6, 2], name="x")
    outputs = {n: tf.keras.layers.Dense(1, name=n)(x)[..., 0] for n in STAGES}
    return tf.keras.Model({"x": x}, outputs)


DERIVED = {"kept": Kept("recall", 3, "mask"), "survival": Survival(STAGES, mask="mask")}
TRANSFERS = [
    Transfer("hard", None, "fine", SigmoidCrossEntropy(), mask="kept", labels="fine"),
    Transfer("pairs", "kept", "recall", BPR(), mask="mask"),
    Transfer("next", "fine", "recall", LogitMSE(), mask="kept"),
    Transfer("best", "score", "survival", TopKSoftLabel(2), mask="mask"),
]


def distiller(transfers=TRANSFERS, derived=DERIVED) -> Distiller:
    teacher = LoggedTeacher({"score": "teacher"})
    made = Distiller(network(), transfers, derived=derived, teacher=teacher)
    made.compile("sgd", loss={})
    return made


def batch():
    rng = np.random.default_rng(1)
    x = {"x": rng.normal(size=(3, 6, 2)).astype("f"), "mask": MASK}
    x["teacher"] = signals()["teacher"]
    return x, {"fine": (rng.random(MASK.shape) < 0.5).astype("f")}


def test_the_distiller_takes_them_as_source_target_and_mask():
    model, (x, y) = distiller(), batch()
    z = {**model.network({"x": x["x"]}), "mask": MASK}
    kept = Kept("recall", 3, "mask")(z)
    survival = Survival(STAGES, mask="mask")(z)
    expected = {
        "hard": SigmoidCrossEntropy().reduce(
            student=z["fine"], teacher=y["fine"], mask=kept
        ),
        "pairs": BPR().reduce(student=z["recall"], teacher=kept, mask=MASK),
        "next": LogitMSE().reduce(student=z["recall"], teacher=z["fine"], mask=kept),
        "best": TopKSoftLabel(2).reduce(
            student=survival, teacher=x["teacher"], mask=MASK
        ),
    }
    history = model.fit(tf.data.Dataset.from_tensors((x, y)), verbose=0).history
    for name, value in expected.items():
        assert history[f"transfer_{name}"][0] == pytest.approx(float(value), rel=1e-4)
    assert history["loss"][0] == pytest.approx(sum(map(float, expected.values())), 1e-4)


@dataclasses.dataclass(frozen=True)
class Mean:
    """A user's own signal: the mean of two teachers' logits."""

    first: str
    second: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.first, self.second)

    def __call__(self, signals):
        return (signals[self.first] + signals[self.second]) / 2


def test_a_signal_of_your_own_teaches_a_plain_keras_model():
    x = np.random.default_rng(1).normal(size=(32, 4)).astype("f")
    logged = {"a": 2 * x[:, :1], "b": -4 * x[:, 1:2]}
    inputs = tf.keras.Input([4], name="x")
    net = tf.keras.Model(
        {"x": inputs}, {"z": tf.keras.layers.Dense(1, name="z")(inputs)}
    )
    student = Distiller(
        net,
        [Transfer("mean", "mean", "z", LogitMSE())],
        derived={"mean": Mean("a", "b")},
        teacher=LoggedTeacher({"a": "a", "b": "b"}),
    )
    student.compile(tf.keras.optimizers.Adam(0.1))
    data = tf.data.Dataset.from_tensors(({"x": x, **logged}, {})).repeat()
    history = student.fit(data, steps_per_epoch=300, epochs=1, verbose=0).history
    learned = net.layers[-1].kernel.numpy()[:, 0]
    np.testing.assert_allclose(learned, [1.0, -2.0, 0.0, 0.0], atol=0.02)
    assert history["transfer_mean"][0] > 0


@pytest.mark.parametrize(
    ("derived", "message"),
    [
        ({"kept": Kept("recal", 3)}, r"'kept' needs \['recal'\]; before"),
        ({"kept": Kept("fine", 3, "later"), "later": Kept("fine", 1)}, r"\['later'\]"),
        ({"mask": Kept("fine", 3)}, "'mask' has another one's name"),
    ],
)
def test_names_that_are_not_there_are_rejected(derived, message):
    x, y = batch()
    model = distiller(TRANSFERS[2:3], {"kept": Kept("fine", 9), **derived})
    with pytest.raises(ValueError, match=message):
        model.compute_loss(x, y, model(x), {})


def test_contradictions_are_rejected():
    with pytest.raises(ValueError, match=r"target of 'next' \['surviva'\]"):
        distiller([Transfer("next", "fine", "surviva", LogitMSE())])
    with pytest.raises(ValueError, match="without a source the labels teach"):
        Transfer("hard", None, "fine", SigmoidCrossEntropy())
    with pytest.raises(ValueError, match="keeps at least one item, got {'fine': 0}"):
        Survival({"fine": 0})
    with pytest.raises(ValueError, match="`temperature` must be above 0"):
        Survival({"fine": 1}, temperature=0.0)
