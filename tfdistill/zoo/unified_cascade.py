"""One teacher and three students of your own features, in one fit or one after other.

Run: `tfdistill cascade --data-dir DIR --training joint`.

5 seeds, beside stages trained apart from labels; docs/cascade.md has all ways:

    unified: movielens-1m/independent/seed-0..4 page/ndcg@10 = 0.2034 ± 0.0059
    unified: movielens-1m/joint/seed-0..4 page/ndcg@10 = 0.2111 ± 0.0078
    unified: movielens-1m/frozen/seed-0..4 page/ndcg@10 = 0.2068 ± 0.0054
    unified: citeulike/independent/seed-0..4 page/ndcg@10 = 0.0195 ± 0.0017
    unified: citeulike/joint/seed-0..4 page/ndcg@10 = 0.0589 ± 0.0010
    unified: citeulike/frozen/seed-0..4 page/ndcg@10 = 0.0613 ± 0.0018
    unified: simulator-20k/independent/seed-0..4 page/regret = 0.5953 ± 0.0173
    unified: simulator-20k/joint, recall_hard .1/seed-0..4 page/regret = 0.1856 ± 0.0407
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill.losses import Hint, ListSoftmaxKL, SigmoidSoftLabel
from tfdistill.models import CoarseTwoTower, DcnV2, Dnn, Net, TwoTower
from tfdistill.spec import FeatureSpec
from tfdistill.study.recipe import Recipe, Schedule, Sharing, Terms
from tfdistill.study.rounds import Candidates
from tfdistill.trainers import Weight
from tfdistill.zoo.ranking_pair import pair_transfer
from tfdistill.zoo.recall_from_logits import softmax_transfer

__all__ = ["STAGES", "Nets", "cascade", "default_nets", "recipe"]

STAGES = ("recall", "coarse", "fine")
"""The students, in the order in which a request passes them."""

CANDIDATES = Candidates()
"""What recall finds for the lists, by default."""

Nets = Mapping[str, Net]
"""The teacher and the students, by the names `"teacher"` and `STAGES`."""


def default_nets(spec: FeatureSpec) -> dict[str, Net]:
    """Returns a DCN-v2 of all features, and for each stage what suits it.

    Recall is two towers and a product, coarse ranking two towers and a thin layer above
    them, fine ranking a small DNN. The students read what can be served, recall no
    feature of pairs, and coarse ranking the score of no stage but recall.

    Args:
        spec: The features; a user's id and an item's are among them.

    Raises:
        ValueError: If one side has no feature that can be served.
    """
    served = spec.non_privileged()
    for scope in ("user", "item"):
        if not served.scope(scope):
            raise ValueError(
                f"The students need a feature of each side, and the {scope}'s has none "
                f"that can be served; the spec has {list(spec.names)}."
            )
    sides = tuple(feature.name for feature in served.scope("user", "item"))
    first = tuple(f.name for f in served.features if f.stage in (None, "recall"))
    return {
        "teacher": Net(
            DcnV2(cross_layers=2, units=(256, 128), dropout=0.2), spec.names
        ),
        "recall": Net(TwoTower(units=(), dim=32), sides, task="recall"),
        "coarse": Net(CoarseTwoTower((32,), dim=16, interaction=8), first),
        "fine": Net(Dnn(units=(32, 16)), served.names),
    }


def cascade(spec: FeatureSpec, **options: Any) -> Recipe:
    """Returns the recipe of a teacher and three students of your features.

    Args:
        spec: The features: `default_nets` makes the nets of them.
        **options: As for `recipe`.
    """
    return recipe(default_nets(spec), **options)


def recipe(
    nets: Nets,
    *,
    candidates: Candidates | None = CANDIDATES,
    own_tables: tuple[str, ...] = ("teacher",),
    blocked: tuple[str, ...] = (),
    warm_up: int = 200,
    soft: float = 1.0,
    hard: float = 0.3,
    recall_hard: float = 1.0,
    hint: float = 1e-3,
    every_positive: bool = False,
    tiny: bool = False,
) -> Recipe:
    """Returns the recipe that trains the teacher and the three students in one fit.

    Each stage learns in the form that suits it, over its list and over unlabelled
    candidates of the recall net as it is trained:

    - recall: `recall_hard L_softmax + soft KL(softmax(z_t), softmax(z_r))`, in-batch
      with logQ, and over the list;
    - coarse: `hard BCE(y, z_c) + soft (BCE(sigmoid(z_t), z_c) + KL(...))`;
    - fine: the same, and `hint ||W h_f - h_t||^2`.

    A teacher for recall, such as a `TwoTower`, learns by recall's softmax, to the last
    epoch. Its products are no log odds, so it teaches the order of the lists alone,
    without their positives, which it was trained on: take one, with wide tables, where
    nothing is known but ids, which a ranker hardly learns from labels.

    Args:
        nets: The nets, such as `default_nets(spec)`.
        candidates: The candidates of recall; None for none.
        own_tables: Which nets share no tables; by default the students share theirs,
            and the teacher has its own and stops at its best epoch. Students that read
            a teacher's tables behind a block, `own_tables=()` and
            `blocked=STAGES`, do well where it knows users and items by
            their ids only, and badly where it has better features; where all nets train
            the same tables, the teacher ranks worse.
        blocked: As for `joint_network`.
        warm_up: Steps in which `soft` grows from 0, while the teacher has not learned.
        soft: Weight of what the teacher's logits teach.
        hard: Weight of the rankers' labels.
        recall_hard: Weight of recall's labels; a tenth where the log follows the
            policy that chose what was shown more than the users.
        hint: Weight of the hidden layer.
        every_positive: Whether recall learns from all positives of a list at once, as
            in `InBatchSoftmax(every=True)`; where lists are the users' histories.
        tiny: Whether to train for two epochs only.

    Reference:
        Qin et al., RankFlow, SIGIR 2022; Xu et al., PFD, KDD 2020; arXiv:2503.09492.
    """
    weight: Weight = soft
    if warm_up:
        weight = tf.keras.optimizers.schedules.PolynomialDecay(0.0, warm_up, soft)
    nets["recall"].require("recall", "The net 'recall' of a unified cascade")
    score, order = SigmoidSoftLabel(), ListSoftmaxKL()
    recall = softmax_transfer("recall", recall_hard, every=every_positive)
    orders = {
        stage: pair_transfer(f"{stage}_list", "teacher", stage, order, weight=weight)
        for stage in STAGES
    }
    made = Recipe(
        nets,
        terms=Terms(
            transfers=(
                recall,
                orders["recall"],
                orders["coarse"],
                pair_transfer("coarse_soft", "teacher", "coarse", score, weight=weight),
                orders["fine"],
                pair_transfer("fine_soft", "teacher", "fine", score, weight=weight),
                pair_transfer(
                    "fine_hint",
                    "teacher_hidden",
                    "fine_hidden_hint",
                    Hint(),
                    weight=hint,
                ),
            ),
            loss_weights={"coarse": hard, "fine": hard},
        ),
        sharing=Sharing(blocked=blocked, own_tables=own_tables),
        schedule=Schedule(
            stops_early=tuple(name for name in own_tables if name == "teacher"),
            candidates=candidates,
            epochs=2 if tiny else 10,
            learning_rate=3e-3,
            rows_l2=1e-4,
        ),
    )
    if nets["teacher"].task == "ranking":
        return made
    own = softmax_transfer("teacher", every=every_positive)
    unknown = (dataclasses.replace(t, without=t.target) for t in orders.values())
    return made.changed(transfers=(own, recall, *unknown), stops_early=())
