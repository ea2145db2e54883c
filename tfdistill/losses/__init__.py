"""Distillation losses: point-, pair- and list-wise, in-batch and feature losses."""

from __future__ import annotations

from tfdistill.losses.adapters import RankingLossAdapter, approx_ndcg
from tfdistill.losses.base import (
    DistillationLoss,
    Items,
    TemperedLoss,
    reduce_examples,
)
from tfdistill.losses.embedding import Hint
from tfdistill.losses.in_batch import InBatchSoftmax
from tfdistill.losses.listwise import (
    CalibratedListKL,
    ListSoftmaxKL,
    PlackettLuce,
    RelevanceCrossEntropy,
)
from tfdistill.losses.pairwise import BPR, DeltaNDCG, GroupedBPR, MarginMSE, RankNet
from tfdistill.losses.pointwise import (
    LogitMSE,
    SigmoidCrossEntropy,
    SigmoidSoftLabel,
    SoftmaxSoftLabel,
)
from tfdistill.losses.relevance import (
    Exponential,
    MinMax,
    QuantileBuckets,
    RankLinear,
    RankLog,
    RelevanceLoss,
    RelevanceMap,
    Sigmoid,
)
from tfdistill.losses.top_k import (
    CollaborativeDistillation,
    RankingDistillation,
    TopKSoftLabel,
)

__all__ = [
    "BPR",
    "CalibratedListKL",
    "CollaborativeDistillation",
    "DeltaNDCG",
    "DistillationLoss",
    "Exponential",
    "GroupedBPR",
    "Hint",
    "InBatchSoftmax",
    "Items",
    "ListSoftmaxKL",
    "LogitMSE",
    "MarginMSE",
    "MinMax",
    "PlackettLuce",
    "QuantileBuckets",
    "RankLinear",
    "RankLog",
    "RankNet",
    "RankingDistillation",
    "RankingLossAdapter",
    "RelevanceCrossEntropy",
    "RelevanceLoss",
    "RelevanceMap",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "SigmoidSoftLabel",
    "SoftmaxSoftLabel",
    "TemperedLoss",
    "TopKSoftLabel",
    "approx_ndcg",
    "reduce_examples",
]
