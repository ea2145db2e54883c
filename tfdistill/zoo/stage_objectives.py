"""Objectives over a chain of stages, to be added to the recipe that trains them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tfdistill.losses import BPR, LogitMSE, SigmoidCrossEntropy, TopKSoftLabel
from tfdistill.study.recipe import Recipe
from tfdistill.trainers import Derived, Kept, Survival, Transfer, Weight

__all__ = ["StageObjective", "cascade_survival", "next_stage_teaching"]


@dataclasses.dataclass(frozen=True)
class StageObjective:
    """Transfers over several stages and the derived signals that they read.

    Args:
        transfers: The terms.
        derived: What they need besides outputs and features.

    Example:
        >>> objective = cascade_survival({"recall": 40, "fine": 10}, teacher="teacher")
        >>> list(objective.added_to(Recipe(nets={})).terms.derived)
        ['survival']
    """

    transfers: tuple[Transfer, ...]
    derived: Mapping[str, Derived]

    def added_to(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with this objective besides its own."""
        return recipe.changed(
            transfers=(*recipe.terms.transfers, *self.transfers),
            derived={**recipe.terms.derived, **self.derived},
        )


def next_stage_teaching(
    stages: Mapping[str, int],
    *,
    hard: Weight = 1.0,
    score: Weight = 1.0,
    order: Weight = 1.0,
    mask: str | None = "mask",
) -> StageObjective:
    """Every stage is taught by the next one, on the items that it passes on.

    With K_s the items that stage s keeps of those it gets, for each stage s and the
    next one n:

    - `n_on_kept`: BCE(y, z_n) over K_s, so that n learns from what it will get;
    - `s_score`: (z_s - sg z_n)^2 over K_s;
    - `s_order`: BPR of the pairs of K_s that the cut of n parts: z_s of what n keeps
      above z_s of what it drops.

    RankFlow's code takes the mean score of either side of the cut for one pair; here
    all pairs count. Its first stage learns from the labels of the whole list, which is
    the recipe's business. A recipe's own hard losses are over all items: give a stage
    the loss weight 0 to let it learn from what it gets alone.

    Args:
        stages: How many items of a training list each output keeps, in order; a list
            in training is shorter than one in serving, and so are the cuts.
        hard: Weight of the labels.
        score: Weight of the squared differences: 0 if the stages' scores, such as
            products of towers, are not at one scale.
        order: Weight of the pairs.
        mask: Key of the features with the valid items.

    Returns:
        The transfers, and a mask `<stage>_kept` for each stage.

    Raises:
        ValueError: If there are fewer than two stages, or one keeps more than it gets.

    Example:
        >>> objective = next_stage_teaching({"recall": 40, "coarse": 30, "fine": 10})
        >>> [transfer.name for transfer in objective.transfers][:3]
        ['coarse_on_kept', 'recall_score', 'recall_order']

    Reference:
        Qin et al., RankFlow: joint optimization of multi-stage cascade ranking systems
        as flows, SIGIR 2022, doi 10.1145/3477495.3532050.
    """
    _check_chain(stages)
    derived, gets = {}, mask
    for name, keep in stages.items():
        derived[f"{name}_kept"] = Kept(name, keep, gets)
        gets = f"{name}_kept"
    names, transfers = list(stages), []
    for this, after in zip(names, names[1:]):
        kept = f"{this}_kept"
        transfers += [
            Transfer(
                f"{after}_on_kept",
                source=None,
                target=after,
                loss=SigmoidCrossEntropy(),
                weight=hard,
                mask=kept,
                weights=after,
                labels=after,
            ),
            Transfer(f"{this}_score", after, this, LogitMSE(), score, mask=kept),
            Transfer(f"{this}_order", f"{after}_kept", this, BPR(), order, mask=kept),
        ]
    return StageObjective(tuple(transfers), derived)


def cascade_survival(
    stages: Mapping[str, int],
    *,
    teacher: str | None = None,
    topk: int = 10,
    labels: str | None = None,
    temperature: float = 1.0,
    weight: Weight = 1.0,
    mask: str | None = "mask",
) -> StageObjective:
    """All stages together let relevant items through, and drop the others.

    loss = [- sum_{i relevant} log q_i - sum_{others} log(1 - q_i)] / count(items)

    with q_i of `Survival`: the stages are trained as one, end to end. Relevant are the
    teacher's best `topk`, which need no labels, or the items of label 1. Unlike
    NeuralSort, which needs an L x L matrix for every list and stage, this takes O(L).
    Not taken from LCRON: its extra loss for each stage (add a transfer for each) and
    learned weights.

    Args:
        stages: How many items of a training list each output keeps, in order.
        teacher: The signal whose best items shall survive.
        topk: How many those are.
        labels: Instead, the output whose labels and sample weights say what is
            relevant.
        temperature: T > 0 of the soft cuts, in units of the scores.
        weight: Weight of the term.
        mask: Key of the features with the valid items.

    Returns:
        One transfer, to the derived signal `survival`.

    Raises:
        ValueError: If not exactly one of `teacher` and `labels` is given, there are
            fewer than two stages, or one keeps more than it gets.

    Example:
        >>> objective = cascade_survival({"recall": 40, "fine": 10}, labels="fine")
        >>> objective.transfers[0].target
        'survival'

    Reference:
        Wang et al., Learning cascade ranking as one network, ICML 2025,
        arXiv:2503.09492.
    """
    _check_chain(stages)
    if (teacher is None) == (labels is None):
        raise ValueError(
            "cascade_survival needs to know what is relevant: either teacher= or "
            f"labels=, got teacher={teacher!r} and labels={labels!r}."
        )
    transfer = Transfer(
        "survival",
        source=teacher,
        target="survival",
        loss=SigmoidCrossEntropy() if teacher is None else TopKSoftLabel(topk),
        weight=weight,
        mask=mask,
        weights=labels,
        labels=labels,
    )
    return StageObjective(
        (transfer,), {"survival": Survival(stages, temperature, mask)}
    )


def _check_chain(stages: Mapping[str, int]) -> None:
    sizes = list(stages.values())
    if len(sizes) < 2 or sizes != sorted(sizes, reverse=True):
        raise ValueError(
            "A chain has two stages or more, and none keeps more than the one before, "
            f"got {dict(stages)}."
        )
