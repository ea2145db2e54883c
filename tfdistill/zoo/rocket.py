"""Rocket Launching: a light net and its booster on shared lower layers.

Run: `tfdistill distill mine.parquet --method rocket ...`, or
`python benchmarks/ranking.py movielens-1m --data-dir DIR`, a minute a training.

MovieLens-1M, 5 seeds: the light net gains from the booster's tables, not from the hint,
and the gradient block hurts; docs/ranking.md has all rows:

    ranking: movielens-1m/teacher/seed-0..4 teacher/auc = 0.8072 ± 0.0003
    ranking: movielens-1m/light alone/seed-0..4 fine/auc = 0.8000 ± 0.0018
    ranking: movielens-1m/joint, no hint/seed-0..4 fine/auc = 0.8043 ± 0.0012
    ranking: movielens-1m/rocket, block/seed-0..4 fine/auc = 0.8030 ± 0.0008
    ranking: movielens-1m/rocket, block/seed-0..4 teacher/auc = 0.8041 ± 0.0011
    ranking: movielens-1m/rocket, no block/seed-0..4 fine/auc = 0.8037 ± 0.0012
    ranking: movielens-1m/rocket, booster only/seed-0..4 fine/auc = 0.8043 ± 0.0007
"""

from __future__ import annotations

from tfdistill.losses import DistillationLoss, LogitMSE
from tfdistill.models import Representation
from tfdistill.study.recipe import Recipe
from tfdistill.trainers import Weight
from tfdistill.zoo.ranking_pair import Pair, pair_transfer

__all__ = ["recipe"]


def recipe(
    pair: Pair,
    *,
    hint: DistillationLoss | None = None,
    weight: Weight = 0.1,
    teacher_gradient: bool = False,
    blocked: tuple[str, ...] = (),
    representation: Representation | None = None,
) -> Recipe:
    """Returns the recipe that trains a light net `fine` beside its booster `teacher`.

    `L = H(y, p_light) + H(y, q_booster) + weight * hint(l(x), z(x))`, with the lower
    layers shared and both nets trained from scratch.

    Args:
        pair: The booster and the light net.
        hint: How the logits are compared: `LogitMSE()` is the paper's choice. It tried
            probabilities, `ProbabilityMSE()`, and Hinton's form,
            `SigmoidSoftLabel(temperature)`, too.
        weight: Weight of the hint, constant or a schedule of the step.
        teacher_gradient: Whether the hint trains the teacher too; not in the paper,
            which calls that its gradient block.
        blocked: `()` (the paper), or `("fine",)`: the teacher alone trains the tables.
        representation: Shared layer above the tables; by default the tables are all
            that is shared.

    Reference:
        Zhou et al., Rocket Launching, AAAI 2018, arXiv:1708.04106.
    """
    transfer = pair_transfer(
        "rocket_hint",
        "teacher",
        "fine",
        hint or LogitMSE(),
        weight=weight,
        teacher_gradient=teacher_gradient,
    )
    return pair.recipe.changed(
        transfers=(transfer,),
        blocked=blocked,
        representation=representation,
    )
