"""Layers: shared tables, towers, interactions, attention, gates, resumable dropout."""

from tfdistill.layers.attention import (
    BehaviourTokens,
    TargetAttention,
    TransformerBlock,
)
from tfdistill.layers.dropout import SteppedDropout
from tfdistill.layers.embeddings import FeatureEmbeddings, audiences, embed_features
from tfdistill.layers.experts import DistillationExperts
from tfdistill.layers.extraction import restricted, standalone
from tfdistill.layers.fields import FieldProjection, StackFields
from tfdistill.layers.gating import GatedDense, GatedSum
from tfdistill.layers.gradients import GradientBlock
from tfdistill.layers.interactions import (
    BilinearInteraction,
    CompressedInteraction,
    FieldPairs,
    FlattenFields,
    SqueezeExcitation,
)
from tfdistill.layers.towers import (
    ConcatUserItem,
    FoldedDense,
    SharedDot,
    SqueezeLast,
    folded_mlp,
    mlp,
)

__all__ = [
    "BehaviourTokens",
    "BilinearInteraction",
    "CompressedInteraction",
    "ConcatUserItem",
    "DistillationExperts",
    "FeatureEmbeddings",
    "FieldPairs",
    "FieldProjection",
    "FlattenFields",
    "FoldedDense",
    "GatedDense",
    "GatedSum",
    "GradientBlock",
    "SharedDot",
    "SqueezeExcitation",
    "SqueezeLast",
    "StackFields",
    "SteppedDropout",
    "TargetAttention",
    "TransformerBlock",
    "audiences",
    "embed_features",
    "folded_mlp",
    "mlp",
    "restricted",
    "standalone",
]
