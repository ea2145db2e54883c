"""A fine ranker of your own features under a teacher that is trained with it.

Run: `tfdistill distill mine.parquet --spec spec.json --request request --label click`.

Two stages (`teacher`, then `distilled` beside `alone`) on the simulator, 3 seeds; what
`benchmarks/simulator.py` measured, by run. A good teacher helps, most where it sees
more; a bad one harms:

    simulator: main/seed-0..2 teacher/auc = 0.7812 ± 0.0058
    simulator: main/seed-0..2 alone/auc = 0.7089 ± 0.0100
    simulator: main/seed-0..2 distilled/auc = 0.7247 ± 0.0123
    simulator: equal features, ample data/seed-0..2 teacher/auc = 0.7807 ± 0.0085
    simulator: equal features, ample data/seed-0..2 alone/auc = 0.7555 ± 0.0174
    simulator: equal features, ample data/seed-0..2 distilled/auc = 0.7753 ± 0.0105
    simulator: bad teacher/seed-0..2 teacher/auc = 0.5683 ± 0.0071
    simulator: bad teacher/seed-0..2 alone/auc = 0.7089 ± 0.0100
    simulator: bad teacher/seed-0..2 distilled/auc = 0.6790 ± 0.0081
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from tfdistill.data.spec import FeatureSpec
from tfdistill.losses import Hint, SigmoidSoftLabel
from tfdistill.models import DcnV2, Dnn, Net
from tfdistill.trainers import Transfer
from tfdistill.zoo.recipe import Recipe

__all__ = ["alone", "distilled", "joint", "teacher"]


def joint(
    spec: FeatureSpec, *, without: Collection[str] = (), epochs: int = 10
) -> Recipe:
    """Returns the recipe of a DCN-v2 teacher and a small DNN student, trained jointly.

    The teacher reads all features; the student none that is privileged. The student
    reads the teacher's tables and trains them too.

    Args:
        spec: The features.
        without: Further features that the student does without.
        epochs: Passes over the requests.

    Raises:
        ValueError: If a name in `without` is no feature.
    """
    hidden = set(spec.select(without).names) if without else set()
    served = [n for n in spec.non_privileged().names if n not in hidden]
    soft = Transfer("fine_soft", "teacher", "fine", SigmoidSoftLabel(), mask="mask")
    hint = Transfer(
        "fine_hint",
        "teacher_hidden",
        "fine_hidden_hint",
        Hint(),
        weight=1e-3,
        mask="mask",
    )
    return Recipe(
        nets={
            "teacher": Net(DcnV2(units=(256, 128), dropout=0.2), spec.names),
            "fine": Net(Dnn(units=(32, 16)), tuple(served)),
        },
        transfers=(soft, hint),
        loss_weights={"fine": 0.3},
        hints=(("fine_hidden", "teacher_hidden"),),
        epochs=epochs,
        negatives=0,
        learning_rate=2e-3,
        rows_l2=1e-4,
    )


def teacher(spec: FeatureSpec, *, epochs: int = 10) -> Recipe:
    """Returns the recipe of the teacher alone: the first of two stages.

    Args:
        spec: As for `joint`.
        epochs: As for `joint`.
    """
    return joint(spec, epochs=epochs).only("teacher")


def alone(
    spec: FeatureSpec, *, without: Collection[str] = (), epochs: int = 10
) -> Recipe:
    """Returns the recipe of the same student without a teacher: the baseline.

    Args:
        spec: As for `joint`.
        without: As for `joint`.
        epochs: As for `joint`.
    """
    return joint(spec, without=without, epochs=epochs).only("fine")


def distilled(
    spec: FeatureSpec, *, without: Collection[str] = (), epochs: int = 10
) -> Recipe:
    """Returns the recipe of the student under a trained teacher: the second stage.

    Give `train` a teacher with the signal `"score"`, such as
    `FrozenTeacher(model, {"score": "teacher"})`.

    Args:
        spec: As for `joint`.
        without: As for `joint`.
        epochs: As for `joint`.
    """
    soft = Transfer("fine_soft", "score", "fine", SigmoidSoftLabel(), mask="mask")
    student = alone(spec, without=without, epochs=epochs)
    return dataclasses.replace(student, transfers=(soft,), loss_weights={"fine": 0.3})
