"""LazyAdam against a numpy loop, against Keras' Adam, and inside Keras' machinery."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.optimizers import LazyAdam

ROWS, DIM = 11, 3
OPTIONS = {"learning_rate": 0.03, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}


def table(seed=0, rows=ROWS):
    values = np.random.default_rng(seed).normal(size=(rows, DIM))
    return tf.Variable(values.astype(np.float32))


def sparse(indices, seed):
    values = np.random.default_rng(seed).normal(size=(len(indices), DIM))
    values = tf.constant(values, tf.float32)
    return tf.IndexedSlices(values, tf.constant(indices), (ROWS, DIM))


def slots(optimizer):
    return [optimizer._momentums[0].numpy(), optimizer._velocities[0].numpy()]


def numpy_adam(row, gradients, *, learning_rate, beta_1, beta_2, epsilon, rows_l2=0.0):
    """One row through `gradients`, a list of (step, gradient of that step)."""
    m = v = np.zeros_like(row)
    for step, gradient in gradients:
        gradient = gradient + rows_l2 * row
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        corrected = m / (1 - beta_1**step)
        scale = np.sqrt(1 - beta_2**step)
        row = row - learning_rate * corrected * scale / (np.sqrt(v) + epsilon)
    return row, m, v


@pytest.mark.parametrize("rows_l2", [0.0, 0.4])
def test_equals_a_numpy_loop_over_rows(rows_l2):
    variable, optimizer = table(), LazyAdam(**OPTIONS, rows_l2=rows_l2)
    start = variable.numpy().astype(np.float64)
    steps = [[3, 7, 3, 0, 3], [7, 1], [3, 0, 0], [9, 7]]
    seen = {}
    for step, indices in enumerate(steps, start=1):
        gradient = sparse(indices, step)
        for row in set(indices):
            at = np.array(indices) == row
            seen.setdefault(row, []).append((step, gradient.values.numpy()[at].sum(0)))
        optimizer.apply_gradients([(gradient, variable)])
    m, v = slots(optimizer)
    for row in range(ROWS):
        expected = numpy_adam(start[row], seen.get(row, []), **OPTIONS, rows_l2=rows_l2)
        for actual, wanted in zip((variable.numpy()[row], m[row], v[row]), expected):
            np.testing.assert_allclose(actual, wanted, rtol=2e-6, atol=1e-7)


def test_rows_that_were_not_gathered_keep_value_and_slots_bitwise():
    variable, optimizer = table(), LazyAdam(0.1, rows_l2=0.1)
    optimizer.apply_gradients([(sparse(list(range(ROWS)), 1), variable)])
    before = [variable.numpy(), *slots(optimizer)]
    optimizer.apply_gradients([(sparse([2, 5, 2], 2), variable)])
    changed = np.isin(np.arange(ROWS), [2, 5])
    for old, new in zip(before, [variable.numpy(), *slots(optimizer)]):
        np.testing.assert_array_equal(old[~changed], new[~changed])
        assert (old[changed] != new[changed]).all()


@pytest.mark.parametrize(
    "options",
    [{}, {"clipnorm": 0.7}, {"clipvalue": 0.2}, {"global_clipnorm": 0.5}],
    ids=str,
)
def test_equals_keras_adam_where_every_row_is_gathered(options):
    """Keras gets the gradient as a whole table: it may not add up repeated rows."""
    rate = tf.keras.optimizers.schedules.PiecewiseConstantDecay(
        [1, 3], [0.1, 0.01, 1.0]
    )
    repeated = [4, 4, 1] if not options else []  # clipping counts each occurrence
    results = []
    for kind in (LazyAdam, tf.keras.optimizers.Adam):
        embedding, dense = table(), table(1)
        optimizer = kind(rate, **options)
        for step in range(6):
            rows = sparse(list(range(ROWS)) + repeated, step)
            rows = rows if kind is LazyAdam else tf.convert_to_tensor(rows)
            gradients = [rows, sparse(range(ROWS), step + 9).values]
            optimizer.apply_gradients(zip(gradients, [embedding, dense]))
        results.append([v.numpy() for v in (embedding, dense, *optimizer.variables)])
    for lazy, keras in zip(*results):
        np.testing.assert_allclose(lazy, keras, rtol=1e-5, atol=1e-7)


def test_a_norm_counts_each_occurrence_of_a_row():
    gradient = sparse([4, 4, 1], 0)
    scale = 0.3 / np.linalg.norm(gradient.values)
    results = []
    for options, values in (
        ({"clipnorm": 0.3}, gradient.values),
        ({}, gradient.values * scale),
    ):
        variable = table()
        slices = tf.IndexedSlices(values, gradient.indices, (ROWS, DIM))
        LazyAdam(0.1, epsilon=1.0, **options).apply_gradients([(slices, variable)])
        results.append(variable.numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_same_numbers_inside_a_function_and_outside():
    results = []
    for wrap in (lambda f: f, tf.function):
        variable, optimizer = table(), LazyAdam(0.1)

        @wrap
        def step(indices, variable=variable, optimizer=optimizer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.gather(variable, indices) ** 2)
            gradient = tape.gradient(loss, variable)
            optimizer.apply_gradients([(gradient, variable)])

        for indices in ([1, 1, 4], [4, 0, 2], [9, 9, 9]):
            step(tf.constant(indices))
        results.append(variable.numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_loss_scaling_changes_nothing():
    results = []
    for scale in (1.0, 8.0):
        variable, inner = table(), LazyAdam(0.1, rows_l2=0.5)
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(
            inner, initial_scale=scale
        )
        for step in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.gather(variable, [step, 5, 5]) ** 2) * scale
            gradients = tape.gradient(loss, [variable])
            if hasattr(optimizer, "get_unscaled_gradients"):  # Keras 2
                gradients = optimizer.get_unscaled_gradients(gradients)
            optimizer.apply_gradients(zip(gradients, [variable]))
        results.append(variable.numpy())
    np.testing.assert_array_equal(*results)
    assert (results[0] != table().numpy()).any()


def test_two_replicas_equal_one_device(two_replicas):
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            model = embedding_model()
        model.set_weights([table().numpy()])
        x = np.random.default_rng(0).integers(0, ROWS, (16, 2))
        y = np.random.default_rng(1).normal(size=(16, 2, DIM))
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
        results.append(model.get_weights()[0])
    np.testing.assert_allclose(*results, rtol=1e-5)


def embedding_model():
    model = tf.keras.Sequential([tf.keras.layers.Embedding(ROWS, DIM)])
    model.build([None, 2])
    model.compile(LazyAdam(0.1, rows_l2=0.1), "mse")
    return model


@pytest.mark.parametrize(
    "option",
    [
        {"amsgrad": True},
        {"weight_decay": 0.1},
        {"use_ema": True},
        {"jit_compile": True},
    ],
    ids=str,
)
def test_refuses_what_touches_the_whole_table(option):
    name, value = next(iter(option.items()))
    with pytest.raises(ValueError, match=f"no `{name}`.*got {name}={value}"):
        LazyAdam(**option)


def test_refuses_a_negative_penalty():
    with pytest.raises(ValueError, match="rows_l2=-1"):
        LazyAdam(rows_l2=-1)


def test_serialises_every_argument():
    rate = tf.keras.optimizers.schedules.ExponentialDecay(0.3, 10, 0.5)
    optimizer = LazyAdam(rate, 0.8, 0.9, 1e-3, 0.25, clipnorm=2.0, name="mine")
    config = tf.keras.optimizers.serialize(optimizer)
    restored = tf.keras.optimizers.deserialize(config)
    assert type(restored) is LazyAdam
    assert restored.get_config() == optimizer.get_config()
    assert not getattr(restored, "jit_compile", False)


def test_a_saved_model_continues_with_the_same_slots(tmp_path):
    model = embedding_model()
    x, y = np.array([[1, 2], [2, 3]]), np.ones((2, 2, DIM), np.float32)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = tf.keras.models.load_model(tmp_path / "model.keras")
    for one in (model, restored):
        one.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], restored.get_weights()[0])
