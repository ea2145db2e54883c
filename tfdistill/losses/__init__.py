"""Distillation losses: point-, pair- and list-wise, in-batch and feature losses."""

from __future__ import annotations

from tfdistill.losses.base import DistillationLoss, Items, reduce_examples
from tfdistill.losses.embedding import Hint
from tfdistill.losses.listwise import ListSoftmaxKL
from tfdistill.losses.pointwise import LogitMSE, SigmoidCrossEntropy, SigmoidSoftLabel

__all__ = [
    "DistillationLoss",
    "Hint",
    "Items",
    "ListSoftmaxKL",
    "LogitMSE",
    "SigmoidCrossEntropy",
    "SigmoidSoftLabel",
    "reduce_examples",
]
