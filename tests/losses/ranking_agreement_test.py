"""Agreement with TF-Ranking where it is right, and each of its traps where it isn't."""

import copy
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras, losses

K = losses.tf_ranking().keras.losses
theirs_alone = pytest.mark.skipif(
    _keras.VERSION == "3", reason="TF-Ranking's own classes need Keras 2"
)
BATCH, LENGTH = 5, 8


def lists(seed=0, low=0.5, high=4.0):
    """Student logits, relevance above 0 and a mask, as TF-Ranking wants them."""
    rng = np.random.default_rng(seed)
    student = rng.normal(0.0, 2.0, (BATCH, LENGTH)).astype("f")
    grades = rng.uniform(low, high, (BATCH, LENGTH)).astype("f")
    mask = np.ones((BATCH, LENGTH), bool)
    mask[1, 5:] = mask[2, :2] = False
    return student, grades, mask


@tf.keras.utils.register_keras_serializable(package="agreement_test")
class Identity(losses.RelevanceMap):
    """Passes grades through, so that both libraries see the same relevance."""

    def __call__(self, scores, valid):
        return tf.where(valid, scores, 0.0)


def value_and_gradient(function, student):
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = function(student)
    return value, tape.gradient(value, student)


def tfr_per_list(loss, grades, student, mask):
    """By what TF-Ranking has for estimators, one list at a time."""
    labels = tf.where(mask, grades, -1.0)
    total = tf.compat.v1.losses.Reduction.SUM
    values = [
        loss._loss.compute(labels[i : i + 1], student[i : i + 1], None, total)
        for i in range(BATCH)
    ]
    return tf.stack(values)


PAIRS = [sum(range(n)) for n in (8, 5, 6, 8, 8)]  # without ties, per list
AGREEING = [
    (losses.BPR(), K.PairwiseLogisticLoss(), PAIRS),
    (
        losses.ApproxNDCG(Identity(), temperature=0.5),
        K.ApproxNDCGLoss(temperature=0.5),
        1,
    ),
    (
        losses.DeltaNDCG(Identity()),
        K.PairwiseLogisticLoss(lambda_weight=K.NDCGLambdaWeight(smooth_fraction=1.0)),
        # TF-Ranking multiplies by the padded list's length.
        [LENGTH * n for n in (8, 5, 6, 8, 8)],
    ),
    (
        losses.DeltaNDCG(Identity(), topn=3),
        K.PairwiseLogisticLoss(
            lambda_weight=K.NDCGLambdaWeight(topn=3, smooth_fraction=1.0)
        ),
        [LENGTH * n for n in (8, 5, 6, 8, 8)],
    ),
]


@pytest.mark.parametrize(("ours", "theirs", "scale"), AGREEING)
def test_losses_that_exist_in_both_agree(ours, theirs, scale):
    student, grades, mask = lists()
    expected = value_and_gradient(
        lambda s: tfr_per_list(theirs, grades, s, mask) / np.float32(scale), student
    )
    actual = value_and_gradient(
        lambda s: ours.per_example(student=s, teacher=grades, mask=mask), student
    )
    for mine, other in zip(actual, expected):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_list_mle_agrees_but_for_a_constant_that_padding_adds(padded):
    student, grades, mask = lists()
    mask |= not padded
    theirs = value_and_gradient(
        lambda s: tfr_per_list(K.ListMLELoss(), grades, s, mask), student
    )
    ours = value_and_gradient(
        lambda s: losses.PlackettLuce().per_example(
            student=s, teacher=grades, mask=mask
        ),
        student,
    )
    # TF-Ranking adds log(m!) for m padded items, as if they had to be ordered.
    surplus = [math.lgamma(1 + LENGTH - n) for n in mask.sum(1)]
    np.testing.assert_allclose(ours[0] * mask.sum(1) + surplus, theirs[0], rtol=1e-5)
    slopes = ours[1] * mask.sum(1)[:, np.newaxis]
    np.testing.assert_allclose(slopes, theirs[1], rtol=1e-4, atol=1e-5)


