"""A teacher is trained first, and then teaches three students in one pass.

Run: `tfdistill cascade --data-dir DIR --training frozen`.

5 seeds; docs/cascade.md has all ways, and the simulator:

    unified: movielens-1m/frozen/seed-0..4 page/ndcg@10 = 0.2068 ± 0.0054
    unified: citeulike/frozen/seed-0..4 page/ndcg@10 = 0.0613 ± 0.0018
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from tfdistill import _keras
from tfdistill.data.spec import FeatureSpec
from tfdistill.identity import require_same
from tfdistill.trainers import FrozenTeacher, Schedule
from tfdistill.trainers.backup import begun_with
from tfdistill.zoo.recipe import BACKUP, Recipe
from tfdistill.zoo.unified_cascade import STAGES

__all__ = ["students", "trained_teacher"]

_LATE = 10**9  # a step after every warm-up


def students(
    unified: Recipe, taught_by: FrozenTeacher, stages: Sequence[str] = STAGES
) -> Recipe:
    """Returns the recipe of students under the trained teacher: the second stage.

    They share tables among themselves, and those that read them behind a block still
    do, unless all others are gone.

    Args:
        unified: What `unified_cascade.recipe` returned. A weight that warms up has its
            last value from the start, as this teacher has learned already.
        taught_by: What `trained_teacher` returned; give it to `train`, too.
        stages: The students; each one on its own makes stages that share nothing.
    """

    def kept(name: str) -> bool:
        return name.split("_")[0] in stages

    shared = unified.shared_gradient
    blocked = () if isinstance(shared, str) else tuple(filter(kept, shared))
    hidden = taught_by.model.output.get("teacher_hidden")
    return dataclasses.replace(
        unified,
        nets={name: unified.nets[name] for name in stages},
        transfers=tuple(
            dataclasses.replace(transfer, weight=_last(transfer.weight))
            for transfer in unified.transfers
            if kept(transfer.target)
        ),
        loss_weights={n: w for n, w in unified.loss_weights.items() if kept(n)},
        hints=tuple(
            (name, hidden.shape[-1]) for name, _ in unified.hints if kept(name)
        ),
        booster=None,
        shared_gradient=blocked if 0 < len(blocked) < len(stages) else "both",
        own_tables=(),
        stops_early=(),
    )


def trained_teacher(
    recipe: Recipe, spec: FeatureSpec, directory: Path
) -> FrozenTeacher:
    """Returns the teacher that `train(recipe, ..., directory)` left at its best epoch.

    Its signals are named as the outputs of the joint network, those of the teacher's
    hidden layer included, so that the transfers are the same.

    Args:
        recipe: What was trained, such as `unified.only("teacher")`: the first stage.
        spec: The features.
        directory: Where it was trained.

    Raises:
        ValueError: If something else was trained there.
    """
    begun = begun_with(directory / BACKUP)["config"]
    wanted = {"spec": json.loads(spec.to_json()), **recipe.settings()}
    require_same(
        {name: begun.get(name) for name in wanted},
        wanted,
        what=f"The teacher in {str(directory)!r}",
        anew="Train this one in another directory.",
    )
    network = recipe.network(spec)
    part = network.part("teacher")
    part.load_weights(str(directory / "teacher.weights.h5"))
    outputs = {
        name: output
        for name, output in network.model.output.items()
        if name in ("teacher", "teacher_hidden")  # two towers have no hidden layer
    }
    return FrozenTeacher(_keras.functional(part.input, outputs))


def _last(weight: Schedule) -> float:
    """The value that a schedule comes to."""
    return float(weight(_LATE) if callable(weight) else weight)
