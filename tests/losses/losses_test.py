"""What the contract doesn't cover: ragged lists, replicas, errors, sizes, helpers."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.losses import in_batch, pair_blocks


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("f")


class Scale(tf.keras.layers.Layer):
    """One weight for all items; Keras 3's own layers take no ragged tensors."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, x):
        return x * tf.convert_to_tensor(self.scale)


@pytest.mark.parametrize(
    "loss",
    [losses.LogitMSE(), losses.ListSoftmaxKL(), losses.BPR()],
    ids=lambda x: x.name,
)
def test_a_model_with_ragged_outputs_trains(loss):
    """`compile(loss=)` on ragged lists is the same as on padded ones."""
    student, teacher, weights = normal(3, 4), normal(3, 4, seed=1), np.full((3, 4), 2.0)
    lengths = [4, 1, 3]
    ragged = [
        tf.RaggedTensor.from_tensor(x.astype("f"), lengths)
        for x in (student, teacher, weights)
    ]
    model = tf.keras.Sequential(
        [
            tf.keras.Input([None], ragged=True),
            Scale(),
        ]
    )
    model.compile(tf.keras.optimizers.SGD(0.1), loss=loss)
    data = tf.data.Dataset.from_tensors(tuple(ragged))
    value = model.fit(data, verbose=0).history["loss"][0]
    mask = np.arange(4) < np.reshape(lengths, [-1, 1])
    scale = tf.Variable(1.0)
    with tf.GradientTape() as tape:
        expected = loss.reduce(
            student=scale * student, teacher=teacher, mask=mask, weights=weights
        )
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    trained = 1.0 - 0.1 * tape.gradient(expected, scale)
    np.testing.assert_allclose(model.get_weights()[0], trained, rtol=1e-5)


def test_negative_scores_are_scores_and_nan_is_missing():
    loss = losses.LogitMSE()
    assert loss([[-3.0, np.nan]], [[-1.0, 7.0]]) == 4.0
    with pytest.raises(ValueError, match="NaN or infinite where it counts"):
        loss.reduce(student=[[1.0]], teacher=[[np.nan]])


def test_means_are_over_valid_examples():
    loss = losses.ListSoftmaxKL()
    student, teacher = normal(4, 3), normal(4, 3, seed=1)
    mask = np.ones((4, 3), bool)
    mask[2] = False
    each = loss.per_example(student=student, teacher=teacher, mask=mask)
    value = loss.reduce(student=student, teacher=teacher, mask=mask)
    np.testing.assert_allclose(value, np.sum(each) / 3.0, rtol=1e-6)


def test_unknown_length_and_batch_trace():
    spec = tf.TensorSpec([None, None], tf.float32)
    for loss in (
        losses.BPR(),
        losses.RankNet(),
        losses.DeltaNDCG(),
        losses.ApproxNDCG(losses.MinMax()),
        losses.PlackettLuce(3),
        losses.RankDistil(),
    ):
        traced = tf.function(
            lambda s, t, loss=loss: loss.per_example(student=s, teacher=t),
            input_signature=[spec, spec],
        )
        for shape in ((2, 5), (3, 140)):
            student, teacher = normal(*shape), normal(*shape, seed=1)
            if isinstance(loss, losses.RankDistil):
                assert np.all(np.isfinite(traced(student, teacher)))
                continue
            expected = loss.per_example(student=student, teacher=teacher)
            np.testing.assert_allclose(
                traced(student, teacher), expected, rtol=1e-4, atol=1e-6
            )


@pytest.mark.parametrize("length", [1, 127, 129, 300])
def test_blocks_give_what_all_pairs_give(length):
    student, teacher = normal(2, length), np.round(normal(2, length, seed=1), 1)
    teacher, valid = teacher.astype("f"), np.ones((2, length), bool)
    valid[1, length // 2 :] = False
    x = tf.constant(student)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        loss = losses.BPR().per_example(student=x, teacher=teacher, mask=valid)
        better = teacher[:, :, None] > teacher[:, None, :]
        better &= valid[:, :, None] & valid[:, None, :]
        pairs = tf.nn.softplus(x[:, None, :] - x[:, :, None]) * better.astype("f")
        count = np.maximum(better.sum((1, 2)), 1)
        expected = tf.reduce_sum(pairs, [1, 2]) / count
        weights = np.random.default_rng(2).uniform(0.5, 2.0, valid.shape).astype("f")
        soft = losses.RankNet().per_example(
            student=x, teacher=teacher, mask=valid, weights=weights
        )
        target = tf.sigmoid(teacher[:, :, None] - teacher[:, None, :])
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(
            labels=target, logits=x[:, :, None] - x[:, None, :]
        )
        both = valid[:, :, None] & valid[:, None, :] & ~np.eye(length, dtype=bool)
        both = both * weights[:, :, None]
        direct_soft = tf.reduce_sum(entropy * both, [1, 2])
        direct_soft /= np.maximum(valid.sum(1) * (valid.sum(1) - 1.0), 1.0)
        ranks = pair_blocks.smooth_ranks(x, valid, 0.5)
        ranks = tf.where(valid, ranks / length, 0.0) ** 2
        rows = tf.sigmoid((x[:, None, :] - x[:, :, None]) / 0.5) * valid[:, None, :]
        direct = (0.5 + tf.reduce_sum(rows, -1)) / length
        direct = tf.where(valid, direct, 0.0) ** 2
    for mine, other in ((loss, expected), (soft, direct_soft), (ranks, direct)):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=1e-6)
        slopes = tape.gradient(mine, x), tape.gradient(other, x)
        np.testing.assert_allclose(*slopes, rtol=1e-4, atol=2e-4)


