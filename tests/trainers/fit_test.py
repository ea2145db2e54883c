"""fit in one process: an error stands in for the death that resume_test.py brings."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.layers.dropout import SteppedDropout
from tfdistill.optimizers import LazyAdam
from tfdistill.trainers.callbacks import Evaluation
from tfdistill.trainers.fit import fit

STEPS = 6


class Died(Exception):
    pass


class Die(tf.keras.callbacks.Callback):
    """Raises before a step of the whole training."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch, logs=None):
        if self.model.optimizer.iterations >= self.step:
            raise Died


class Batches:
    """Batches `[8, 3]` of ids and labels, functions of (seed, step)."""

    def __init__(self, seed=0, size=8):
        self.seed, self.size = seed, size

    def __call__(self, start_step):
        def batch(step):
            ids = tf.random.stateless_uniform(
                [self.size, 3], [self.seed, step], maxval=20, dtype=tf.int32
            )
            return ids, tf.cast(ids[:, :1] % 2, tf.float32)

        return tf.data.Dataset.counter(start_step).map(batch)


def network(width=4, metrics=(), optimizer=None, steps_per_execution=1, seed=1):
    tf.keras.utils.set_random_seed(5)
    model = tf.keras.Sequential(
        [
            tf.keras.Input([3]),
            tf.keras.layers.Embedding(20, width),
            tf.keras.layers.Flatten(),
            SteppedDropout(0.3, seed),
            tf.keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        LazyAdam(0.01) if optimizer is None else optimizer,
        "mse",
        metrics=list(metrics),
        steps_per_execution=steps_per_execution,
    )
    return model


def train(directory, *, model=None, callbacks=(), epochs=4, **options):
    """Train with a backup; gives the model and the history."""
    model = network() if model is None else model
    options = {"batches": Batches(), "save_every": 2, "verbose": 0, **options}
    history = fit(
        model,
        options.pop("batches"),
        steps_per_epoch=options.pop("steps_per_epoch", STEPS),
        epochs=epochs,
        callbacks=callbacks,
        backup_dir=directory,
        **options,
    )
    return model, history


def state(model):
    return [v.numpy() for v in [*model.weights, *model.optimizer.variables]]


def assert_equal(one, other):
    for a, b in zip(state(one[0]), state(other[0])):
        np.testing.assert_array_equal(a, b)
    assert one[1].epoch == other[1].epoch
    assert one[1].history == other[1].history


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return train(tmp_path_factory.mktemp("unbroken"))


@pytest.mark.parametrize("steps", [[1], [STEPS], [9, 10, 17], [2, 23]])
def test_goes_on_in_the_middle_of_an_epoch(tmp_path, unbroken, steps):
    for step in steps:
        with pytest.raises(Died):
            train(tmp_path, callbacks=[Die(step)])
    assert_equal(train(tmp_path), unbroken)


def test_the_metrics_of_a_broken_epoch_are_of_all_its_steps(tmp_path):
    def model():
        auc = tf.keras.metrics.AUC(num_thresholds=10, name="auc")
        return network(metrics=["mae", auc])

    with pytest.raises(Died):
        train(tmp_path, model=model(), callbacks=[Die(4)], epochs=1)
    broken = train(tmp_path, model=model(), epochs=1)
    assert set(broken[1].history) == {"loss", "mae", "auc"}
    assert_equal(broken, train(tmp_path / "unbroken", model=model(), epochs=1))


@pytest.mark.parametrize("steps_per_execution", [2, 4])
def test_goes_on_with_several_steps_per_execution(
    tmp_path, unbroken, steps_per_execution
):
    def model():
        return network(steps_per_execution=steps_per_execution)

    if _keras.VERSION == "3" and STEPS % steps_per_execution:
        with pytest.raises(ValueError, match=r"multiple of .* got 6 and 4"):
            train(tmp_path, model=model())
        return
    with pytest.raises(Died):
        train(tmp_path, model=model(), callbacks=[Die(9)])
    assert_equal(train(tmp_path, model=model()), unbroken)


def test_another_keras_refuses_the_backup(tmp_path, monkeypatch):
    train(tmp_path, epochs=1)
    other = {"2": "3", "3": "2"}[_keras.VERSION]
    monkeypatch.setattr(_keras, "VERSION", other)
    with pytest.raises(ValueError, match=r"begun with Keras \d.*is Keras \d here"):
        train(tmp_path)


def test_goes_on_under_loss_scaling(tmp_path):
    def model():
        scaled = tf.keras.mixed_precision.LossScaleOptimizer(
            LazyAdam(0.01), initial_scale=4.0, dynamic_growth_steps=7
        )
        return network(optimizer=scaled)

    with pytest.raises(Died):
        train(tmp_path, model=model(), callbacks=[Die(15)])
    broken = train(tmp_path, model=model())
    assert_equal(broken, train(tmp_path / "unbroken", model=model()))
    optimizer = broken[0].optimizer
    scale = getattr(optimizer, "dynamic_scale", None)  # Keras 3's name
    assert (optimizer.loss_scale if scale is None else scale) == 4.0 * 2**3


def test_goes_on_under_a_strategy(tmp_path, two_replicas):
    def model():
        with two_replicas.scope():
            return network()

    with pytest.raises(Died):
        train(tmp_path, model=model(), callbacks=[Die(9)])
    broken = train(tmp_path, model=model())
    unbroken = train(tmp_path / "unbroken", model=model())
    for one, other in zip(state(broken[0]), state(unbroken[0])):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    for name, values in unbroken[1].history.items():
        np.testing.assert_allclose(broken[1].history[name], values, rtol=1e-6)


def test_keras_callbacks_keep_their_state(tmp_path):
    def callbacks(folder):
        scripted = {0: 3.0, 1: 2.0, 2: 2.5, 3: 2.6, 4: 2.7, 5: 2.8}
        model = network(optimizer=tf.keras.optimizers.Adam(0.01))
        epoch = tf.keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(model, "epoch", epoch)
        )
        made = [
            tf.keras.callbacks.EarlyStopping(
                "val_x", mode="min", patience=4, restore_best_weights=True
            ),
            tf.keras.callbacks.ReduceLROnPlateau(
                "val_x", mode="min", patience=2, min_delta=0
            ),
            tf.keras.callbacks.ModelCheckpoint(
                tmp_path / folder / "model.weights.h5",
                "val_x",
                mode="min",
                save_best_only=True,
                save_weights_only=True,
            ),
            tf.keras.callbacks.TensorBoard(tmp_path / folder / "logs"),
            tf.keras.callbacks.TerminateOnNaN(),
            Evaluation(lambda: {"x": scripted[model.epoch]}),
            epoch,
        ]
        return model, made

    for step in (STEPS * 3 + 1, STEPS * 5 + 2):
        model, made = callbacks("broken")
        with pytest.raises(Died):
            train(tmp_path / "a", model=model, callbacks=[*made, Die(step)], epochs=9)
    model, made = callbacks("broken")
    broken = train(tmp_path / "a", model=model, callbacks=made, epochs=9)
    other, also = callbacks("unbroken")
    unbroken = train(tmp_path / "b", model=other, callbacks=also, epochs=9)
    assert_equal(broken, unbroken)
    assert broken[1].epoch == [0, 1, 2, 3, 4, 5]
    assert (made[0].best_epoch, made[0].stopped_epoch) == (1, 5)
    assert broken[0].optimizer.learning_rate < 0.002
    model.load_weights(tmp_path / "broken" / "model.weights.h5")
    other.load_weights(tmp_path / "unbroken" / "model.weights.h5")
    for one, two in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(one, two)


