"""SteppedDropout: masks follow (seed, step) wherever the layer runs."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.layers.dropout import SteppedDropout

SHAPE = (40, 50)


def masks(layer, count, call=None):
    call = call or (lambda x: layer(x, training=True))
    return [call(tf.ones(SHAPE)).numpy() for _ in range(count)]


def test_drops_the_share_it_says_and_keeps_the_mean():
    for mask in masks(SteppedDropout(0.3, seed=1), 3):
        assert set(np.unique(mask)) == {0, np.float32(1 / 0.7)}
        assert abs((mask == 0).mean() - 0.3) < 0.05


def test_seeds_that_are_not_given_follow_the_global_one_and_differ_by_layer():
    drawn = []
    for _ in range(2):
        tf.keras.utils.set_random_seed(5)
        drawn.append([SteppedDropout(0.5).seed for _ in range(3)])
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 3


def test_every_step_and_every_seed_draws_another_mask():
    drawn = masks(SteppedDropout(0.5, seed=1), 4) + masks(SteppedDropout(0.5, 2), 4)
    assert len({mask.tobytes() for mask in drawn}) == 8


def test_a_function_draws_what_eager_draws():
    layer = SteppedDropout(0.5, seed=1)
    graph = tf.function(lambda x: layer(x, training=True))
    np.testing.assert_array_equal(
        masks(layer, 3, graph), masks(SteppedDropout(0.5, 1), 3)
    )


def test_xla_is_as_repeatable():
    drawn = []
    for _ in range(2):
        layer = SteppedDropout(0.5, seed=1)
        compiled = tf.function(lambda x, f=layer: f(x, training=True), jit_compile=True)
        drawn += [mask.tobytes() for mask in masks(layer, 2, compiled)]
    assert drawn[:2] == drawn[2:] and drawn[0] != drawn[1]


def test_continues_from_a_checkpoint(tmp_path):
    layer, resumed = SteppedDropout(0.5, seed=1), SteppedDropout(0.5, seed=1)
    masks(layer, 3)
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "backup"))
    status = tf.train.Checkpoint(layer=resumed).read(path)
    status.assert_consumed()
    np.testing.assert_array_equal(masks(layer, 2), masks(resumed, 2))


def model(steps_per_execution=1, rate=0.5):
    network = tf.keras.Sequential(
        [tf.keras.Input((4,)), SteppedDropout(rate, 3), tf.keras.layers.Dense(2)]
    )
    network.set_weights([np.array(0), np.ones((4, 2)), np.zeros(2)])
    network.compile("sgd", "mse", steps_per_execution=steps_per_execution)
    return network


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 4)), rng.normal(size=(32, 2))


def test_steps_per_execution_changes_nothing():
    results = []
    for steps in (1, 4):
        network = model(steps)
        network.fit(*data(), batch_size=8, epochs=2, shuffle=False, verbose=0)
        results.append(network.get_weights())
    for one, other in zip(*results):
        np.testing.assert_array_equal(one, other)
    assert network.layers[0].step.numpy() == 8


def test_evaluate_and_predict_change_nothing():
    network = model()
    before = network.get_weights()
    first = network.predict(data()[0], verbose=0)
    network.evaluate(*data(), verbose=0)
    np.testing.assert_array_equal(first, network.predict(data()[0], verbose=0))
    for old, new in zip(before, network.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_replicas_draw_different_masks_and_count_steps_once(two_replicas, tmp_path):
    with two_replicas.scope():
        layer = SteppedDropout(0.5, seed=1)
    drawn = []
    for _ in range(2):
        result = two_replicas.run(lambda: layer(tf.ones(SHAPE), training=True))
        drawn += [mask.numpy().tobytes() for mask in result.values]
    assert len(set(drawn)) == 4
    assert layer.step.numpy() == 2
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "backup"))
    with two_replicas.scope():
        resumed = SteppedDropout(0.5, seed=1)
    tf.train.Checkpoint(layer=resumed).read(path).assert_consumed()
    for one, other in zip(
        two_replicas.run(lambda: layer(tf.ones(SHAPE), training=True)).values,
        two_replicas.run(lambda: resumed(tf.ones(SHAPE), training=True)).values,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("steps", [1, 2])
def test_trains_under_a_strategy(two_replicas, steps):
    if steps > 1 and _keras.VERSION == "3":
        pytest.skip("Keras 3 runs one step at a time on several replicas")
    with two_replicas.scope():
        network = model(steps_per_execution=steps)
    network.fit(*data(), batch_size=8, verbose=0)
    assert network.layers[0].step.numpy() == 4


def test_mixed_precision_keeps_the_mask():
    half = SteppedDropout(0.5, seed=1, dtype="mixed_float16")
    output = half(tf.ones(SHAPE), training=True)
    assert output.dtype == tf.float16
    np.testing.assert_array_equal(output, masks(SteppedDropout(0.5, 1), 1)[0])


def test_rate_0_is_the_identity():
    layer = SteppedDropout(0.0, seed=1)
    np.testing.assert_array_equal(masks(layer, 1)[0], np.ones(SHAPE))


def test_serialises_inside_a_model(tmp_path):
    network = model(rate=0.25)
    network.fit(*data(), batch_size=8, verbose=0)
    network.save(tmp_path / "model.keras")
    restored = tf.keras.models.load_model(tmp_path / "model.keras")
    assert restored.layers[0].get_config() == network.layers[0].get_config()
    assert restored.layers[0].step.numpy() == 4


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_refuses_a_rate_outside_the_interval(rate):
    with pytest.raises(ValueError, match=f"got rate={rate}"):
        SteppedDropout(rate, seed=1)
