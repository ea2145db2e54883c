"""A fine ranker of your own features under a teacher: two stages, or trained with it.

Run: `tfdistill distill mine.parquet --spec spec.json --request request --label click`.

Two stages (`teacher`, then `two_stage` beside `alone`) on the simulator, 3 seeds; what
`benchmarks/simulator.py` measured, by run. A good teacher helps, most where it sees
more; a bad one harms:

    simulator: main/seed-0..2 teacher/auc = 0.7815 ± 0.0059
    simulator: main/seed-0..2 alone/auc = 0.7089 ± 0.0100
    simulator: main/seed-0..2 distilled/auc = 0.7246 ± 0.0121
    simulator: equal features, ample data/seed-0..2 teacher/auc = 0.7804 ± 0.0078
    simulator: equal features, ample data/seed-0..2 alone/auc = 0.7555 ± 0.0174
    simulator: equal features, ample data/seed-0..2 distilled/auc = 0.7752 ± 0.0101
    simulator: bad teacher/seed-0..2 teacher/auc = 0.5687 ± 0.0053
    simulator: bad teacher/seed-0..2 alone/auc = 0.7089 ± 0.0100
    simulator: bad teacher/seed-0..2 distilled/auc = 0.6787 ± 0.0073
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from tfdistill.losses import DistillationLoss, Hint, SigmoidSoftLabel
from tfdistill.models import DcnV2, Dnn, Net
from tfdistill.spec import FeatureSpec
from tfdistill.study.recipe import Recipe, Schedule
from tfdistill.trainers import Transfer, Weight

__all__ = [
    "Pair",
    "alone",
    "auxiliary_head",
    "default_pair",
    "joint",
    "pair_transfer",
    "rankers",
    "teacher",
    "two_stage",
]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A teacher and the student that is served in its place.

    Args:
        teacher: The large net; any architecture of `tfdistill.models`, any features.
        fine: The small net; it must not read privileged features to be served.
    """

    teacher: Net
    fine: Net

    @property
    def recipe(self) -> Recipe:
        """Both nets with the settings that all recipes of a pair share, no transfer."""
        return rankers({"teacher": self.teacher, "fine": self.fine})


def default_pair(spec: FeatureSpec, *, without: Collection[str] = ()) -> Pair:
    """Returns a DCN-v2 teacher of all features and a small DNN of the served ones.

    Args:
        spec: The features.
        without: Further features that the student does without.

    Raises:
        ValueError: If a name in `without` is no feature.
    """
    hidden = set(spec.select(without).names) if without else set()
    served = tuple(n for n in spec.non_privileged().names if n not in hidden)
    return Pair(
        Net(DcnV2(units=(256, 128), dropout=0.2), spec.names),
        Net(Dnn(units=(32, 16)), served),
    )


def joint(pair: Pair) -> Recipe:
    """Returns the recipe that trains both at once, with soft labels and a hint.

    The student reads the teacher's tables and trains them too.

    Args:
        pair: The two nets.
    """
    soft = pair_transfer("fine_soft", "teacher", "fine", SigmoidSoftLabel())
    hint = pair_transfer(
        "fine_hint", "teacher_hidden", "fine_hidden_hint", Hint(), weight=1e-3
    )
    return pair.recipe.changed(
        transfers=(soft, hint),
        loss_weights={"fine": 0.3},
    )


def teacher(pair: Pair) -> Recipe:
    """Returns the recipe of the teacher alone: the first of two stages.

    Args:
        pair: The two nets.
    """
    return pair.recipe.only("teacher")


def alone(pair: Pair) -> Recipe:
    """Returns the recipe of the student without a teacher: the baseline.

    Args:
        pair: The two nets.
    """
    return pair.recipe.only("fine")


def two_stage(
    pair: Pair,
    loss: DistillationLoss | None = None,
    *,
    weight: float = 1.0,
    hard: float = 0.3,
    unlabelled: int = 0,
    stored: str | None = None,
) -> Recipe:
    """Returns the recipe of the student under a trained teacher: the second stage.

    Give `train` a teacher with the signal `"score"`, such as
    `FrozenTeacher(model, {"score": "teacher"})`, or say where the requests have its
    scores.

    Args:
        pair: The two nets.
        loss: How the logits are compared; soft labels at T = 1 by default, which keep
            the student calibrated.
        weight: Weight of the transfer.
        hard: Weight of the labels; 0 where the student lacks features of the teacher
            and the labels would teach it what it can't know.
        unlabelled: Drawn pairs per request that only the teacher scores (UKDSL,
            arXiv:2502.06834); stored scores have none for them.
        stored: Name of the teacher's scores, among those of the requests.
    """
    loss, source = loss or SigmoidSoftLabel(), stored or "score"
    transfer = pair_transfer("fine_soft", source, "fine", loss, weight=weight)
    return alone(pair).changed(
        transfers=(transfer,),
        loss_weights={"fine": hard},
        negatives=unlabelled,
        label_negatives=False,
        stored=(stored,) if stored else (),
    )


def auxiliary_head(
    pair: Pair, loss: DistillationLoss | None = None, *, weight: float = 1.0
) -> Recipe:
    """Returns the recipe of a student whose served head learns from the labels alone.

    The teacher teaches a second head over the same trunk, so that its bias, or that of
    a temperature, does not reach the predicted rates. The head is not served.

    Args:
        pair: The two nets.
        loss: How the logits are compared; soft labels by default.
        weight: Weight of the transfer.

    Reference:
        Liang et al., ExFM, 2025, arXiv:2502.17494; arXiv:2408.14678.
    """
    transfer = pair_transfer(
        "fine_soft", "score", "fine_aux", loss or SigmoidSoftLabel(), weight=weight
    )
    return alone(pair).changed(transfers=(transfer,), auxiliary=("fine",))


def rankers(nets: Mapping[str, Net]) -> Recipe:
    """Returns the recipe of rankers with the settings that all such recipes share.

    Args:
        nets: The nets by name; there is no transfer between them yet.
    """
    return Recipe(
        nets,
        schedule=Schedule(epochs=10, negatives=0, learning_rate=2e-3, rows_l2=1e-4),
    )


def pair_transfer(
    name: str,
    source: str,
    target: str,
    loss: DistillationLoss,
    *,
    weight: Weight = 1.0,
    teacher_gradient: bool = False,
) -> Transfer:
    """Returns a transfer on all unmasked pairs, labelled or not, by their weight.

    Args:
        name: As for `Transfer`.
        source: As for `Transfer`.
        target: As for `Transfer`.
        loss: As for `Transfer`.
        weight: As for `Transfer`.
        teacher_gradient: As for `Transfer`.
    """
    return Transfer(
        name,
        source,
        target,
        loss,
        weight=weight,
        mask="mask",
        weights="pair_weight",
        teacher_gradient=teacher_gradient,
    )
