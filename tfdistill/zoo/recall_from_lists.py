"""A small two-tower net taught by a teacher's ranking lists."""

from __future__ import annotations

from collections.abc import Mapping

from tfdistill.losses import (
    BPR,
    DistillationLoss,
    Exponential,
    MinMax,
    RelevanceCrossEntropy,
)
from tfdistill.models import Net, TwoTower
from tfdistill.trainers import LoggedTeacher, Schedule, Transfer
from tfdistill.zoo.recipe import Recipe

__all__ = ["BASES", "SIGNALS", "STUDENT", "alone", "matrix_factorisation", "recipe"]

STUDENT = "recall"
"""Name of the student."""

SIGNALS = LoggedTeacher({"label": "label", "list_score": "list_score"})
"""The teacher of these recipes: what `RecallBatches` puts into a batch with lists."""

LABELS = LoggedTeacher({"label": "label"})
"""The teacher of a student alone: its labels."""

BASES: Mapping[str, DistillationLoss] = {
    "softmax": RelevanceCrossEntropy(MinMax(top=1.0)),
    "bpr": BPR(),
}
"""Losses on the labels: a softmax of each user's items against the drawn ones; BPR."""

RANK_WEIGHTED = RelevanceCrossEntropy(Exponential(decay=20.0, top=1.0, topk=100))
"""The list-wise loss that did best: soft labels that fall with the teacher's rank."""


def matrix_factorisation(shared: int = 2) -> Net:
    """Returns a net that knows the numbers of users and items only.

    Args:
        shared: Drawn items per user, as in `RecallBatches`.
    """
    return Net(TwoTower(units=(), dim=None, shared=shared), ("user_id", "item_id"))


def alone(net: Net, *, base: DistillationLoss = BASES["softmax"]) -> Recipe:
    """Returns the recipe of a student without a teacher: the baseline.

    Args:
        net: A `TwoTower` with `shared` items.
        base: The loss on the labels.
    """
    transfer = Transfer("labels", "label", STUDENT, base)
    return Recipe(
        nets={STUDENT: net},
        transfers=(transfer,),
        epochs=150,
        batch_size=512,
        learning_rate=1e-2,
        judged_every=5,
    )
