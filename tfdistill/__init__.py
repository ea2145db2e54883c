"""tfdistill: small students under big teachers, for every stage of a recommender."""

from __future__ import annotations

import importlib
from typing import Any

from tfdistill.pairs import Pairs
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.trainers import Distiller, Transfer
from tfdistill.version import __version__

__all__ = [
    "Distiller",
    "Feature",
    "FeatureSpec",
    "Net",
    "Pairs",
    "Problem",
    "Recipe",
    "Table",
    "Transfer",
    "__version__",
    "baselines",
    "best_simple",
    "distill",
    "evaluate",
    "publish",
    "train",
]

_LATER = {
    "Net": "tfdistill.models",
    "Problem": "tfdistill.study",
    "Recipe": "tfdistill.study",
    "baselines": "tfdistill.scorers",
    "best_simple": "tfdistill.scorers",
    "distill": "tfdistill.trainers",
    "evaluate": "tfdistill.study",
    "publish": "tfdistill.study",
    "train": "tfdistill.study",
}
_ROOMS = ("datasets", "losses", "models", "scorers", "teachers", "zoo")


def __getattr__(name: str) -> Any:
    """Imports a name when it is first read: a loss needs no zoo."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"tfdistill.{name}")
    raise AttributeError(f"module 'tfdistill' has no attribute {name!r}")
