"""Values of losses and metrics: masked logits, wild weights and temperatures, UnKD.

`tests/contract` holds the same for every loss; here are single cases, by hand.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.layers import DistillationExperts
from tfdistill.metrics import (
    cascade_summary,
    regret,
    rerank,
    retrieval_ndcg,
    retrieval_recall,
    set_overlap,
    survival,
)
from tfdistill.pairs import Pairs
from tfdistill.trainers import Distiller, LoggedTeacher, Survival, Transfer

INF, NAN = float("inf"), float("nan")
STUDENT = [[0.3, -0.2, 1.0, 0.5]]
MASKED = [[1.0, -INF, 0.0, -1.0]]  # the teacher never shows the second


def softmax(z):
    e = np.exp(np.asarray(z, np.float64) - np.max(z))
    return e / e.sum()


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q) if a > 0.0)


def value_and_slope(loss, student=STUDENT, teacher=MASKED, **inputs):
    x = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss.reduce(student=x, teacher=tf.constant(teacher), **inputs)
    return float(value), tape.gradient(value, x).numpy()[0]


def test_a_masked_logit_has_probability_0_in_a_list():
    p, q = softmax([1.0, -INF, 0.0, -1.0]), softmax(STUDENT[0])
    value, slope = value_and_slope(losses.ListSoftmaxKL())
    assert value == pytest.approx(kl(p, q), rel=1e-5)
    np.testing.assert_allclose(slope, q - p, atol=1e-6)
    value, _ = value_and_slope(losses.ListSoftmaxKL(divergence="js"))
    middle = (p + q) / 2.0
    assert value == pytest.approx((kl(p, middle) + kl(q, middle)) / 2.0, rel=1e-5)
    value, slope = value_and_slope(losses.ListSoftmaxKL(divergence="reverse"))
    floor = [max(a, np.finfo(np.float32).tiny) for a in p]
    assert value == pytest.approx(kl(q, floor) - 0.0, rel=1e-4)
    assert slope[1] > 0.0  # it pushes the student off what the teacher never shows


def test_a_masked_logit_in_the_other_forms():
    sigmoid = [1.0 / (1.0 + math.exp(-z)) for z in (1.0, INF, 0.0, -1.0)]
    sigmoid[1] = 0.0
    ours = [1.0 / (1.0 + math.exp(-z)) for z in STUDENT[0]]
    p, q = np.array(sigmoid) / sum(sigmoid), np.array(ours) / sum(ours)
    value, _ = value_and_slope(losses.CalibratedListKL())
    assert value == pytest.approx(kl(p, q), rel=1e-5)
    value, slope = value_and_slope(losses.RankNet())
    assert math.isfinite(value) and slope[1] > 0.0
    value, _ = value_and_slope(losses.SigmoidSoftLabel(), [[0.3]], [[-INF]])
    assert value == pytest.approx(math.log1p(math.exp(0.3)), rel=1e-5)
    # It is no positive, though fewer than ten are left.
    value, slope = value_and_slope(losses.TopKSoftLabel(topk=10))
    assert slope[1] > 0.0 > max(slope[0], slope[2], slope[3])
    value, slope = value_and_slope(losses.PlackettLuce(), [[0.0, 0.0]], [[1.0, -INF]])
    assert value == pytest.approx(math.log(2.0), rel=1e-5)
    value, slope = value_and_slope(losses.PlackettLuce(2), [[0.0, 0.0]], [[1.0, -INF]])
    assert value == pytest.approx(math.log(2.0), rel=1e-5)
    value, slope = value_and_slope(
        losses.RankDistil(2), [[0.0, 0.0]], [[1.0, -INF]], step=0
    )
    assert value == pytest.approx(math.log(2.0), rel=1e-5)
    grades = losses.MinMax(top=4.0)(tf.constant([3.0, -INF, 1.0]), True)
    assert grades.numpy().tolist() == [4.0, 0.0, 0.0]


def test_a_masked_logit_does_not_survive_a_stage():
    """Of the others the cut is that of the list without it."""
    scores = tf.constant([[1.0, 2.0, -INF, 0.0]])
    others, valid = tf.gather(scores, [0, 1, 3], axis=1), tf.ones([1, 3], tf.bool)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        found = losses.soft_top_k(scores, tf.ones([1, 4], tf.bool), 2)
        some = tf.reduce_sum(tf.sigmoid(found)[:, 0])
    wanted = losses.soft_top_k(others, valid, 2)
    rest = tf.gather(found, [0, 1, 3], axis=1)
    np.testing.assert_allclose(rest, wanted, rtol=1e-5)
    assert tf.sigmoid(found)[0, 2] < 1e-6
    slope = tape.gradient(some, scores).numpy()
    assert np.isfinite(slope).all() and slope[0, 0] > 0.0 == slope[0, 2]
    few = losses.soft_top_k(scores, tf.ones([1, 4], tf.bool), 3).numpy()
    assert (few[0, [0, 1, 3]] == 16.0).all() and few[0, 2] == -16.0
    # A student that broke is not passed over.
    broken = losses.soft_top_k(tf.constant([[1.0, NAN, 0.0]]), valid, 1)
    assert np.isnan(broken).any()


def test_a_list_without_a_possible_item_counts_as_masked():
    teacher = [*MASKED, [-INF] * 4]
    loss = losses.ListSoftmaxKL()
    both = float(loss.reduce(student=STUDENT * 2, teacher=teacher))
    assert both == pytest.approx(float(loss.reduce(student=STUDENT, teacher=MASKED)))


@pytest.mark.parametrize("wild", [NAN, INF, -INF, -1.0])
def test_wild_weights_are_refused_and_padding_may_hold_them(wild):
    loss, weights = losses.LogitMSE(), [[1.0, wild]]
    call = {"y_true": [[0.0, 0.0]], "y_pred": [[1.0, 1.0]]}
    with pytest.raises(ValueError, match="weight of an item that counts"):
        loss(**call, sample_weight=weights)
    assert loss([[0.0, NAN]], [[1.0, 1.0]], sample_weight=weights) == 1.0


def test_wild_values_stop_a_training(tmp_path):
    """In Keras' graph by an assertion; compiled with XLA the loss is NaN."""
    x = tf.keras.Input([2], name="x")
    network = tf.keras.Model({"x": x}, {"fine": tf.keras.layers.Dense(2)(x)})
    transfer = Transfer("soft", "score", "fine", losses.BPR(), weights="w")
    features = {"x": np.ones((4, 2), "f"), "t": np.ones((4, 2), "f")}
    features["w"] = np.array([[1.0, NAN]] * 4, "f")
    for compiled in (False, True):
        teacher = LoggedTeacher({"score": "t"})
        distiller = Distiller(network, [transfer], teacher=teacher)
        distiller.compile("sgd", jit_compile=compiled)
        if compiled:
            history = distiller.fit(features, {}, verbose=0).history
            assert math.isnan(history["transfer_soft"][0])
            continue
        with pytest.raises(tf.errors.InvalidArgumentError, match="NaN, infinite or"):
            distiller.fit(features, {}, verbose=0)


