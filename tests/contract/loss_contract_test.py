"""Every property of the contract, for every loss, with default and other arguments."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
from loss_cases import BATCH, CASES, LENGTH, WIDTH, Case

POSITIONS = {"positive", "orders"}
ORDERED = {
    *("PlackettLuce", "RankDistil", "TopKSoftLabel", "RankingDistillation"),
    *("RankNet", "ApproxNDCG", "DeltaNDCG", "RelevanceCrossEntropy"),
    "RankingLossAdapter",
}
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}
PROPERTIES = (
    "value",
    "mask",
    "empty",
    "nothing",
    "impossible",
    "refused",
    "permutation",
    "leading",
    "extreme",
    "half",
    "gradient",
    "teacher_gradient",
    "minimum",
    "shift",
    "xla",
    "serialise",
    "weights",
    "keras",
)

each_loss = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@pytest.fixture(autouse=True)
def applicable(request, case, record_property):
    """Records the line of this loss and property; leaves where it is n/a."""
    prop = request.function.__name__.removeprefix("test_")
    reason = case.loss().not_applicable.get(prop)
    note = f"n/a: {reason}" if reason else None
    record_property("contract", (case.name, prop, note))
    if reason:
        request.applymarker(pytest.mark.skip(reason=reason))
        pytest.skip(reason)


def reduce(case: Case, batch, loss=None):
    return (loss or case.loss()).reduce(**batch)


def differentiate(case: Case, batch, with_respect_to="student"):
    x = tf.convert_to_tensor(batch[with_respect_to])
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = reduce(case, {**batch, with_respect_to: x})
    return value, tape.gradient(value, x)


def item_axes(case: Case, batch):
    """The axis of the maskable items in every array that has one."""
    axis = batch["mask"].ndim - 1
    axes = {k: axis for k, v in batch.items() if v.ndim > axis and k not in POSITIONS}
    if case.shape == "in_batch":
        del axes["student"]
    if case.shape == "towers":
        del axes["student"], axes["teacher"]
    return axes


def take_items(case: Case, batch, order):
    """Selects or reorders the items of every list."""
    axes = item_axes(case, batch)
    taken = {
        k: np.take(v, order, axes[k]) if k in axes else v for k, v in batch.items()
    }
    if case.shape == "towers":
        towers = [0, *(1 + np.asarray(order))]
        taken |= {k: batch[k][:, towers] for k in ("student", "teacher")}
    for key in POSITIONS & set(batch):
        new = np.full(batch["mask"].shape[-1] + 1, -1, np.int32)
        new[np.asarray(order)] = np.arange(len(order))
        taken[key] = new[batch[key]]
    return taken


@each_loss
def test_value(case):
    batch = case.batch()
    np.testing.assert_allclose(reduce(case, batch), case.expected(batch), **TOLERANCE)


@each_loss
def test_mask(case):
    batch = case.batch()
    columns = [1]
    batch["mask"][..., columns] = False
    kept = [i for i in range(batch["mask"].shape[-1]) if i not in columns]
    spoilt = dict(batch)
    for key in ("student", "teacher"):
        if key in item_axes(case, batch):
            spoilt[key] = batch[key].copy()
            index = (slice(None),) * item_axes(case, batch)[key] + (columns,)
            spoilt[key][index] = np.nan
    expected = reduce(case, take_items(case, batch, kept))
    np.testing.assert_allclose(reduce(case, spoilt), expected, **TOLERANCE)
    _, gradient = differentiate(case, spoilt)
    assert np.all(np.isfinite(gradient))


@each_loss
def test_empty(case):
    batch = case.batch()
    batch["mask"][:] = False
    value, gradient = differentiate(case, batch)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def few(case: Case, batch, examples: int, items: int):
    """The batch's first examples, and the first items of each."""
    some = take_items(case, batch, np.arange(items))
    if "orders" in some:
        some["orders"] = some["orders"][..., :items]
    return {key: values[:examples] for key, values in some.items()}


@each_loss
@pytest.mark.parametrize("how", ["eager", "graph"])
def test_nothing(case, how):
    """No example, lists without an item, of one item: 0 with a gradient of 0."""
    batch = case.batch()
    vectors = case.shape == "vector"
    sizes = [(0, LENGTH), (BATCH, 0), (0, 0), (2, 1)]
    sizes = [(0, BATCH), (1, BATCH)] if vectors else sizes

    def step(some):
        return differentiate(case, some)

    if how == "graph":  # of any shape, as where a replica has no row of a batch
        specs = {k: tf.TensorSpec([None] * v.ndim, v.dtype) for k, v in batch.items()}
        for key in ("student", "teacher") if case.shape != "score" else ():
            specs[key] = tf.TensorSpec(
                [None] * (batch[key].ndim - 1) + [WIDTH], tf.float32
            )
        step = tf.function(step, input_signature=[specs])
    for examples, items in sizes:
        some = {k: v[:examples] for k, v in batch.items()}
        if not vectors:
            some = few(case, batch, examples, items)
        value, gradient = step({k: tf.constant(v) for k, v in some.items()})
        assert np.isfinite(value) and np.all(np.isfinite(gradient))
        assert gradient.shape == some["student"].shape
        if 0 in (examples, items):
            assert value == 0.0 and not np.any(gradient)


