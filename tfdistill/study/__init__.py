"""The study: problems, recipes that are trained on them, and how good nets are."""

from __future__ import annotations

from tfdistill.study.nets import Cascade, Nets
from tfdistill.study.problem import Problem
from tfdistill.study.public import movielens_problem
from tfdistill.study.recipe import Recipe, Schedule, Sharing, Terms
from tfdistill.study.trained import Catalogue, StoredScores, TrainedNet
from tfdistill.study.verbs import evaluate, publish
from tfdistill.study.ways import WAYS, train

__all__ = [
    "WAYS",
    "Cascade",
    "Catalogue",
    "Nets",
    "Problem",
    "Recipe",
    "Schedule",
    "Sharing",
    "StoredScores",
    "Terms",
    "TrainedNet",
    "evaluate",
    "movielens_problem",
    "publish",
    "train",
]