TEMPERATURES = {
    "SigmoidSoftLabel": losses.SigmoidSoftLabel,
    "SoftmaxSoftLabel": losses.SoftmaxSoftLabel,
    "RankNet": losses.RankNet,
    "ListSoftmaxKL": losses.ListSoftmaxKL,
    "CollaborativeDistillation": losses.CollaborativeDistillation,
    "ApproxNDCG": lambda t: losses.ApproxNDCG(temperature=t),
    "RankDistil": lambda t: losses.RankDistil(temperature=t),
    "InBatchSoftmax": losses.InBatchSoftmax,
    "InBatchDistillation": losses.InBatchDistillation,
    "Contrastive": losses.Contrastive,
    "Sigmoid": losses.Sigmoid,
    "Survival": lambda t: Survival({"fine": 1}, temperature=t),
    "soft_top_k": lambda t: losses.soft_top_k(
        tf.ones([1, 2]), tf.ones([1, 2], tf.bool), 1, t
    ),
    "DistillationExperts": lambda t: DistillationExperts(2, start=t),
    "TF-Ranking": lambda t: losses.RankingLossAdapter(
        losses.tf_ranking().keras.losses.SoftmaxLoss(temperature=t)
    ),
    "call": lambda t: losses.RankNet().reduce(
        student=STUDENT, teacher=STUDENT, temperature=t
    ),
    "Transfer": lambda t: Transfer(
        "t", "a", "b", losses.RankNet(), overrides={"temperature": t}
    ),
}


