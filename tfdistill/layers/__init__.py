"""Layers: shared tables, towers over requests, gradient block, resumable dropout."""

from tfdistill.layers.dropout import SteppedDropout
from tfdistill.layers.embeddings import FeatureEmbeddings, audiences, embed_features
from tfdistill.layers.experts import DistillationExperts
from tfdistill.layers.extraction import restricted, standalone
from tfdistill.layers.fields import FieldProjection, StackFields
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
    "DistillationExperts",
    "FeatureEmbeddings",
    "FieldProjection",
    "FoldedDense",
    "GradientBlock",
    "SqueezeLast",
    "StackFields",
    "SteppedDropout",
    "audiences",
    "embed_features",
    "folded_mlp",
    "mlp",
    "restricted",
    "standalone",
]