def spoilt(case: Case, value: float, every: bool):
    """A batch with a teacher that gives one item of a list, or all, a wild score."""
    batch = case.batch()
    teacher = batch["teacher"].copy()
    one = (0, 1, 0) if case.shape == "towers" else (0,) * teacher.ndim
    teacher[(0,) if every else one] = value
    return {**batch, "teacher": teacher}


@each_loss
def test_impossible(case):
    """A teacher's -inf is probability 0 (no list at all, if all are), or refused."""
    for every in (False, True):
        batch = spoilt(case, -np.inf, every)
        if not case.loss().log_zero:
            with pytest.raises(ValueError, match="NaN or infinite where it counts"):
                reduce(case, batch)
            continue
        value, gradient = differentiate(case, batch)
        assert np.isfinite(value) and np.all(np.isfinite(gradient))
        low = spoilt(case, -1e19, every)
        if every and case.loss().example_rank:
            low = {**batch, "mask": batch["mask"].copy()}
            low["mask"][0] = False
        elif type(case.loss()).__name__ in ORDERED or "divergence" in case.name:
            continue  # -inf has no place in the order, and a floor in `reverse`
        np.testing.assert_allclose(value, reduce(case, low), **TOLERANCE)


@each_loss
def test_refused(case):
    """NaN and +inf are refused: eagerly, in a graph, and by NaN under XLA."""
    wild = [spoilt(case, x, False) for x in (np.nan, np.inf)]
    for weight in (np.nan, np.inf, -1.0):
        weights = case.batch()["weights"].copy()
        weights[(0,) * weights.ndim] = weight
        wild.append({**case.batch(), "weights": weights})
    graph = tf.function(lambda b: reduce(case, b))
    for batch in wild:
        with pytest.raises(ValueError, match="where it counts|that counts"):
            reduce(case, batch)
        with pytest.raises(tf.errors.InvalidArgumentError, match="counts"):
            graph({k: tf.constant(v) for k, v in batch.items()})
        masked = {**batch, "mask": batch["mask"].copy()}
        masked["mask"][0] = False
        if case.shape != "in_batch":
            assert np.isfinite(reduce(case, masked))


@each_loss
def test_permutation(case):
    batch = case.batch()
    order = np.random.default_rng(1).permutation(batch["mask"].shape[-1])
    shuffled = reduce(case, take_items(case, batch, order))
    np.testing.assert_allclose(shuffled, reduce(case, batch), **TOLERANCE)


@each_loss
def test_leading(case):
    batch, loss = case.batch(), case.loss()
    flat = loss.per_example(**batch)
    split = {k: v.reshape(2, BATCH // 2, *v.shape[1:]) for k, v in batch.items()}
    nested = loss.per_example(**split)
    assert nested.shape[:2] == (2, BATCH // 2)
    np.testing.assert_allclose(np.reshape(nested, flat.shape), flat, **TOLERANCE)
    one = loss.per_example(**{k: v[0] for k, v in batch.items()})
    np.testing.assert_allclose(one, flat[0], **TOLERANCE)


@each_loss
def test_extreme(case):
    batch = case.batch()
    rng = np.random.default_rng(3)
    for student, teacher in [(1e4, 1e4), (-1e4, 1e4), (0.0, 0.0), (1e4, 0.0)]:
        for key, size in [("student", student), ("teacher", teacher)]:
            signs = np.where(rng.uniform(size=batch[key].shape) < 0.5, -1.0, 1.0)
            batch[key] = (size * signs).astype("f")
        if case.label:
            batch["teacher"] = batch["labels"]
        value, gradient = differentiate(case, batch)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))


@each_loss
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half(case, dtype):
    batch = case.batch()
    half = {k: tf.cast(batch[k], dtype) for k in ("student", "teacher", "weights")}
    single = {k: tf.cast(v, tf.float32) for k, v in half.items()}
    value = case.loss().per_example(**{**batch, **half})
    assert value.dtype == tf.float32
    expected = case.loss().per_example(**{**batch, **single})
    np.testing.assert_allclose(value, expected, **TOLERANCE)


@each_loss
def test_gradient(case):
    """The gradient is the central difference of the loop in float64."""
    batch = case.batch()
    _, gradient = differentiate(case, batch)
    rng, step = np.random.default_rng(5), 1e-5
    for _ in range(4):
        at = tuple(rng.integers(0, n) for n in batch["student"].shape)
        sides = []
        for sign in (1.0, -1.0):
            moved = batch["student"].astype("d")
            moved[at] += sign * step
            sides.append(case.expected({**batch, "student": moved}))
        slope = (sides[0] - sides[1]) / (2.0 * step)
        np.testing.assert_allclose(gradient[at], slope, rtol=1e-3, atol=1e-4)


@each_loss
def test_teacher_gradient(case):
    _, gradient = differentiate(case, case.batch(), "teacher")
    assert gradient is None or not np.any(gradient)


@each_loss
def test_minimum(case):
    batch = case.batch()
    batch["student"] = batch["teacher"].copy()
    best, gradient = differentiate(case, batch)
    np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=2e-6)
    rng = np.random.default_rng(7)
    for scale in (0.01, 0.1, 1.0, 10.0):
        noise = rng.normal(0.0, scale, batch["student"].shape).astype("f")
        other = reduce(case, {**batch, "student": batch["teacher"] + noise})
        assert other >= best - 1e-6


