"""What a net computes and what a function does is known, in whichever process."""

from __future__ import annotations

import os
import subprocess
import sys

import pandas as pd
import pytest
import tensorflow as tf

from tfdistill.identity import described
from tfdistill.losses import LogitMSE
from tfdistill.trainers import Distiller, FrozenTeacher, Transfer, fit


def trained(model, batches, directory, epochs=1):
    return fit(
        model,
        batches,
        steps_per_epoch=2,
        epochs=epochs,
        backup_dir=directory,
        verbose=0,
    )


def wired(swapped=False, scale=1.5, column=0, text="x * 2.0", before=0):
    """A net of two inputs, of which only the calls differ; its names are counted."""
    for _ in range(before):
        tf.keras.layers.Dense(1)(tf.keras.Input([1]))
    tf.keras.utils.set_random_seed(0)
    inputs = {name: tf.keras.Input([2], name=name) for name in "ab"}
    first, second = (inputs[name] for name in ("ba" if swapped else "ab"))
    scope = {}
    exec("\n" * before + "made = lambda x: " + text, scope)
    hidden = tf.keras.layers.Dense(2, "relu")(
        tf.keras.layers.Lambda(scope["made"])(first)
    )
    hidden = scale * hidden + second
    net = tf.keras.Model(inputs, {"fine": hidden[:, column]})
    model = Distiller(net)
    model.compile("sgd", loss={"fine": "mse"})
    return model


def pairs_of_inputs(start_step):
    def batch(step):
        x = tf.random.stateless_normal([4, 2], [1, step])
        return {"a": x, "b": -x}, {"fine": x[:, 0]}

    return tf.data.Dataset.counter(start_step).map(batch)


@pytest.fixture(scope="module")
def begun_wired(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wired")
    trained(wired(), pairs_of_inputs, directory)
    return directory


@pytest.mark.parametrize(
    "changed",
    [
        {"swapped": True},
        {"scale": 0.5},
        {"column": 1},
        {"text": "x + 2.0"},
    ],
)
def test_the_same_layers_called_otherwise_are_another_net(begun_wired, changed):
    with pytest.raises(ValueError, match="(wiring|layers).* was .* and is"):
        trained(wired(**changed), pairs_of_inputs, begun_wired, 2)


def test_a_net_of_other_names_from_other_lines_is_the_same(begun_wired):
    history = trained(wired(before=3), pairs_of_inputs, begun_wired, 2)
    assert history.epoch == [0, 1]


def test_a_function_is_the_same_in_every_process():
    """The order of a set's values is the process's, and that of a name is no matter."""
    program = (
        "from tfdistill.identity import described\n"
        "print(described(lambda name: name in {'adam', 'sgd', 'ftrl', 'lamb'}))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in "1238"
    }
    assert len(told) == 1


def test_functions_that_call_themselves_or_lack_a_value_are_described():
    def halved(step):
        return 1.0 if step < 1 else 0.5 * halved(step - 1)

    def unset():
        return later

    if not halved:
        later = None
    assert described(halved) == described(halved) != described(unset)


def scaled(by):
    return lambda x: x * by


@pytest.mark.parametrize(
    "first, second",
    [
        (b"a", b"b"),
        (range(4), range(5)),
        (pd.Series([1.0, 2.0]), pd.Series([1.0, 9.0])),
        (tf.constant([1.0, 2.0]), tf.constant([1.0, 9.0])),
        (tf.function(lambda x: x), tf.function(lambda x: 2.0 * x)),
    ],
)
def test_what_a_function_has_enclosed_is_told_apart(first, second):
    assert described(scaled(first)) != described(scaled(second))
    assert described(scaled(first)) == described(scaled(first))


def test_a_variable_that_moves_is_the_same():
    step = tf.Variable(0.0)
    before = described(scaled(step))
    step.assign(1.0)
    assert described(scaled(step)) == before


MODULE = """
T = {number}
calls = 0
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - {less})
def loss(y, p):
    global calls
    calls += 1
    return __name__ and even(2) and (y - p) / T
"""


def module(**changed):
    names = {"__name__": changed.pop("name", "mine")}
    exec(MODULE.format(**{"number": 2.0, "less": 1, **changed}), names)
    return names


@pytest.mark.parametrize("changed", [{"number": 3.0}, {"less": 2}])
def test_globals_of_its_module_that_a_function_uses_are_told_apart(changed):
    assert described(module()["loss"]) != described(module(**changed)["loss"])


def test_what_a_function_counts_and_who_imports_it_does_not_matter():
    names = module(name="__main__")
    names["loss"](1.0, 0.0)
    assert names["calls"] == 1
    assert described(names["loss"]) == described(module()["loss"])


def test_rows_for_a_teacher_that_must_be_asked_need_no_labels(tmp_path):
    def batches(start_step):
        def batch(step):
            return {"a": tf.random.stateless_normal([4, 1], [1, step])}

        return tf.data.Dataset.counter(start_step).map(batch)

    def distil(factor, epochs):
        inputs = {"a": tf.keras.Input([1], name="a")}
        net = tf.keras.Model(inputs, {"fine": tf.keras.layers.Dense(1)(inputs["a"])})
        asked = FrozenTeacher(lambda features: factor * features["a"])
        model = Distiller(
            net, [Transfer("soft", "score", "fine", LogitMSE())], teacher=asked
        )
        model.compile("sgd")
        return trained(model, batches, tmp_path, epochs)

    distil(2.0, 1)
    assert distil(2.0, 2).epoch == [0, 1]
    with pytest.raises(ValueError, match="teacher was"):
        distil(3.0, 3)


def test_what_a_backup_did_not_write_stays(tmp_path):
    notes = tmp_path / "step-notes" / "mine.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    (tmp_path / "step-1_temp").mkdir()
    (tmp_path / "step-1.index").write_text("left by a killed process")
    trained(wired(), pairs_of_inputs, tmp_path)
    assert notes.read_text() == "mine"
    assert not list(tmp_path.glob("step-1[_.]*"))
