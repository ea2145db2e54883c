"""The dual-DNN ranker: one input representation, interaction in the teacher alone.

Run: `tfdistill distill mine.parquet --method dual-dnn ...`, or
`python benchmarks/ranking.py movielens-1m --data-dir DIR`, a minute a training.

MovieLens-1M, 5 seeds, before fine-tuning: no measurable gain at this size:

    ranking: movielens-1m/light alone/seed-0..4 fine/auc = 0.8000 ± 0.0018
    ranking: movielens-1m/dual-DNN/seed-0..4 fine/auc = 0.8009 ± 0.0013
    ranking: movielens-1m/dual-DNN/seed-0..4 teacher/auc = 0.8034 ± 0.0003
"""

from __future__ import annotations

from collections.abc import Sequence

from tfdistill.losses import Hint, SigmoidSoftLabel
from tfdistill.models import Representation
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.ranking_pair import Pair, pair_transfer

__all__ = ["REPRESENTATION", "fine_tuned", "recipe"]

REPRESENTATION = Representation(16, "relu")
"""The shared input representation layer: every feature as a field of width 16."""


def recipe(
    pair: Pair,
    *,
    representation: Representation = REPRESENTATION,
    layers: Sequence[tuple[int, int]] = ((0, 0), (1, 1)),
    soft: float = 1.0,
    classifier: float = 1e-3,
    hard: float = 0.3,
) -> Recipe:
    """Returns the recipe that trains teacher and student on one representation.

    `L = L_t(y) + hard L_s(y) + soft BCE(sigmoid(z_t), z_s)
    + classifier sum_(i, j) ||W h_s^i - h_t^j||^2`. The teacher alone trains the tables
    and the representation; its prediction of the moment (distillation on the fly) and
    its hidden layers (classifier transfer) teach the student.

    Args:
        pair: The teacher, with feature interaction, and a plain DNN.
        representation: The shared input representation layer.
        layers: Pairs of hidden layers, the student's and the teacher's, counted from
            the bottom; widths may differ.
        soft: Weight of the soft labels.
        classifier: Weight of each pair of layers.
        hard: Weight of the student's labels.

    Reference:
        iQIYI, "The dual-DNN ranking model", 2020; Romero et al., FitNets,
        arXiv:1412.6550.
    """
    hints = tuple((f"fine_hidden_{i}", f"teacher_hidden_{j}") for i, j in layers)
    transfers = [
        pair_transfer(
            f"{student}_from_{teacher}",
            teacher,
            f"{student}_hint",
            Hint(),
            weight=classifier,
        )
        for student, teacher in hints
    ]
    on_the_fly = pair_transfer(
        "fine_soft", "teacher", "fine", SigmoidSoftLabel(), weight=soft
    )
    return pair.recipe.changed(
        transfers=(on_the_fly, *transfers),
        loss_weights={"fine": hard},
        blocked=("fine",),
        representation=representation,
    )


def fine_tuned(
    trained: Recipe, *, frozen_tables: bool = True, epochs: int = 2
) -> Recipe:
    """Returns the recipe of the student's fine-tuning on a recent window.

    Call `train(fine_tuned(recipe), spec, recent, evaluator, directory,
    start={"fine": nets["fine"]})` with the nets that the recipe trained and the
    requests of the window.

    Args:
        trained: The recipe that the student was trained with.
        frozen_tables: Whether the tables stay as they are.
        epochs: Passes over the window.
    """
    return trained.only("fine").changed(
        frozen_tables=frozen_tables,
        epochs=epochs,
        learning_rate=trained.schedule.learning_rate / 4,
    )