def test_relevance_cross_entropy_is_a_normalised_softmax_loss():
    student, grades, mask = lists()
    total = np.sum(np.where(mask, grades, 0.0), axis=1)
    expected = tfr_per_list(K.SoftmaxLoss(), grades, student, mask) / total
    ours = losses.RelevanceCrossEntropy(Identity())
    actual = ours.per_example(student=student, teacher=grades, mask=mask)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        K.SoftmaxLoss(),
        K.ApproxMRRLoss(),
        K.ListMLELoss(),
        K.UniqueSoftmaxLoss(),
        K.PairwiseHingeLoss(),
        K.PairwiseSoftZeroOneLoss(),
        K.PairwiseMSELoss(),
        K.PairwiseLogisticLoss(lambda_weight=K.DCGLambdaWeight(topn=3)),
        K.PairwiseLogisticLoss(lambda_weight=K.NDCGLambdaWeightV2(topn=3)),
        K.SigmoidCrossEntropyLoss(),
        K.MeanSquaredLoss(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_the_adapter_gives_what_tf_ranking_gives(loss):
    student, grades, mask = lists()
    ours = losses.RankingLossAdapter(loss, Identity())
    expected = value_and_gradient(
        lambda s: tfr_per_list(loss, grades, s, mask), student
    )
    actual = value_and_gradient(
        lambda s: ours.per_example(student=s, teacher=grades, mask=mask), student
    )
    counts = 1.0 if ours._of_lists else mask.sum(1)
    np.testing.assert_allclose(actual[0], expected[0] / counts, rtol=1e-5)
    slopes = expected[1] / (np.reshape(counts, [-1, 1]) + 0.0)
    np.testing.assert_allclose(actual[1], slopes, rtol=1e-4, atol=1e-5)
    config = ours.get_config()
    again = losses.RankingLossAdapter.from_config(config)
    copied = again.per_example(student=student, teacher=grades, mask=mask)
    np.testing.assert_allclose(copied, actual[0], rtol=1e-6)


@theirs_alone
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "loss",
    [
        K.SoftmaxLoss(),
        K.CalibratedSoftmaxLoss(virtual_label=0.5),
        K.ApproxNDCGLoss(),
        K.UniqueSoftmaxLoss(),
        K.PairwiseLogisticLoss(lambda_weight=K.NDCGLambdaWeight()),
        K.MeanSquaredLoss(),
        K.CoupledRankDistilLoss(sample_size=2),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_the_adapter_weighs_as_the_class_of_tf_ranking(loss, weighted):
    student, grades, mask = lists()
    weights = np.random.default_rng(2).uniform(0.5, 2.0, (BATCH, LENGTH))
    weights = np.where(mask, weights, 0.0).astype("f") if weighted else None
    kind = copy.copy(loss)
    kind.reduction = "none"
    labels = tf.where(mask, grades, -1.0)
    tf.random.set_seed(1)
    given = np.where(mask, 1.0, 0.0).astype("f") if weights is None else weights
    each = kind(labels, tf.where(mask, student, 0.0), given)
    expected = tf.reduce_sum(tf.reshape(each, [BATCH, -1]), axis=-1)
    ours = losses.RankingLossAdapter(loss, Identity())
    tf.random.set_seed(1)
    actual = ours.per_example(
        student=student, teacher=grades, mask=mask, weights=weights
    )
    counts = 1.0 if ours._of_lists else mask.sum(1)
    np.testing.assert_allclose(actual, expected / counts, rtol=1e-4)


@pytest.mark.parametrize(
    "loss",
    [K.GumbelApproxNDCGLoss(seed=3), K.YetiLogisticLoss(seed=3)],
    ids=lambda loss: type(loss).__name__,
)
def test_sampling_losses_are_averaged_over_their_samples(loss):
    student, grades, mask = lists()
    ours = losses.RankingLossAdapter(loss, Identity())
    value, gradient = value_and_gradient(
        lambda s: ours.per_example(student=s, teacher=grades, mask=mask), student
    )
    assert value.shape == (BATCH,)
    assert np.all(np.isfinite(gradient)) and np.any(gradient)


def test_chunks_change_nothing(monkeypatch):
    student, grades, mask = lists()
    ours = losses.RankingLossAdapter(K.PairwiseLogisticLoss(), Identity())

    def run():
        return value_and_gradient(
            lambda s: ours.reduce(student=s, teacher=grades, mask=mask), student
        )

    whole = run()
    monkeypatch.setattr("tfdistill.losses.adapters._PAIRS", 2 * LENGTH**2)
    for part, expected in zip(run(), whole):
        np.testing.assert_allclose(part, expected, rtol=1e-6, atol=1e-7)


NEGATIVE = np.array([[-3.0, -1.0, -2.0]], "f")
FLAT = np.array([[0.3, 0.1, 0.2]], "f")


@theirs_alone
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (K.SoftmaxLoss(), losses.ListSoftmaxKL()),
        (K.ApproxNDCGLoss(), losses.ApproxNDCG()),
        (K.PairwiseLogisticLoss(), losses.BPR()),
        (K.MeanSquaredLoss(), losses.LogitMSE()),
        (K.CoupledRankDistilLoss(sample_size=2), losses.RankDistil()),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_trap_negative_scores_are_padding_in_tf_ranking(theirs, ours):
    value, gradient = value_and_gradient(lambda s: theirs(NEGATIVE, s), FLAT)
    assert value == 0.0 and not np.any(gradient)
    value, gradient = value_and_gradient(lambda s: ours(NEGATIVE, s), FLAT)
    assert value != 0.0 and np.any(gradient)


@theirs_alone
def test_trap_rank_distil_zeroes_lists_whose_scores_sum_below_zero():
    teacher = np.array([[0.0, 0.0, 0.0]], "f")
    theirs = K.CoupledRankDistilLoss(sample_size=2)
    assert theirs(teacher, FLAT) == 0.0
    assert losses.RankDistil()(teacher, FLAT) > 0.0


@theirs_alone
def test_trap_rank_distil_draws_the_same_orders_every_time():
    rng = np.random.default_rng(1)
    teacher = rng.uniform(0.0, 1.0, (2, 6)).astype("f")
    student = rng.normal(size=(2, 6)).astype("f")

    def calls(loss):
        tf.random.set_seed(7)
        return [float(tf.function(loss)(teacher, student)) for _ in range(2)]

    first, second = calls(K.CoupledRankDistilLoss(sample_size=2))
    assert first == second
    ours = losses.RankDistil(samples=2)
    first, second = (float(ours(teacher, student)) for _ in range(2))
    assert first != second
    steps = [
        float(ours.reduce(student=student, teacher=teacher, step=step))
        for step in (0, 1, 0)
    ]
    assert steps[0] == steps[2] != steps[1]


@theirs_alone
def test_trap_low_logits_lose_against_the_padding_of_tf_ranking():
    student = np.array([[-60.0, -61.0, 0.0]], "f")
    grades = np.array([[1.0, 0.0, -1.0]], "f")
    assert K.SoftmaxLoss()(grades, student) > 36.0
    mask = grades >= 0.0
    adapter = losses.RankingLossAdapter(K.SoftmaxLoss(), losses.MinMax(top=1.0))
    for loss in (adapter, losses.RelevanceCrossEntropy(losses.MinMax(top=1.0))):
        value = loss.reduce(student=student, teacher=grades, mask=mask)
        np.testing.assert_allclose(value, np.log1p(np.exp(-1.0)), rtol=1e-5)


@theirs_alone
def test_trap_half_precision_logits_raise_in_tf_ranking():
    teacher, student = tf.constant([[1.0, 0.5]]), tf.constant([[0.1, 0.2]], tf.float16)
    with pytest.raises(tf.errors.InvalidArgumentError):
        K.SoftmaxLoss()(teacher, student)
    adapter = losses.RankingLossAdapter(K.SoftmaxLoss(), losses.MinMax())
    for loss in (adapter, losses.ListSoftmaxKL(), losses.BPR()):
        assert loss(teacher, student).dtype == tf.float32


def test_rank_distil_estimates_the_expectation_over_all_orders():
    """Enumerates the orders of 4 items and weighs each with its likelihood."""
    rng = np.random.default_rng(2)
    teacher, student = rng.normal(size=(2, 4))

    def likelihood(scores, order):
        left, total = list(range(4)), 0.0
        for item in order:
            total += scores[item] - np.log(np.sum(np.exp(scores[left])))
            left.remove(item)
        return total

    orders = list(itertools.permutations(range(4), 2))
    exact = -sum(
        np.exp(likelihood(teacher, order)) * likelihood(student, order) / 2
        for order in orders
    )
    loss = losses.RankDistil(topk=2, samples=20_000)
    value = loss.reduce(student=student[None], teacher=teacher[None], step=0)
    np.testing.assert_allclose(value, exact, rtol=0.01)
    # TF-Ranking's value, whose orders are drawn from positive scores, tends there too.
    shifted = (teacher - teacher.min() + 1.0)[None].astype("f")
    theirs = K.CoupledRankDistilLoss(sample_size=4000, topk=2)
    other = theirs(shifted, student[None].astype("f")) / 2.0
    np.testing.assert_allclose(other, exact, rtol=0.03)
