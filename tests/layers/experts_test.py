import doctest

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.layers import experts


def layer(**options):
    return experts.DistillationExperts(4, experts=3, seed=2, **options)


def vectors(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 2)).astype("f"), rng.normal(size=(5, 4)).astype("f")


def test_examples_run():
    result = doctest.testmod(experts)
    assert result.failed == 0 and result.attempted > 0


def test_value_is_the_selected_mixture_of_experts():
    module = layer(end=1.0)
    student, teacher = vectors()
    projected, selection = module((student, teacher))
    (k1, b1), (k2, b2) = (
        [w.numpy() for w in pair] for pair in (module.first, module.second)
    )
    for row in range(5):
        logits = teacher[row] @ module.selector.kernel.numpy()
        share = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(selection[row], share, rtol=1e-5)
        mixture = sum(
            share[m] * (np.maximum(student[row] @ k1[m] + b1[m], 0.0) @ k2[m] + b2[m])
            for m in range(3)
        )
        np.testing.assert_allclose(projected[row], mixture, rtol=1e-4, atol=1e-6)


def test_temperature_falls_until_one_expert_is_chosen():
    module = layer(steps=2, end=1e-10)
    inputs = vectors()
    _, soft = module(inputs, training=True)
    for _ in range(2):
        _, hard = module(inputs, training=True)
    assert np.max(soft) < 1.0 - 1e-4
    np.testing.assert_allclose(np.max(hard, axis=-1), 1.0)


def test_noise_is_a_function_of_seed_and_step():
    inputs = vectors()
    first, second = (layer(), layer())
    first(inputs), second(inputs)
    second.set_weights(first.get_weights())
    draws = [[m(inputs, training=True)[1] for _ in range(2)] for m in (first, second)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.allclose(draws[0][0], draws[0][1])
    np.testing.assert_array_equal(first(inputs)[1], first(inputs)[1])


def test_gradient_reaches_experts_and_selector_but_not_the_teacher():
    module = layer()
    student, teacher = (tf.constant(x) for x in vectors())
    with tf.GradientTape() as tape:
        tape.watch([student, teacher])
        loss = tf.reduce_sum(module((student, teacher), training=True)[0] ** 2)
    sources = [student, teacher, *module.trainable_variables]
    gradients = tape.gradient(loss, sources)
    assert gradients[1] is None
    assert all(np.any(g) for g in [gradients[0], *gradients[2:]])


def test_config_round_trip():
    module = layer(steps=7, start=2.0, end=0.5)
    config = module.get_config()
    assert experts.DistillationExperts.from_config(config).get_config() == config


def test_wrong_number_is_named():
    with pytest.raises(ValueError, match="`experts` must be above 0, got 0"):
        experts.DistillationExperts(4, experts=0)


def test_each_expert_starts_as_a_layer_of_its_own_would():
    module = experts.DistillationExperts(20, experts=30)
    module((tf.ones([2, 10]), tf.ones([2, 20])))
    for kernel, _ in (module.first, module.second):
        _, rows, columns = kernel.shape
        glorot = np.sqrt(2 / (rows + columns))
        assert float(tf.math.reduce_std(kernel)) == pytest.approx(glorot, rel=0.05)
