"""Distillation losses: point-, pair- and list-wise, in-batch and feature losses."""

from __future__ import annotations

from tfdistill.losses.adapters import RankingLossAdapter, tf_ranking
from tfdistill.losses.base import (
    DistillationLoss,
    Items,
    TemperedLoss,
    reduce_examples,
)
from tfdistill.losses.embedding import ClassifierTransfer, CosineHint, Hint
from tfdistill.losses.grouped import GroupedBPR
from tfdistill.losses.in_batch import InBatchDistillation, InBatchSoftmax
from tfdistill.losses.listwise import (
    CalibratedListKL,
    ListSoftmaxKL,
    PlackettLuce,
    RelevanceCrossEntropy,
)
from tfdistill.losses.ndcg import ApproxNDCG
from tfdistill.losses.pairwise import BPR, DeltaNDCG, MarginMSE, RankNet
from tfdistill.losses.pointwise import (
    LogitMSE,
    ProbabilityMSE,
    SigmoidCrossEntropy,
    SigmoidSoftLabel,
    SoftmaxSoftLabel,
)
from tfdistill.losses.rank_distil import RankDistil, draw_orders
from tfdistill.losses.relational import (
    Contrastive,
    FullTopology,
    HierarchicalTopology,
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
from tfdistill.losses.soft_cut import soft_top_k
from tfdistill.losses.top_k import (
    CollaborativeDistillation,
    RankingDistillation,
    TopKSoftLabel,
)

__all__ = [
    "ApproxNDCG",
    "BPR",
    "CalibratedListKL",
    "ClassifierTransfer",
    "CollaborativeDistillation",
    "Contrastive",
    "CosineHint",
    "DeltaNDCG",
    "DistillationLoss",
    "Exponential",
    "FullTopology",
    "GroupedBPR",
    "HierarchicalTopology",
    "Hint",
    "InBatchDistillation",
    "InBatchSoftmax",
    "Items",
    "ListSoftmaxKL",
    "LogitMSE",
    "MarginMSE",
    "MinMax",
    "PlackettLuce",
    "ProbabilityMSE",
    "QuantileBuckets",
    "RankDistil",
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
    "draw_orders",
    "reduce_examples",
    "soft_top_k",
    "tf_ranking",
]