def test_a_finished_run_is_not_trained_again_but_can_be_extended(tmp_path, unbroken):
    first = train(tmp_path, epochs=2)
    again = train(tmp_path, epochs=2, callbacks=[Die(0)])
    assert_equal(again, first)
    assert_equal(train(tmp_path, epochs=4), unbroken)


def test_an_epoch_cut_short_by_a_nan_is_not_kept(tmp_path):
    nan_at = 8

    class Poison(Batches):
        def __call__(self, start_step):
            def poison(step, batch):
                x, y = batch
                return x, tf.where(step == nan_at, np.nan, y)

            steps = tf.data.Dataset.counter(start_step)
            data = tf.data.Dataset.zip((steps, super().__call__(start_step)))
            return data.map(poison)

    for _ in range(2):
        nan = tf.keras.callbacks.TerminateOnNaN()
        model, history = train(tmp_path, batches=Poison(), callbacks=[nan])
        assert history.epoch == [0, 1]
        assert np.isnan(history.history["loss"][1])
        assert model.optimizer.iterations == nan_at + 1
    assert "step-8" in (tmp_path / "checkpoint").read_text()


def test_one_checkpoint_is_kept(tmp_path):
    train(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        *(".lock", "checkpoint", "step-24.index", "step-24.data-00000-of-00001")
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"model": network(width=5)}, "output_dim was 4 and is 5"),
        ({"model": network(metrics=["mae"])}, "metrics was"),
        (
            {"model": network(optimizer="adam")},
            "optimizer.class was 'LazyAdam' and is 'Adam'",
        ),
        ({"model": network(seed=2)}, r"seeds was \[1\] and is \[2\]"),
        ({"steps_per_epoch": 5}, "steps_per_epoch was 6 and is 5"),
        ({"batches": Batches(seed=1)}, "data.first_batches was"),
        ({"batches": Batches(size=9)}, "data.first_batches was"),
        ({"config": {"seed": 2}}, "config.seed was 1 and is 2"),
        (
            {"callbacks": [tf.keras.callbacks.EarlyStopping("loss")]},
            r"callbacks\[0\].class was 'History' and is 'EarlyStopping'",
        ),
    ],
)
def test_refuses_the_backup_of_another_run(tmp_path, options, text):
    options = {"config": {"seed": 1}, **options}
    train(tmp_path, epochs=1, config={"seed": 1})
    with pytest.raises(ValueError, match=f"begun with other settings: .*{text}"):
        train(tmp_path, epochs=2, **options)


