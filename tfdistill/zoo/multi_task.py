"""A multi-task ranker teaches a small one, task by task, in one training.

Run: `train(recipe(default_pair(spec, ("click", "satisfied"))), spec, requests, ...)`
with requests that have these `tasks`.

KuaiRec, 5 seeds. No measurable gain on the main task, nor on the rare one (5 % of the
labels), whose teacher loses when both are trained at once; train it first:

    ranking: kuairec/tasks: teacher/seed-0..4 teacher_satisfied/auc = 0.8408 ± 0.0018
    ranking: kuairec/tasks: alone/seed-0..4 fine_finished/auc = 0.8325 ± 0.0013
    ranking: kuairec/tasks: alone/seed-0..4 fine_satisfied/auc = 0.8415 ± 0.0014
    ranking: kuairec/tasks: distilled/seed-0..4 fine_finished/auc = 0.8336 ± 0.0009
    ranking: kuairec/tasks: distilled/seed-0..4 fine_satisfied/auc = 0.8402 ± 0.0019
"""

from __future__ import annotations

from collections.abc import Mapping

from tfdistill.losses import DistillationLoss, SigmoidSoftLabel
from tfdistill.models import Mmoe, Net
from tfdistill.spec import FeatureSpec
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.ranking_pair import Pair, pair_transfer

__all__ = ["default_pair", "recipe"]


def default_pair(spec: FeatureSpec, tasks: tuple[str, ...]) -> Pair:
    """Returns an MMoE teacher of all features and a DNN of the served ones.

    The student has a shared bottom and a head for each task.

    Args:
        spec: The features.
        tasks: Names of the tasks, as in `Requests.tasks`.
    """
    return Pair(
        Net(Mmoe(tasks, units=(128,), tower=(64,), dropout=0.2), spec.names),
        Net(
            Mmoe(tasks, experts=1, units=(32,), tower=(16,)),
            spec.non_privileged().names,
        ),
    )


def recipe(
    pair: Pair,
    *,
    loss: DistillationLoss | None = None,
    soft: Mapping[str, float] | None = None,
    hard: Mapping[str, float] | None = None,
) -> Recipe:
    """Returns the recipe that trains both at once, with one transfer for each task.

    `L = sum_k L_t(y_k, z_tk) + hard_k L_s(y_k, z_sk) + soft_k loss(z_tk -> z_sk)` over
    the tasks k, each with labels of its own: where one has none, its teacher still
    teaches.

    Args:
        pair: Two nets with tasks; the student's are some or all of the teacher's.
        loss: How the logits of a task are compared; soft labels by default.
        soft: Weight of a task's transfer, 1 where not given.
        hard: Weight of a task's labels for the student, 0.3 where not given.

    Raises:
        ValueError: If the student has no tasks or one that the teacher has not, or a
            weight is of no task of the student.
    """
    soft, hard = soft or {}, hard or {}
    known, tasks = (
        set(net.scores("").values()) - {""} for net in (pair.teacher, pair.fine)
    )
    wrong = sorted(tasks - known) + sorted({*soft, *hard} - tasks)
    if wrong or not tasks:
        raise ValueError(
            f"multi_task: the student has the tasks {sorted(tasks)} and the teacher "
            f"{sorted(known)}; {wrong} must be tasks of both. Give both an "
            "architecture with tasks, such as Mmoe."
        )
    outputs = pair.fine.scores("fine")
    transfers = [
        pair_transfer(
            f"{output}_soft",
            f"teacher_{task}",
            output,
            loss or SigmoidSoftLabel(),
            weight=soft.get(task, 1.0),
        )
        for output, task in outputs.items()
    ]
    return pair.recipe.changed(
        transfers=tuple(transfers),
        loss_weights={output: hard.get(task, 0.3) for output, task in outputs.items()},
    )
