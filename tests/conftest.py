"""Shared fixtures; TensorFlow gets two CPU devices before any test touches it."""

import numpy as np
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration() for _ in range(2)],
)


@pytest.fixture(scope="session")
def two_replicas():
    """Return the one MirroredStrategy: two would mix up their collective keys."""
    devices = tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@pytest.fixture(autouse=True)
def plain_numbers_in_examples(request):
    """Where docstrings run, NumPy 2 prints a scalar as NumPy 1 does."""
    old = np.lib.NumpyVersion(np.__version__) < "2.0.0"
    if old or "doctest" not in vars(request.module):
        yield
    else:
        with np.printoptions(legacy="1.25"):
            yield
