"""Layers over a request: folding changes the cost, and neither values nor variance."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import (
    ConcatUserItem,
    FoldedDense,
    GradientBlock,
    SharedDot,
    SqueezeLast,
    SteppedDropout,
    folded_mlp,
    mlp,
)

keras = tf.keras


def sides(batch=3, length=4, user=5, item=6, dtype=tf.float32):
    rng = np.random.default_rng(1)
    shapes = ([batch, user], [batch, length, item])
    return tuple(tf.constant(rng.normal(size=shape), dtype) for shape in shapes)


def concatenated(user, item) -> np.ndarray:
    """`[B, L, d_u + d_i]` by an explicit copy for each candidate."""
    rows = [
        [np.concatenate([u, candidate]) for candidate in candidates]
        for u, candidates in zip(user.numpy(), item.numpy())
    ]
    return np.array(rows)


def whole_kernel(layer: FoldedDense) -> np.ndarray:
    return np.concatenate([layer.user_kernel.numpy(), layer.item_kernel.numpy()])


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 4), (2, 0)])
def test_folded_dense_equals_the_dense_layer_over_the_concatenation(
    batch, length, activation
):
    user, item = sides(batch, length)
    folded, plain = FoldedDense(7, activation), keras.layers.Dense(7, activation)
    folded.build([(None, 5), (None, None, 6)])
    folded.bias.assign(tf.linspace(-1.0, 1.0, 7))
    plain.build([None, None, 11])
    plain.set_weights([whole_kernel(folded), folded.bias.numpy()])
    found = folded((user, item))
    assert found.shape == (batch, length, 7)
    if length:
        np.testing.assert_allclose(found, plain(concatenated(user, item)), atol=1e-6)


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "lecun_normal"])
def test_the_initial_variance_is_that_of_the_concatenated_layer(name):
    """Two plain kernels of these widths would start with 1.78 times the variance."""
    width, units = 256, 72
    keras.utils.set_random_seed(1)

    def variance(fan_in: int) -> float:
        kernel = keras.initializers.get(name)([fan_in, units])
        return fan_in * float(tf.math.reduce_variance(kernel))

    layer = FoldedDense(units, kernel_initializer=name)
    layer.build([(None, width), (None, None, width)])
    found = 2 * width * whole_kernel(layer).var()
    assert found == pytest.approx(variance(2 * width), rel=0.03)
    expected = 1.78 if name == "glorot_uniform" else 2.0
    assert 2 * variance(width) / found == pytest.approx(expected, rel=0.03)


def test_a_seeded_kernel_is_the_dense_layers_kernel():
    seeded = keras.initializers.GlorotUniform(seed=3)
    layer = FoldedDense(7, kernel_initializer=seeded)
    layer.build([(None, 5), (None, None, 6)])
    same = keras.initializers.GlorotUniform(seed=3)([11, 7])
    np.testing.assert_array_equal(whole_kernel(layer), same)


def test_an_unseeded_kernel_does_not_repeat_its_rows():
    layer = FoldedDense(7)
    layer.build([(None, 5), (None, None, 5)])
    assert np.abs(layer.user_kernel - layer.item_kernel).min() > 0


def test_the_regulariser_acts_on_both_kernels():
    layer = FoldedDense(7, kernel_regularizer=keras.regularizers.L2(0.5))
    layer(sides())
    total = 0.5 * (whole_kernel(layer) ** 2).sum()
    assert float(tf.add_n(layer.losses)) == pytest.approx(total, rel=1e-5)


def test_gradients_equal_finite_differences():
    """Along a random direction of each input and weight."""
    rng = np.random.default_rng(2)
    layer = FoldedDense(3, "tanh", dtype="float64")
    inputs = tuple(tf.Variable(side) for side in sides(dtype=tf.float64))
    layer(inputs)
    target = tf.constant(rng.normal(size=[3, 4, 3]))
    variables = [*inputs, *layer.weights]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(target * layer(inputs))
    for variable, gradient in zip(variables, tape.gradient(loss, variables)):
        direction = rng.normal(size=variable.shape)
        moved = []
        for step in (1e-6, -2e-6):
            variable.assign_add(step * direction)
            moved.append(float(tf.reduce_sum(target * layer(inputs))))
        variable.assign_add(1e-6 * direction)
        slope = (moved[0] - moved[1]) / 2e-6
        assert slope == pytest.approx(float(tf.reduce_sum(gradient * direction)), 1e-6)


def test_mixed_precision_computes_in_float16_and_keeps_float32_weights():
    layer, plain = FoldedDense(7, dtype="mixed_float16"), FoldedDense(7)
    for one in (layer, plain):
        one(sides())
    layer.set_weights(plain.get_weights())
    assert {tf.as_dtype(w.dtype) for w in layer.weights} == {tf.float32}
    found = layer(sides())
    assert found.dtype == tf.float16
    np.testing.assert_allclose(tf.cast(found, tf.float32), plain(sides()), atol=1e-2)


def test_concat_user_item_copies_the_user_to_every_candidate():
    found = ConcatUserItem()(sides())
    np.testing.assert_array_equal(found, concatenated(*sides()))


def test_squeeze_last_drops_that_axis_only():
    assert SqueezeLast()(tf.ones([1, 5, 1])).shape == (1, 5)
    assert list(SqueezeLast()(keras.Input([None, 1])).shape) == [None, None]


def test_the_gradient_block_passes_values_and_no_gradient():
    x = tf.Variable([[1.0, -2.0]])
    with tf.GradientTape() as tape:
        blocked = GradientBlock()(x)
        loss = tf.reduce_sum(blocked * x)
    np.testing.assert_array_equal(blocked, x)
    # d(stop(x) * x)/dx = stop(x); without the block it would be 2 x.
    np.testing.assert_array_equal(tape.gradient(loss, x), x)


def test_a_stack_has_the_layers_it_was_asked_for():
    user, item = keras.Input([5]), keras.Input([None, 6])
    options = {"dropout": 0.5, "kernel_regularizer": keras.regularizers.L2()}
    out = folded_mlp(user, item, (8, 4, 2), name="net", **options)[-1]
    model = keras.Model([user, item], out)
    assert list(out.shape) == [None, None, 2]
    units = {
        layer.name: layer.units
        for layer in model.layers
        if layer.weights and hasattr(layer, "units")
    }
    assert units == {"net_folded": 8, "net_0": 4, "net_1": 2}
    drops = [layer for layer in model.layers if isinstance(layer, SteppedDropout)]
    assert [layer.rate for layer in drops] == [0.5] * 3
    assert len({layer.seed for layer in drops}) == 3
    assert len(model.losses) == 4  # two kernels of the folded layer, two plain ones
    same = [model(sides()) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert np.abs(model(sides(), training=True) - same[0]).max() > 0


def test_an_empty_stack_gives_its_inputs_back():
    x = keras.Input([4])
    assert mlp(x, (), name="net") == [x]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": ()}, r"at least one layer, got units=\(\)"),
        ({"input_dropout": 0.1}, "input_dropout=0.1.*`ConcatUserItem` and `mlp`"),
        ({"input_normalization": "batch"}, "input_normalization='batch'"),
    ],
)
def test_what_cannot_be_folded_is_refused(change, message):
    arguments = {"units": (4,), "name": "net", **change}
    with pytest.raises(ValueError, match=message):
        folded_mlp(keras.Input([5]), keras.Input([None, 6]), **arguments)


@pytest.mark.parametrize("layer", [FoldedDense(7), ConcatUserItem()])
@pytest.mark.parametrize("shapes", [[(4, 5), (4, 6)], [(4, 4, 5), (4, 4, 6)]])
def test_pairs_and_tiled_users_are_refused(layer, shapes):
    """They would broadcast every user to every item."""
    with pytest.raises(ValueError, match=r"user \[B, d_u\].*got the shapes \[\(4, "):
        layer(tuple(tf.ones(shape) for shape in shapes))


def test_a_layer_without_units_is_refused():
    with pytest.raises(ValueError, match="units must be at least 1, got 0"):
        FoldedDense(0)


def test_configs_keep_every_argument():
    layer = FoldedDense(
        7,
        "tanh",
        keras.initializers.HeNormal(seed=4),
        keras.regularizers.L2(0.25),
        name="first",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    again = FoldedDense.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.units, again.activation) == (7, keras.activations.tanh)
    assert again.kernel_initializer.seed == 4
    assert float(again.kernel_regularizer.l2) == 0.25
    assert (again.name, again.compute_dtype) == ("first", "bfloat16")
    assert not again.trainable


def test_saved_models_score_as_before(tmp_path):
    user, item = keras.Input([5]), keras.Input([None, 6])
    folded = FoldedDense(3, "tanh")((user, GradientBlock()(item)))
    both = ConcatUserItem()((user, folded))
    out = SqueezeLast()(keras.layers.Dense(1)(both))
    model = keras.Model([user, item], out)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded(sides()), model(sides()))

    served = tf.Module()
    served.model = model
    specs = [tf.TensorSpec([None, 5]), tf.TensorSpec([None, None, 6])]
    served.score = tf.function(lambda *x: model(list(x)), input_signature=specs)
    tf.saved_model.save(served, tmp_path / "saved")
    loaded = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.score(*sides()), model(sides()))


@pytest.mark.parametrize("shared", [0, 1, 3])
def test_shared_candidates_are_scored_for_every_user(shared):
    query, candidates = sides(user=6)
    scores = SharedDot(shared)((query, candidates)).numpy()
    own = candidates.shape[1] - shared
    assert scores.shape == (3, own + 3 * shared)
    for user in range(3):
        q, c = query.numpy()[user], candidates.numpy()
        expected = [c[user, :own] @ q, *(c[other, own:] @ q for other in range(3))]
        np.testing.assert_allclose(scores[user], np.concatenate(expected), rtol=1e-5)


def test_shared_dot_is_restored_and_refuses():
    layer = SharedDot.from_config(SharedDot(2, name="dot").get_config())
    assert (layer.shared, layer.name) == (2, "dot")
    with pytest.raises(ValueError, match="shared must be at least 0, got -1"):
        SharedDot(-1)
