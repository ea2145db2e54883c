"""tfdistill: small students under big teachers, for every stage of a recommender."""

from __future__ import annotations

from tfdistill.data.spec import Feature, FeatureSpec, Table
from tfdistill.trainers import Distiller, Transfer
from tfdistill.version import __version__

__all__ = [
    "Distiller",
    "Feature",
    "FeatureSpec",
    "Table",
    "Transfer",
    "__version__",
]