@each_loss
def test_shift(case):
    batch = case.batch()
    moved = {**batch, "student": batch["student"] - np.float32(60.0)}
    value = reduce(case, batch)
    np.testing.assert_allclose(reduce(case, moved), value, rtol=1e-4, atol=1e-4)


@each_loss
def test_xla(case):
    batch = case.batch()
    compiled = tf.function(lambda b: differentiate(case, b), jit_compile=True)
    batches = [batch, {**batch, "teacher": np.round(batch["teacher"])}]  # with ties
    if case.loss().log_zero:
        batches.append(spoilt(case, -np.inf, False))
    for batch in batches:
        for eager, xla in zip(differentiate(case, batch), compiled(batch)):
            np.testing.assert_allclose(xla, eager, **TOLERANCE)
    # XLA drops assertions: NaN says the same.
    for value in compiled(spoilt(case, np.nan, False)):
        assert np.any(np.isnan(value))


@each_loss
def test_serialise(case):
    loss, batch = case.loss(), case.batch()
    assert set(inspect.signature(type(loss)).parameters) <= set(loss.get_config())
    copy = tf.keras.losses.deserialize(tf.keras.losses.serialize(loss))
    assert type(copy) is type(loss)
    assert str(copy.get_config()) == str(loss.get_config())
    np.testing.assert_array_equal(reduce(case, batch, copy), reduce(case, batch))
    renamed = type(loss).from_config({**loss.get_config(), "name": "other"})
    assert renamed.name == "other"


@each_loss
def test_weights(case):
    batch = case.batch()
    masked, light = dict(batch), dict(batch)
    masked["mask"] = batch["mask"].copy()
    light["weights"] = batch["weights"].copy()
    masked["mask"][..., 3] = False
    light["weights"][..., 3] = 0.0
    np.testing.assert_array_equal(reduce(case, light), reduce(case, masked))
    double = {**batch, "weights": 2.0 * batch["weights"]}
    np.testing.assert_allclose(
        reduce(case, double), 2.0 * reduce(case, batch), **TOLERANCE
    )
    per_list = np.array([0.0, 1.0, 3.0, 0.5], "f")
    wide = per_list.reshape([BATCH] + [1] * (batch["mask"].ndim - 1))
    expected = reduce(case, {**batch, "weights": wide + 0.0 * batch["mask"]})
    for weights in (per_list, wide):
        value = reduce(case, {**batch, "weights": weights})
        np.testing.assert_allclose(value, expected, **TOLERANCE)


@each_loss
def test_keras(case):
    """The loss called as Keras does is the Distiller's, ragged and reduced too."""
    batch, loss = case.batch(), case.loss()
    mask = batch["mask"]
    if case.shape == "vector":
        mask = mask[:, np.newaxis]
    y_true = np.where(mask, batch["teacher"], np.nan)
    value = loss(y_true, batch["student"], batch["weights"])
    keys = {k: batch[k] for k in ("student", "teacher", "mask", "weights")}
    rtol = 1e-5 + case.noise
    np.testing.assert_allclose(value, reduce(case, keys), rtol=rtol)
    each = loss.per_example(**keys)
    for reduction, expected in [("none", each), ("sum", np.sum(each))]:
        other = type(loss).from_config({**loss.get_config(), "reduction": reduction})
        value = other(y_true, batch["student"], batch["weights"])
        np.testing.assert_allclose(
            value, expected, rtol=rtol + 5 * case.noise, atol=1e-6
        )
    np.testing.assert_allclose(loss.call(y_true, batch["student"]).shape, each.shape)


@each_loss
def test_not_applicable(case):
    missing = case.loss().not_applicable
    assert set(missing) <= set(PROPERTIES)
    assert len(missing) == case.missing, sorted(missing)
    assert all(len(reason) > 10 for reason in missing.values())
