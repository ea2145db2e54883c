"""With Keras 2 the hosts' own tests must run: without a host they would be skipped."""

import importlib

import pytest

from tfdistill import _keras, losses


def test_tf_ranking_is_there():
    assert losses.tf_ranking().keras.losses


@pytest.mark.skipif(_keras.VERSION == "3", reason="TFRS needs Keras 2")
def test_tfrs_is_there():
    assert importlib.import_module("tensorflow_recommenders").tasks
