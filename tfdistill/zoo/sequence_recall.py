"""A sequence model of what users took last: a teacher of recall.

Run: `python benchmarks/recall.py movielens-1m --data-dir DIR --rows SASRec`, 12 minutes
of one core: eight passes over MovieLens-1M's 194,000 prefixes. docs/recall.md has what
it recalls beside EASE, and a student of both.

Its vectors are those of a two-tower net, so `dot_scores` gives what students of lists
learn from, and it can be served itself where a transformer per request is affordable:

    teacher, data = recipe(), problem.interactions
    net = train_on(prefix_batches(data, teacher), teacher, data.spec(64), judge,
                   directory)["recall"]
    towers = net.recaller(data.requests("train"))
    scores = dot_scores(towers.queries(np.arange(data.num_users)), towers.items())
"""

from __future__ import annotations

import dataclasses

from tfdistill.data import ImplicitFeedback, RecallBatches
from tfdistill.models import Net, SequenceTower
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.recall_from_lists import BASES, alone

__all__ = ["prefix_batches", "recipe"]


def recipe(tower: SequenceTower | None = None) -> Recipe:
    """Returns the recipe, for `train_on` and `prefix_batches`.

    Args:
        tower: The net; two blocks with two heads by default.

    Example:
        >>> recipe().nets["recall"].features
        ('history', 'item_id')
    """
    shared = BASES["softmax"].shared
    tower = dataclasses.replace(tower or SequenceTower(), shared=shared)
    return dataclasses.replace(
        alone(Net(tower, ("history", "item_id"), task="recall")),
        epochs=8,
        learning_rate=2e-3,
        rows_l2=0.0,
    )


def prefix_batches(
    data: ImplicitFeedback, recipe: Recipe, *, seed: int = 0
) -> RecallBatches:
    """Returns the recipe's batches: what a user took before each item, and that item.

    Args:
        data: Feedback with an order.
        recipe: The recipe.
        seed: Seed of the order and of the draws.

    Example:
        >>> from tfdistill.pairs import Pairs
        >>> pairs = Pairs([0, 0, 0], [0, 1, 2], 9)
        >>> last = np.array([[2, 1, 0]])
        >>> data = ImplicitFeedback("mine", 1, pairs, pairs, pairs, last)
        >>> small = dataclasses.replace(recipe(), batch_size=2)
        >>> x, _, _ = next(iter(prefix_batches(data, small)()))
        >>> sorted(x["history"].numpy().tolist())
        [[0, -1, -1], [1, 0, -1]]
    """
    histories, pairs = data.next_items()
    return RecallBatches(
        {"history": histories},
        data.items,
        pairs,
        batch_size=recipe.batch_size,
        positives=1,
        shared=recipe.negatives,
        seed=seed,
    )