def test_few_and_all_graded_items_give_the_same_ndcg():
    """33 graded items take the blocks, 32 the direct ranks."""
    student, teacher = normal(2, 200), normal(2, 200, seed=1)
    for topk in (32, 33):
        loss = losses.ApproxNDCG(losses.RankLinear(topk=topk), temperature=0.5)
        x = tf.constant(student)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss.per_example(student=x, teacher=teacher)
        slope = tape.gradient(value, x)
        leads = (student[:, None, :] - student[:, :, None]) / 0.5
        ranks = 0.5 + np.sum(1.0 / (1.0 + np.exp(-leads.astype("d"))), -1)
        order = np.argsort(np.argsort(-teacher, axis=1), axis=1)
        gains = 2.0 ** (4.0 * np.maximum(topk - order, 0) / topk) - 1.0
        dcg = np.sum(gains / np.log2(1.0 + ranks), 1)
        best = np.sum(-np.sort(-gains) / np.log2(2.0 + np.arange(200)), 1)
        np.testing.assert_allclose(value, -dcg / best, rtol=1e-5)
        assert np.all(np.isfinite(slope)) and np.any(slope)


def in_batch_inputs(seed, users=4, length=3):
    rng = np.random.default_rng(seed)
    return {
        "log_q": rng.uniform(-2, 0, (users, length)).astype("f"),
        "item_row": rng.integers(0, 9, (users, length)).astype("i"),
    }


def global_batches():
    """Loss, and the arguments of a batch of 4 rows that replicas split in halves."""
    towers = {"student": normal(4, 4, 5), "teacher": normal(4, 4, 6, seed=1)}
    positive = {"positive": np.array([0, 2, -1, 1], np.int32)}
    hard = {"student": normal(4, 5), "teacher": normal(4, 3, 5, seed=1)}
    rows = {"student": normal(4, 5), "teacher": normal(4, 5, seed=1)}
    groups = {"assignment": np.eye(2, dtype="f")[[0, 1, 1, 0]]}
    return [
        (losses.InBatchDistillation, {**towers, **in_batch_inputs(0)}),
        (losses.InBatchSoftmax, {**hard, **in_batch_inputs(1), **positive}),
        (losses.FullTopology, rows),
        (losses.HierarchicalTopology, {**rows, **groups}),
        (losses.Contrastive, rows),
    ]


@pytest.mark.parametrize(
    ("cls", "batch"), global_batches(), ids=[c.__name__ for c, _ in global_batches()]
)
@pytest.mark.parametrize("gather", [False, True])
def test_replicas_see_their_own_rows_unless_gathered(two_replicas, cls, batch, gather):
    loss = cls(gather=gather)

    def part(replica):
        return {k: v[2 * replica : 2 * replica + 2] for k, v in batch.items()}

    def value_and_slope(loss, batch):
        student = tf.constant(batch["student"])
        with tf.GradientTape() as tape:
            tape.watch(student)
            values = loss.per_example(**{**batch, "student": student})
        return values, tape.gradient(values, student)

    def step():
        context = tf.distribute.get_replica_context()
        replica = tf.get_static_value(context.replica_id_in_sync_group)
        return value_and_slope(loss, part(int(replica)))

    results = tf.function(lambda: two_replicas.run(step))()
    if gather:
        expected = value_and_slope(cls(), batch)
    else:
        parts = zip(*(value_and_slope(cls(), part(i)) for i in (0, 1)))
        expected = [np.concatenate(pair) for pair in parts]
    for result, other in zip(results, expected):
        actual = np.concatenate(two_replicas.experimental_local_results(result))
        np.testing.assert_allclose(actual, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        losses.ListSoftmaxKL(),
        losses.SigmoidSoftLabel(2.0),
        losses.RankNet(),
        losses.LogitMSE(reduction="sum"),
    ],
    ids=lambda loss: f"{loss.name}-{loss.reduction}",
)
def test_one_device_and_two_replicas_train_alike(two_replicas, loss):
    """Means and sums scale as Keras scales its losses; so do weights."""
    x, y, weights = normal(8, 4), normal(8, 4, seed=1), np.arange(1.0, 9.0)

    def train():
        model = tf.keras.Sequential(
            [tf.keras.layers.Dense(4, kernel_initializer="ones")]
        )
        model.compile(tf.keras.optimizers.SGD(0.1), loss=loss)
        data = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(8)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.OFF
        )
        model.fit(data.with_options(options), verbose=0)
        return model.get_weights()[0]

    alone = train()
    with two_replicas.scope():
        together = train()
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_teacher_gradient_can_be_opened():
    student, teacher = tf.constant(normal(2, 3)), tf.constant(normal(2, 3, seed=1))
    with tf.GradientTape() as tape:
        tape.watch(teacher)
        value = losses.LogitMSE().reduce(
            student=student, teacher=teacher, teacher_gradient=True
        )
    assert np.any(tape.gradient(value, teacher))