@pytest.mark.parametrize("temperature", [0.0, -1.0, INF, NAN])
@pytest.mark.parametrize("place", TEMPERATURES)
def test_a_temperature_is_above_0_and_finite(place, temperature):
    TEMPERATURES[place](0.5)
    with pytest.raises(ValueError, match="must be above 0"):
        TEMPERATURES[place](temperature)


def test_a_schedule_that_leaves_the_temperatures_is_stopped():
    def falls(step):
        return 1.0 - tf.cast(step, tf.float32)

    cool = Transfer("t", "a", "b", losses.RankNet(), overrides={"temperature": falls})
    run = tf.function(lambda step: cool.value(z, z, step=step))
    z = tf.constant(STUDENT)
    assert np.isfinite(run(tf.constant(0)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Check the schedule"):
        run(tf.constant(1))
    with pytest.raises(ValueError, match="weight must be >= 0, got inf"):
        Transfer("t", "a", "b", losses.RankNet(), weight=INF)


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def test_unkd_averages_in_each_group_and_adds_groups():
    """One group of two items counts as much as one of many pairs."""
    student = [[0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0]]
    teacher = [[5.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0]]
    group = [[0, 0, 0, 0, 0, 1, 1]]
    value = losses.GroupedBPR().reduce(student=student, teacher=teacher, group=group)
    assert float(value) == pytest.approx(math.log(2.0) + softplus(-2.0), rel=1e-5)


def test_unkd_weighs_pairs_as_the_paper_draws_them():
    """The mean over many draws of both items by exp(-rank / decay), equals again."""
    rng = np.random.default_rng(4)
    student, decay, n = rng.normal(size=6), 2.0, 200_000
    chance = np.exp(-np.arange(1, 7) / decay)
    drawn = rng.choice(6, size=(n, 2), p=chance / chance.sum())
    drawn = np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1)
    leads = student[drawn[:, 0]] - student[drawn[:, 1]]
    expected = np.logaddexp(0.0, -leads).mean()
    value = losses.GroupedBPR(decay).reduce(
        student=student[None].astype("f"),
        teacher=-np.arange(6.0)[None],
        group=np.zeros((1, 6), int),
    )
    assert float(value) == pytest.approx(expected, rel=0.01)


def test_rank_distil_draws_the_same_with_and_without_xla():
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(size=(2, 3, 40)).astype("f")
    loss = losses.RankDistil(topk=5)

    def step(number):
        return loss.reduce(student=student, teacher=teacher, step=number)

    graphs = [tf.function(step, jit_compile=jit) for jit in (False, True)]
    for number in range(3):
        number = tf.constant(number)
        for graph in graphs:
            np.testing.assert_allclose(graph(number), step(number), rtol=1e-5)
    assert step(tf.constant(0)) != step(tf.constant(1))


RELEVANT = Pairs([0], [3])
TWICE, ONCE = np.array([[3, 3, 3]]), np.array([[3, 5, -1]])
LISTS = {
    "recall": lambda top: retrieval_recall(top, RELEVANT, 3),
    "ndcg": lambda top: retrieval_ndcg(top, RELEVANT, 3),
    "survival": lambda top: survival({"recall": top}, RELEVANT),
    "overlap": lambda top: set_overlap(top, ONCE),
    "reference": lambda top: set_overlap(ONCE, top),
    "rerank": lambda top: rerank(top, lambda rows, items: -items, 2),
    "page": lambda top: regret(top, ONCE, lambda rows, items: items),
    "best": lambda top: regret(ONCE, top, lambda rows, items: items),
    "summary": lambda top: cascade_summary(
        {"recall": top}, RELEVANT, ONCE, np.arange(6) < 2
    ),
}


@pytest.mark.parametrize("metric", LISTS)
def test_a_list_that_repeats_an_item_is_refused(metric):
    for top in (ONCE, np.array([[5, -1, -1]])):  # padding repeats
        LISTS[metric](top)
    with pytest.raises(ValueError, match="got item 3 more than once for user 0"):
        LISTS[metric](TWICE)
