"""Layers: shared tables, towers over requests, gradient block, resumable dropout."""

from tfdistill.layers.dropout import SteppedDropout
from tfdistill.layers.embeddings import FeatureEmbeddings, embed_features
from tfdistill.layers.extraction import restricted, standalone
from tfdistill.layers.gradients import GradientBlock
from tfdistill.layers.towers import (
    ConcatUserItem,
    FoldedDense,
    SqueezeLast,
    folded_mlp,
    mlp,
)

__all__ = [
    "ConcatUserItem",
    "FeatureEmbeddings",
    "FoldedDense",
    "GradientBlock",
    "SqueezeLast",
    "SteppedDropout",
    "embed_features",
    "folded_mlp",
    "mlp",
    "restricted",
    "standalone",
]
