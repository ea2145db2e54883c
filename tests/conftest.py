"""Shared fixtures; TensorFlow gets two CPU devices before any test touches it."""

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
