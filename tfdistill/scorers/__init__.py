"""Simple scorers of (user, item) pairs: baselines, features and a teacher from them."""

from __future__ import annotations

from tfdistill.scorers.base import FittedScorer, PairScorer, Sum, pair_scores
from tfdistill.scorers.features import PairFeatures, rolling_cuts
from tfdistill.scorers.items import EaseScorer, SimilarItems, Transitions
from tfdistill.scorers.profiles import ContentTaste, GroupTaste, Popular, Rated

__all__ = [
    "ContentTaste",
    "EaseScorer",
    "FittedScorer",
    "GroupTaste",
    "PairFeatures",
    "PairScorer",
    "Popular",
    "Rated",
    "SimilarItems",
    "Sum",
    "Transitions",
    "pair_scores",
    "rolling_cuts",
]
