"""What the settings promise is there: without it, tests would be skipped unseen."""

import importlib
import sys

import pytest
import tensorflow as tf

from tfdistill import _keras, losses

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of an old Python


def test_tf_ranking_is_there():
    assert losses.tf_ranking().keras.losses


@pytest.mark.skipif(_keras.VERSION == "3", reason="TFRS needs Keras 2")
@pytest.mark.skipif(
    sys.version_info < (3, 10) and not tf.__version__.startswith("2.15."),
    reason="TFRS 0.7.7 on a later TensorFlow needs Python 3.10 (`X | Y` of types)",
)
def test_tfrs_is_there():
    assert importlib.import_module("tensorflow_recommenders").tasks


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Beam caps NumPy, protobuf and pyarrow"
)
@pytest.mark.parametrize("name", ["apache_beam", "lightgbm"])
def test_what_dev_installs_is_there(name):
    assert importlib.import_module(name).__version__
