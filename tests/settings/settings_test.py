"""What one Keras wrote, the other reads, or refuses in one sentence."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import settings_script as script
import tensorflow as tf

from tfdistill import _keras
from tfdistill.report import from_json
from tfdistill.scores import ScoreStore
from tfdistill.spec import FeatureSpec
from tfdistill.teachers import SavedModelTeacher
from tfdistill.trainers import Distiller

OTHER = {"2": "3", "3": "2"}[_keras.VERSION]
REMEDY = {"2": "TF_USE_LEGACY_KERAS=1, or with TensorFlow 2.15", "3": "without TF_"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that another process filled, whose Keras is the other one."""
    if tf.__version__.startswith("2.15"):
        pytest.skip("TensorFlow 2.15 has Keras 2 alone.")
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("Keras 2 (tf_keras) is not installed beside Keras 3.")
    folder = tmp_path_factory.mktemp("written")
    legacy = {"TF_USE_LEGACY_KERAS": "1" if OTHER == "2" else "0"}
    command = [sys.executable, script.__file__, str(folder)]
    environment = {**os.environ, **legacy, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def expected(written):
    with np.load(written / "expected.npz") as file:
        arrays = dict(file)
    assert arrays.pop("keras") == OTHER
    return arrays


def assert_sentence(error, begin: str, otherwise: str) -> None:
    """One sentence: what, whose, and what to do."""
    text = str(error.value)
    assert text.startswith(begin), text
    assert f"with Keras {OTHER}, and `tf.keras` is Keras {_keras.VERSION}" in text
    assert REMEDY[OTHER] in text and otherwise in text
    assert "\n" not in text and text.endswith(".")


def test_the_other_s_keras_file_is_refused(written):
    with pytest.raises(ValueError) as error:
        tf.keras.models.load_model(written / "distiller.keras")
    assert_sentence(error, "This Distiller was saved", "network.save_weights(")


def test_the_other_s_backup_is_refused(written):
    before = sorted(path.name for path in (written / "backup").iterdir())
    with pytest.raises(ValueError) as error:
        script.trained(script.made(), written / "backup")
    assert_sentence(error, f"The run in {str(written / 'backup')!r}", "delete this")
    assert sorted(path.name for path in (written / "backup").iterdir()) == before


def test_its_own_file_and_backup_are_taken(tmp_path):
    """The refusal is of the other Keras alone."""
    distiller = script.trained(script.made(), tmp_path / "backup")
    distiller.save(tmp_path / "distiller.keras")
    loaded = tf.keras.models.load_model(tmp_path / "distiller.keras")
    again = script.trained(script.made(), tmp_path / "backup")
    for model in (loaded, again):
        for one, other in zip(distiller.network.weights, model.network.weights):
            np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_file_of_a_version_that_did_not_tell_is_of_keras_2():
    config = Distiller(script.made().model).get_config()
    assert config.pop("keras") == _keras.VERSION
    if _keras.VERSION == "2":
        assert isinstance(Distiller.from_config(config), Distiller)
    else:
        with pytest.raises(ValueError, match="saved with Keras 2"):
            Distiller.from_config(config)


def test_weights_are_read(written, expected):
    network = script.made().model
    network.load_weights(written / "network.weights.h5")
    for name, values in network(script.FEATURES).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-6)


def test_a_saved_model_is_read(written, expected):
    """Loaded by TensorFlow, and as a teacher through its signature."""
    loaded = tf.saved_model.load(str(written / "fine"))
    scores = loaded.signatures["serving_default"](**script.FEATURES)["scores"]
    np.testing.assert_allclose(scores, expected["fine"], atol=1e-6)
    teacher = SavedModelTeacher(written / "fine")
    (answer,) = teacher(script.FEATURES).values()
    np.testing.assert_allclose(answer, expected["fine"], atol=1e-6)


def test_specs_and_results_are_read(written):
    assert FeatureSpec.load(written / "spec.json") == script.SPEC
    text = (written / "results.json").read_text(encoding="utf-8")
    assert from_json(text) == script.RESULTS


def test_a_store_is_read_and_verified(written, tmp_path):
    """The same teacher under this Keras has the same scores."""
    stored = ScoreStore.open(written / "store", teacher="teacher")
    own = script.scored(script.made(), tmp_path)
    for theirs, ours in zip(stored.blocks(), own.blocks()):
        assert set(theirs) == set(ours)
        for name in theirs:
            if name == "score":
                np.testing.assert_allclose(theirs[name], ours[name], atol=1e-6)
            else:
                np.testing.assert_array_equal(theirs[name], ours[name])
