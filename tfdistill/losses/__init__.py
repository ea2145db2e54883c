"""Distillation losses: point-, pair- and list-wise, in-batch and feature losses."""

from __future__ import annotations

from tfdistill.losses.adapters import RankingLossAdapter, approx_ndcg
from tfdistill.losses.base import DistillationLoss, Items, reduce_examples
from tfdistill.losses.embedding import Hint
from tfdistill.losses.in_batch import InBatchSoftmax
from tfdistill.losses.listwise import ListSoftmaxKL
from tfdistill.losses.pairwise import BPR
from tfdistill.losses.pointwise import LogitMSE, SigmoidCrossEntropy, SigmoidSoftLabel
from tfdistill.losses.relevance import (
    Exponential,
    MinMax,
    QuantileBuckets,
    RankLinear,
    RankLog,
    RelevanceMap,
    Sigmoid,
)

__all__ = [
    "BPR",
    "DistillationLoss",
    "Exponential",
    "Hint",
    "InBatchSoftmax",
    "Items",
    "ListSoftmaxKL",
    "LogitMSE",
    "MinMax",
    "QuantileBuckets",
    "RankLinear",
    "RankLog",
    "RankingLossAdapter",
    "RelevanceMap",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "SigmoidSoftLabel",
    "approx_ndcg",
    "reduce_examples",
]
