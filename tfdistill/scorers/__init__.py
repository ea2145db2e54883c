"""Simple scorers of (user, item) pairs: baselines, features and a teacher from them."""

from __future__ import annotations

from tfdistill.scorers.base import FittedScorer, PairScorer, Sum, pair_scores
from tfdistill.scorers.baselines import Baseline, baselines, best_simple
from tfdistill.scorers.candidates import Candidates
from tfdistill.scorers.chosen import LISTED_BY, default_scorers
from tfdistill.scorers.features import PairFeatures, rolling_cuts
from tfdistill.scorers.items import EaseScorer, RatingEase, SimilarItems, Transitions
from tfdistill.scorers.profiles import ContentTaste, GroupTaste, Popular, Rated
from tfdistill.scorers.teacher import CandidateTeacher, boosted_trees
from tfdistill.scorers.vectors import LightGcn

__all__ = [
    "LISTED_BY",
    "Baseline",
    "CandidateTeacher",
    "Candidates",
    "ContentTaste",
    "EaseScorer",
    "FittedScorer",
    "GroupTaste",
    "LightGcn",
    "PairFeatures",
    "PairScorer",
    "Popular",
    "Rated",
    "RatingEase",
    "SimilarItems",
    "Sum",
    "Transitions",
    "baselines",
    "best_simple",
    "boosted_trees",
    "default_scorers",
    "pair_scores",
    "rolling_cuts",
]
