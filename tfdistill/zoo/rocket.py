"""Rocket Launching: a light net and its booster on shared lower layers.

Run: `tfdistill distill mine.parquet --method rocket ...`, or
`python benchmarks/ranking.py --data movielens-1m --data-dir DIR`.
"""

from __future__ import annotations

import dataclasses

from tfdistill.losses import DistillationLoss, LogitMSE
from tfdistill.models import Representation
from tfdistill.trainers import Schedule, Transfer
from tfdistill.zoo.ranking_pair import Pair
from tfdistill.zoo.recipe import Recipe

__all__ = ["recipe"]


def recipe(
    pair: Pair,
    *,
    hint: DistillationLoss | None = None,
    weight: Schedule = 0.1,
    gradient_block: bool = True,
    shared_gradient: str = "both",
    representation: Representation | None = None,
) -> Recipe:
    """Returns the recipe that trains a light net `fine` beside its booster `teacher`.

    `L = H(y, p_light) + H(y, q_booster) + weight * hint(l(x), z(x))`, with the lower
    layers shared and both nets trained from scratch.

    Args:
        pair: The booster and the light net.
        hint: How the logits are compared: `LogitMSE()` is the paper's choice; it also
            tried `ProbabilityMSE()` and Hinton's form, `SigmoidSoftLabel(temperature)`.
        weight: Weight of the hint, constant or a schedule of the step.
        gradient_block: Whether the hint trains the light net alone, as in the paper.
        shared_gradient: `"both"` (the paper) or `"booster_only"`.
        representation: Shared layer above the tables; by default the tables are all
            that is shared.

    Reference:
        Zhou et al., Rocket Launching, AAAI 2018, arXiv:1708.04106.
    """
    transfer = Transfer(
        "rocket_hint",
        "teacher",
        "fine",
        hint or LogitMSE(),
        weight=weight,
        mask="mask",
        weights="pair_weight",
        hint_gradient=not gradient_block,
    )
    return dataclasses.replace(
        pair.recipe,
        transfers=(transfer,),
        booster="teacher",
        shared_gradient=shared_gradient,
        representation=representation,
    )
