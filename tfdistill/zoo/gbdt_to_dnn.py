"""Boosted trees teach the DNN that replaces them: margins as logits, raw features.

Run: `run(two_stage(pair), GbdtTeacher.fit(spec, train, valid), spec, train,
ListJudge(valid), directory)`; a minute for the trees, half a minute for the student.

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

import dataclasses
from pathlib import Path

from tfdistill.data.requests import Requests, RowScorer
from tfdistill.data.spec import FeatureSpec
from tfdistill.models import Fm, Linear, Net, Representation
from tfdistill.study.judge import ListJudge
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.training import train
from tfdistill.trainers import LoggedTeacher
from tfdistill.zoo.ranking_pair import Pair, rankers

__all__ = ["SCORE", "incumbents", "run"]

SCORE = "gbdt"
"""Name of the logged scores among the features of a batch."""


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
        name: dataclasses.replace(
            rankers({name: Net(architecture, pair.fine.features)}),
            representation=projection,
        )
        for name, architecture, projection in (
            ("lr", Linear(), None),
            ("fm", Fm(), shared),
        )
    }


def run(
    student: Recipe,
    teacher: RowScorer,
    spec: FeatureSpec,
    requests: Requests,
    judge: ListJudge,
    directory: Path,
    *,
    seed: int = 0,
) -> dict[str, TrainedNet]:
    """Scores the requests once, then trains the student under the stored scores.

    Args:
        student: Of a teacher with the signal `"score"`, such as
            `ranking_pair.two_stage(pair)`. Pairs that it draws have no score.
        teacher: A `GbdtTeacher`, or another function from the features `[N, *shape]`
            of pairs to logits `[N]`; it may read what the student doesn't.
        spec: The features.
        requests: The training requests.
        judge: Validation; it chooses the epoch of the student.
        directory: Where checkpoints are kept; a run that was killed goes on.
        seed: Seed of the training.

    Returns:
        The student by name.

    Reference:
        Ke et al., DeepGBM, KDD 2019, doi:10.1145/3292500.3330858, teaches a network
        the trees' leaves instead.
    """
    return train(
        student,
        spec,
        requests.with_scores({SCORE: teacher}),
        judge,
        directory,
        teacher=LoggedTeacher({"score": SCORE}),
        seed=seed,
    )