def test_overrides_replace_the_argument():
    student, teacher = normal(2, 3), normal(2, 3, seed=1)
    hot = losses.SigmoidSoftLabel(4.0).reduce(student=student, teacher=teacher)
    value = losses.SigmoidSoftLabel().reduce(
        student=student, teacher=teacher, temperature=tf.constant(4.0)
    )
    np.testing.assert_allclose(value, hot, rtol=1e-6)


def test_a_constant_student_learns_from_delta_ndcg():
    student = tf.zeros([1, 4])
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = losses.DeltaNDCG()([[4.0, 3.0, 2.0, 1.0]], student)
    gradient = tape.gradient(value, student).numpy()
    assert gradient[0, 0] < 0.0 < gradient[0, 3]


def test_item_weights_keep_the_minimum_of_the_kl():
    teacher = normal(1, 4)
    weights = np.array([[1.0, 9.0, 0.5, 2.0]], "f")
    x = tf.constant(teacher)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = losses.ListSoftmaxKL().reduce(
            student=x, teacher=teacher, weights=weights
        )
    np.testing.assert_allclose(tape.gradient(value, x), np.zeros((1, 4)), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.SigmoidSoftLabel(0.0),
            "`temperature` must be above 0, got",
        ),
        (lambda: losses.PlackettLuce(0), "`topk` must be a whole number of at least 1"),
        (
            lambda: losses.ListSoftmaxKL(divergence="kl"),
            "must be one of .*got 'kl'",
        ),
        (
            lambda: losses.RankingDistillation(9, discrepancy=2.0),
            r"must lie in \[0, 1\]",
        ),
        (lambda: losses.ClassifierTransfer([2], [1.0, 2.0]), "one value per layer"),
        (lambda: losses.RankingLossAdapter(losses.BPR()), "tfr.keras.losses instance"),
        (lambda: losses.InBatchSoftmax(reduction="sum"), "averaged over users"),
        (lambda: losses.InBatchSoftmax()([1.0], [1.0]), "Call `reduce"),
        (
            lambda: losses.GroupedBPR().reduce(student=[[1.0]], teacher=[[1.0]]),
            r"Missing: \['group'\]",
        ),
        (
            lambda: losses.BPR().reduce(student=[[1.0]], teacher=[[1.0]], grop=1),
            r"unknown: \['grop'\]",
        ),
        (
            lambda: losses.RankNet().reduce(
                student=[[1.0]], teacher=[[1.0]], teacher_gradient=True
            ),
            "takes the teacher as a constant",
        ),
        (
            lambda: losses.Hint().reduce(student=[[1.0]], teacher=[[1.0, 2.0]]),
            "Project or gather",
        ),
        (
            lambda: losses.BPR().reduce(
                student=[[1.0]], teacher=[[1.0]], weights=np.ones((1, 1, 2))
            ),
            "at most the 2 axes",
        ),
        (
            lambda: losses.Hint()(tf.ragged.constant([[1.0], [2.0, 3.0]]), [[0.0]]),
            r"takes dense tensors only.*`\.to_tensor\(float\('nan'\)\)`",
        ),
        (
            lambda: losses.FullTopology().reduce(
                student=np.ones((1, 2, 3)), teacher=np.ones((1, 2, 3))
            ),
            "Flatten leading axes",
        ),
        (
            lambda: losses.InBatchSoftmax().reduce(
                student=[[1.0]],
                teacher=[[1.0]],
                positive=[0],
                log_q=[[0.0]],
                item_row=[[0]],
            ),
            r"queries \[B, d\]",
        ),
        (
            lambda: losses.InBatchSoftmax(every=True).reduce(
                student=[[1.0]],
                teacher=[[[1.0]]],
                positive=[0],
                log_q=[[0.0]],
                item_row=[[0]],
            ),
            "needs `labels`, got None.*take every=False",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_hits_are_found_anywhere_in_the_batch():
    """User 0's other positive, offered to user 1, is no negative of user 0."""
    queries, candidates = np.zeros((2, 1), "f"), np.zeros((2, 2, 1), "f")
    inputs = {
        "positive": [0, 0],
        "log_q": np.zeros((2, 2), "f"),
        "item_row": [[5, 6], [7, 6]],
    }
    loss = in_batch.InBatchSoftmax(reduction="none")
    labels = np.array([[1.0, 1.0], [1.0, 0.0]], "f")
    value = loss.reduce(student=queries, teacher=candidates, labels=labels, **inputs)
    # User 0 keeps 5 and 7; user 1 keeps 7, 6, 5 and 6.
    np.testing.assert_allclose(value, np.log([2.0, 4.0]), rtol=1e-6)