def test_refuses_a_damaged_backup(tmp_path):
    train(tmp_path, epochs=1)
    for path in tmp_path.glob("step-*.index"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="can't be read .*Delete the directory"):
        train(tmp_path, epochs=1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps_per_epoch": 0}, "got steps_per_epoch=0"),
        ({"epochs": 0}, "got epochs=0"),
        ({"save_every": 0}, "got save_every=0"),
        ({"batches": lambda step: Batches()(step).take(9)}, "one of 9 batches"),
    ],
)
def test_refuses_wrong_arguments(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        train(tmp_path, **options)
    with pytest.raises(ValueError, match="Give a `backup_dir`"):
        train(None, save_every=2)
    keras = tf.keras.callbacks.BackupAndRestore(str(tmp_path / "keras"))
    with pytest.raises(ValueError, match="got a BackupAndRestore"):
        train(tmp_path, callbacks=[keras])


def test_config_holds_json_values(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        train(tmp_path, config={"rate": tf.constant(1.0)})
    train(tmp_path, epochs=1, config=json.loads('{"units": [1, 2], "rate": null}'))


def test_warns_of_layers_with_a_state_that_is_not_saved(tmp_path):
    model = tf.keras.Sequential(
        [
            tf.keras.Input([3]),
            tf.keras.layers.Embedding(20, 2),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dropout(0.5, name="drop"),
            tf.keras.layers.Dropout(0.0, name="idle"),  # Keras' attention has one
            tf.keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"layers \['drop'\] draw.*SteppedDropout"):
        train(tmp_path, model=model, epochs=1)
    train(None, model=model, epochs=1, save_every=None)  # without a backup: no warning


def test_another_fit_starts_afresh(tmp_path):
    """The hook into Keras' counters is gone afterwards, after an error too."""
    model = network()
    with pytest.raises(Died):
        train(tmp_path, model=model, callbacks=[Die(9)])
    data = Batches()(0)
    history = model.fit(data, steps_per_epoch=2, epochs=2, verbose=0)
    assert history.epoch == [0, 1]
