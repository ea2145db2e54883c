"""One teacher and three students on MovieLens, jointly and alone.

Run: `python benchmarks/movielens_cascade.py`.

MovieLens-100K, test part, 5 seeds; what it measured, by run. About 3 minutes of
processor time a seed. Recall has nothing to learn from its teacher here, coarse and
fine ranking do:

    cascade: MovieLens-100K/seed-0..4 recall/teacher/ndcg@10 = 0.0895 ± 0.0034
    cascade: MovieLens-100K/seed-0..4 recall/student alone/ndcg@10 = 0.0935 ± 0.0037
    cascade: MovieLens-100K/seed-0..4 recall/student distilled/ndcg@10 = 0.0951 ± 0.0026
    cascade: MovieLens-100K/seed-0..4 coarse/teacher/gauc = 0.8177 ± 0.0015
    cascade: MovieLens-100K/seed-0..4 coarse/student alone/gauc = 0.7737 ± 0.0041
    cascade: MovieLens-100K/seed-0..4 coarse/student distilled/gauc = 0.7927 ± 0.0019
    cascade: MovieLens-100K/seed-0..4 fine/teacher/gauc = 0.8177 ± 0.0015
    cascade: MovieLens-100K/seed-0..4 fine/student alone/gauc = 0.7777 ± 0.0017
    cascade: MovieLens-100K/seed-0..4 fine/student distilled/gauc = 0.7925 ± 0.0020
    cascade: MovieLens-100K/seed-0..4 page/teacher/ndcg@10 = 0.0895 ± 0.0034
    cascade: MovieLens-100K/seed-0..4 page/student alone/ndcg@10 = 0.0731 ± 0.0028
    cascade: MovieLens-100K/seed-0..4 page/student distilled/ndcg@10 = 0.0765 ± 0.0021
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses import Hint, ListSoftmaxKL, SigmoidSoftLabel
from tfdistill.models import CoarseTwoTower, DcnV2, Dnn, Net, TwoTower
from tfdistill.study.recipe import Recipe, Schedule, Terms
from tfdistill.trainers import Transfer
from tfdistill.zoo.recall_from_logits import softmax_transfer

__all__ = ["joint"]

TUNING = (
    "The same 4 trials for the joint network and for each student alone, on seed 0 and "
    "validation: learning rate 1e-3 or 3e-3, L2 on rows 0 or 1e-4."
)
"""How the settings were found, for reports."""

ITEM = ("item_id", "year", "genres")
PROFILE = ("age", "gender", "occupation")

NETS = {
    "teacher": Net(
        DcnV2(cross_layers=2, units=(256, 128), dropout=0.2),
        ("user_id", *PROFILE, "zip", "history", *ITEM),
    ),
    "recall": Net(
        TwoTower(units=(), dim=32), ("user_id", *PROFILE, *ITEM), task="recall"
    ),
    "coarse": Net(
        CoarseTwoTower(units=(32,), dim=16, interaction=8),
        (*PROFILE, "history", *ITEM),
    ),
    "fine": Net(Dnn(units=(32, 16)), (*PROFILE, "history", *ITEM)),
}


def joint() -> Recipe:
    """Returns the recipe that trains the teacher and the three students in one fit."""
    warm_up = tf.keras.optimizers.schedules.PolynomialDecay(0.0, 200, 1.0)
    return Recipe(
        NETS,
        terms=Terms(
            transfers=(
                softmax_transfer("recall"),
                Transfer(
                    "recall_list",
                    "teacher",
                    "recall",
                    ListSoftmaxKL(temperature=1.0),
                    weight=warm_up,
                    mask="mask",
                ),
                Transfer(
                    "coarse_soft",
                    "teacher",
                    "coarse",
                    SigmoidSoftLabel(),
                    weight=warm_up,
                    mask="mask",
                ),
                Transfer(
                    "fine_soft",
                    "teacher",
                    "fine",
                    SigmoidSoftLabel(),
                    weight=warm_up,
                    mask="mask",
                ),
                Transfer(
                    "fine_hint",
                    "teacher_hidden",
                    "fine_hidden_hint",
                    Hint(),
                    weight=0.001,
                    mask="mask",
                ),
            ),
            loss_weights={"coarse": 0.3, "fine": 0.3},
        ),
        schedule=Schedule(epochs=20, learning_rate=3e-3, rows_l2=1e-4),
        alone={"coarse": {"rows_l2": 0.0}},
    )
