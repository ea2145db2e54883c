"""Privileged features distillation: a coarse ranker under a teacher that sees more.

Run: `python benchmarks/ranking.py --data movielens-1m --data-dir DIR`.
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.data.spec import FeatureSpec
from tfdistill.losses import SigmoidSoftLabel
from tfdistill.models import CoarseTwoTower, DcnV2, Net
from tfdistill.trainers import Transfer
from tfdistill.zoo.recipe import Recipe

__all__ = ["recipe"]


def recipe(
    spec: FeatureSpec,
    features: tuple[str, ...],
    *,
    weight: float = 0.5,
    warm_up: int = 500,
) -> Recipe:
    """Returns the recipe of a two-tower coarse ranker and a teacher of all features.

    `L = L_t(y, f_t(X, X*)) + (1 - weight) L_s(y, f_s(X)) + w BCE(f_t, f_s)`, where w is
    0 for `warm_up` steps and `weight` then: a young teacher has nothing to teach. Both
    train the tables that they share.

    Args:
        spec: All features: those of the student X and the privileged ones X*, which do
            not exist, or cost too much, when thousands of items are ranked.
        features: Names of the student's features.
        weight: Weight of the distillation.
        warm_up: Steps of the optimiser without it.

    Reference:
        Xu et al., Privileged Features Distillation at Taobao, KDD 2020,
        arXiv:1907.05171.
    """
    schedule = tf.keras.optimizers.schedules.PiecewiseConstantDecay(
        [warm_up], [0.0, weight]
    )
    return Recipe(
        nets={
            "teacher": Net(DcnV2(units=(256, 128), dropout=0.2), spec.names),
            "coarse": Net(CoarseTwoTower(units=(32,), dim=16), features),
        },
        transfers=(
            Transfer(
                "coarse_soft",
                "teacher",
                "coarse",
                SigmoidSoftLabel(),
                weight=schedule,
                mask="mask",
            ),
        ),
        loss_weights={"coarse": 1 - weight},
        epochs=10,
        negatives=0,
        learning_rate=2e-3,
        rows_l2=1e-4,
    )
