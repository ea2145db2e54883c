"""Boosted trees teach the DNN that replaces them: margins as logits, raw features.

A minute for the trees, half a minute for the student:

    trees = GbdtTeacher.fit(problem.spec, problem.train, problem.valid.requests)
    scored = dataclasses.replace(
        problem, train=problem.train.with_scores({"trees": trees}))
    train(two_stage(pair, stored="trees"), scored, directory)

MovieLens-1M, 5 seeds; docs/ranking.md has all rows, and latencies. The DNN of 25,217
parameters keeps what the trees know, and passes LR and FM:

    ranking: movielens-1m/LR/seed-0..4 lr/auc = 0.7888 ± 0.0004
    ranking: movielens-1m/FM/seed-0..4 fm/auc = 0.8036 ± 0.0008
    ranking: movielens-1m/GBDT/seed-0..4 trees/auc = 0.8054 ± 0.0000
    ranking: movielens-1m/small alone/seed-0..4 fine/auc = 0.8002 ± 0.0010
    ranking: movielens-1m/small under GBDT/seed-0..4 fine/auc = 0.8050 ± 0.0008

Where LR, FM or trees are served today, there are two ways to a DNN. Under the trees, it
starts from what is known to work, and needs no large network. Under a large DNN
(`ranking_pair.two_stage`, or `ensemble_to_dnn` for both), it may pass the incumbent;
choose its units so that it stays within the incumbent's latency, and compare it with
`incumbents(pair)` on the same data.
"""

from __future__ import annotations

from tfdistill.models import Fm, Linear, Net, Representation
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.ranking_pair import Pair, rankers

__all__ = ["incumbents"]


def incumbents(
    pair: Pair, *, representation: Representation | None = None
) -> dict[str, Recipe]:
    """Returns the recipes of the models that a DNN replaces: `"lr"` and `"fm"`.

    Args:
        pair: They read the features of its student.
        representation: Projects the features to one width, which a factorisation
            machine needs; by default linearly to 16.
    """
    shared = representation or Representation(16)
    return {
        name: rankers({name: Net(architecture, pair.fine.features)}).changed(
            representation=projection,
        )
        for name, architecture, projection in (
            ("lr", Linear(), None),
            ("fm", Fm(), shared),
        )
    }
