"""Privileged features distillation: a coarse ranker under a teacher that sees more.

Run: `python benchmarks/ranking.py movielens-1m --data-dir DIR`, a minute a training.

MovieLens-1M, 5 seeds, the user's id as the privileged feature: a third of the gap to
the teacher is closed, and the teacher hardly loses by training beside its student:

    ranking: movielens-1m/teacher/seed-0..4 teacher/auc = 0.8072 ± 0.0003
    ranking: movielens-1m/coarse alone/seed-0..4 coarse/auc = 0.7879 ± 0.0009
    ranking: movielens-1m/coarse PFD/seed-0..4 coarse/auc = 0.7943 ± 0.0013
    ranking: movielens-1m/coarse PFD/seed-0..4 teacher/auc = 0.8059 ± 0.0013
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses import SigmoidSoftLabel
from tfdistill.models import Net
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.ranking_pair import pair_transfer, rankers

__all__ = ["recipe"]


def recipe(
    teacher: Net, coarse: Net, *, weight: float = 0.5, warm_up: int = 500
) -> Recipe:
    """Returns the recipe of a coarse ranker and of a teacher that sees more, jointly.

    `L = L_t(y, f_t(X, X*)) + (1 - weight) L_s(y, f_s(X)) + w BCE(f_t, f_s)`, where w is
    0 for `warm_up` steps and `weight` then: an untrained teacher has nothing to teach.
    Both train the tables that they share; leave the user's id to the teacher.

    Args:
        teacher: Reads the privileged features X* too, which do not exist, or cost too
            much, when thousands of items are ranked.
        coarse: The student, for example of a `CoarseTwoTower`; reads X.
        weight: Weight of the distillation.
        warm_up: Steps of the optimiser without it.

    Reference:
        Xu et al., Privileged Features Distillation at Taobao, KDD 2020,
        arXiv:1907.05171.
    """
    schedule = tf.keras.optimizers.schedules.PiecewiseConstantDecay(
        [warm_up], [0.0, weight]
    )
    transfer = pair_transfer(
        "coarse_soft", "teacher", "coarse", SigmoidSoftLabel(), weight=schedule
    )
    return rankers({"teacher": teacher, "coarse": coarse}).changed(
        transfers=(transfer,),
        loss_weights={"coarse": 1 - weight},
    )
