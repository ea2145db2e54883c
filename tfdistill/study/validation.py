"""What is judged after an epoch: one metric for each net of a recipe."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tfdistill import _keras
from tfdistill.data.requests import Requests
from tfdistill.models import JointNetwork
from tfdistill.study.evaluators import ListEvaluator, Recaller
from tfdistill.study.recipe import PRIMARY, Recipe

__all__ = ["TOWERS", "Validation", "measurable", "recaller_of"]

TOWERS = (("query", "user"), ("item", "item"))
"""The outputs of a recall net, and the side that each depends on."""


_FALLBACKS = ("auc", "log_loss", "ndcg@10")
"""What chooses a ranker's epoch where the recipe's own metric is undefined."""


def measurable(recipe: Recipe, evaluator: ListEvaluator) -> Recipe:
    """Returns the recipe with a metric that the validation lists define.

    Where each user has labels of one kind only, as in groups of one, there is no GAUC:
    AUC chooses the epoch then, log loss where all labels are alike, and NDCG@10 where
    labels are grades.

    Args:
        recipe: The recipe.
        evaluator: Validation.

    Raises:
        ValueError: If validation has no label, or grades for a net whose loss takes
            none.
    """
    tasks = dict.fromkeys(recipe.labelled.values())
    for output, task in recipe.labelled.items():
        if recipe.terms.loss_weights.get(output, 1.0) and evaluator.graded(task):
            raise ValueError(
                f"The labels of {output!r} must be 0 or 1: it learns their log loss. "
                "For grades give it a loss of lists as a transfer from the labels, and "
                f"loss_weights={{{output!r}: 0.0}}."
            )
    defined = [evaluator.defined(task) for task in tasks]
    for chosen in (recipe.schedule.chosen_by, *_FALLBACKS):
        if all(chosen in metrics for metrics in defined):
            return recipe.changed(chosen_by=chosen)
    raise ValueError(
        f"The validation lists have no label of one of the tasks {list(tasks)}, so no "
        "epoch can be chosen by them; give validation labels."
    )


class Validation:
    """Computes the metrics that choose each net's epoch; made once for a training."""

    def __init__(
        self, recipe: Recipe, network: JointNetwork, evaluator: ListEvaluator
    ) -> None:
        self._evaluator = evaluator
        self._chosen_by = recipe.schedule.chosen_by
        self._tasks = {n: recipe.nets[n].scores(n) for n in recipe.rankers}
        self._recalls = {n: _recall_of(network, n, evaluator) for n in recipe.recallers}
        nets = [recipe.nets[name] for name in recipe.rankers]
        inputs = {
            feature: network.model.input[feature]
            for feature in network.spec.names
            if any(feature in net.features for net in nets)
        }
        outputs = {name: network.model.output[name] for name in recipe.labelled}
        self._rankers = _keras.functional(inputs, outputs) if outputs else None

    @property
    def identity(self) -> dict[str, Any]:
        """What chooses the epochs, as JSON values."""
        return {**self._evaluator.identity, "chosen_by": self._chosen_by}

    def __call__(self) -> dict[str, float]:
        """Returns one metric per net, by name: of several tasks their mean.

        Raises:
            ValueError: If one is NaN, so that no epoch would ever be better.
        """
        found = self._measured()
        undefined = sorted(name for name, value in found.items() if np.isnan(value))
        if undefined:
            raise ValueError(
                f"Validation gives NaN for {undefined}, so no epoch can be chosen by "
                "it: the net's scores are not finite, or recall has no relevant item."
            )
        return found

    def _measured(self) -> dict[str, float]:
        recall, ranking = PRIMARY["recall"], self._chosen_by
        found = {
            f"{n}_{recall}": judged()[recall] for n, judged in self._recalls.items()
        }
        if self._rankers is not None:
            logits = self._evaluator.logits(self._rankers)
            for name, tasks in self._tasks.items():
                metrics = [
                    self._evaluator.ranking(logits[output], task)[ranking]
                    for output, task in tasks.items()
                ]
                found[f"{name}_{ranking}"] = float(np.mean(metrics))
        return found


def _recall_of(
    network: JointNetwork, name: str, evaluator: ListEvaluator
) -> Callable[[], dict[str, float]]:
    """A function that evaluates a two-tower net as it is at the time of the call."""
    whole = evaluator.over_catalogue(f"Net {name!r} for recall")
    if not whole.relevant.user.size:
        raise ValueError(
            f"Net {name!r} is trained for recall, but no user of the validation part "
            "has a label above 0, so no epoch can be chosen."
        )
    return functools.partial(
        whole.recall, recaller_of(network, name, evaluator.requests)
    )


def recaller_of(network: JointNetwork, name: str, requests: Requests) -> Recaller:
    """Returns a two-tower net of a network that answers as it is at each call."""
    query, item = (
        network.part(name, output=f"{name}_{side}", scope=scope)
        for side, scope in TOWERS
    )
    return Recaller(query, item, requests)
