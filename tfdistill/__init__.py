"""tfdistill: small students under big teachers, for every stage of a recommender."""

from __future__ import annotations

import tensorflow as tf

_KERAS = getattr(tf.keras, "__version__", "2")
if not _KERAS.startswith("2"):
    raise ImportError(
        f"tfdistill needs the Keras 2 API, but tf.keras is Keras {_KERAS} here. "
        "Install `tf_keras` and set the environment variable TF_USE_LEGACY_KERAS=1 "
        "before TensorFlow is imported."
    )

from tfdistill.data.spec import Feature, FeatureSpec, Table  # noqa: E402
from tfdistill.trainers import Distiller, Transfer  # noqa: E402
from tfdistill.version import __version__  # noqa: E402

__all__ = [
    "Distiller",
    "Feature",
    "FeatureSpec",
    "Table",
    "Transfer",
    "__version__",
]
