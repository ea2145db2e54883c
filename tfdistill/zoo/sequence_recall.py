"""A sequence model of what users took last: a teacher of recall.

Run: `python benchmarks/recall.py movielens-1m --data-dir DIR --rows SASRec`, 12 minutes
of one core: eight passes over MovieLens-1M's 194,000 prefixes. docs/recall.md has what
it recalls beside EASE, and a student of both.

Its vectors are those of a two-tower net, so `dot_scores` gives what students of lists
learn from, and it can be served itself where a transformer per request is affordable:

    problem = Problem.from_interactions(clicks, user=..., item=..., time=..., dim=64)
    net = train(recipe(), problem, directory)["recall"]
    data = problem.interactions
    towers = net.recaller(data.requests("train"))
    scores = dot_scores(towers.queries(np.arange(data.num_users)), towers.items())
"""

from __future__ import annotations

from tfdistill.data import RecallBatches
from tfdistill.models import Net, SequenceTower
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.recall_from_lists import alone

__all__ = ["recipe"]


def recipe(tower: SequenceTower | None = None) -> Recipe:
    """Returns the recipe: what a user took before each item teaches that item.

    Args:
        tower: The net; two blocks with two heads by default.

    Example:
        >>> recipe().nets["recall"].features
        ('history', 'item_id')
    """
    tower = tower or SequenceTower()
    return alone(Net(tower, ("history", "item_id"), task="recall")).changed(
        epochs=8,
        learning_rate=2e-3,
        rows_l2=0.0,
        source=_prefixes,
    )


def _prefixes(problem: Problem, recipe: Recipe, seed: int) -> RecallBatches:
    """What a user took before each item, and that item."""
    data = problem.interactions
    histories, pairs = data.next_items()
    return RecallBatches(
        {"history": histories},
        data.items,
        pairs,
        batch_size=recipe.schedule.batch_size,
        positives=1,
        shared=recipe.schedule.negatives,
        seed=seed,
    )
