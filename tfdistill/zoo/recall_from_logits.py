"""A two-tower net taught by a ranker's logits on the lists that were shown.

Run: `train(recipe(net), spec, requests, evaluator, directory, teacher=...)` with the
logits in `requests.scores`, under `LoggedTeacher({"score": "my_column"})`, or with a
`FrozenTeacher` that scores drawn items too. Not measured on its own; the recall
student of `movielens_cascade` learns so. Where a teacher can score the whole catalogue,
its ranking lists teach more: see `recall_from_lists`.
"""

from __future__ import annotations

from tfdistill.losses import DistillationLoss, InBatchSoftmax, ListSoftmaxKL
from tfdistill.models import Net
from tfdistill.study.recipe import Recipe, Schedule, Terms
from tfdistill.trainers import Transfer, Weight
from tfdistill.zoo.ranking_pair import pair_transfer

__all__ = ["recipe", "softmax_transfer"]


def softmax_transfer(
    name: str, weight: Weight = 1.0, *, every: bool = False
) -> Transfer:
    """Returns the hard loss of a recall net: a softmax over the batch's candidates.

    Args:
        name: Name of the net.
        weight: Weight of the transfer, constant or a schedule of the step.
        every: Whether all positives of a list teach, or one that is drawn.

    Example:
        >>> softmax_transfer("recall").target
        'recall_query'
    """
    return Transfer(
        f"{name}_softmax",
        source=f"{name}_item",
        target=f"{name}_query",
        loss=InBatchSoftmax(every=every),
        weight=weight,
        mask="mask",
        labels=name,
        inputs={"positive": "positive", "log_q": "log_q", "item_row": "item_row"},
    )


def recipe(
    net: Net,
    loss: DistillationLoss | None = None,
    *,
    weight: Weight = 1.0,
    negatives: int = 20,
) -> Recipe:
    """Returns the recipe of a recall net `recall` under a teacher's signal `"score"`.

    `L = L_softmax + weight * loss(teacher's logits, products)` over each list.
    `recipe(net).only("recall")` is the baseline without the teacher.

    Args:
        net: A net for recall, such as a `TwoTower` of any features.
        loss: How the list is compared; `ListSoftmaxKL()` by default.
        weight: Weight of the transfer, constant or a schedule of the step.
        negatives: Drawn items per request; a logged teacher has no score for them, and
            they then serve the softmax alone.

    Example:
        >>> from tfdistill.models import TwoTower
        >>> towers = Net(TwoTower((32,), dim=16), ("age", "item_id"), task="recall")
        >>> student = recipe(towers)
        >>> [transfer.name for transfer in student.terms.transfers]
        ['recall_softmax', 'recall_list']
    """
    net.require("recall", "recall_from_logits")
    listed = pair_transfer(
        "recall_list", "score", "recall", loss or ListSoftmaxKL(), weight=weight
    )
    return Recipe(
        {"recall": net},
        terms=Terms(transfers=(softmax_transfer("recall"), listed)),
        schedule=Schedule(negatives=negatives),
    )
