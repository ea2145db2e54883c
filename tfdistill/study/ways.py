"""The four ways to train a recipe: jointly, under a trained teacher, or apart."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from tfdistill import _keras
from tfdistill.identity import require_same
from tfdistill.metrics import metric
from tfdistill.spec import FeatureSpec
from tfdistill.study.nets import Nets
from tfdistill.study.problem import Problem
from tfdistill.study.progress import EpochProgress
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.training import BACKUP, fit_nets, weights_file
from tfdistill.study.validation import measurable
from tfdistill.trainers import FrozenTeacher
from tfdistill.trainers.backup import begun_with
from tfdistill.types import Teacher

__all__ = ["WAYS", "together", "train", "trained_teacher"]

WAYS = ("joint", "frozen", "distilled", "independent")
"""How the nets of a recipe are trained.

- joint: the teacher and its students in one fit;
- frozen: the teacher first, then its students in one pass;
- distilled: the teacher first, then each student in a training of its own;
- independent: each student in a training of its own, from labels alone.

The students of the first two share tables.
"""


def train(
    recipe: Recipe,
    problem: Problem,
    directory: str | os.PathLike[str],
    *,
    training: str = "joint",
    teacher: Teacher | None = None,
    start: Mapping[str, TrainedNet] | None = None,
    seed: int = 0,
    console: Console | None = None,
    callbacks: tuple[Any, ...] = (),
) -> Nets:
    """Trains a recipe on a problem, and returns each net at its best epoch.

    Run again with the same directory it goes on where it stopped, and a finished run is
    only read; a run of another recipe, data, teacher or start is refused there.
    `"frozen"` and `"distilled"` have the same teacher, which is trained once. In every
    way a student is trained for as many steps, with the same nets, batches and
    settings.

    Args:
        recipe: What to train.
        problem: The data.
        directory: Folder of the run.
        training: One of `WAYS`.
        teacher: A teacher that is not trained, for transfers from its signals; by
            default what the batches store of one: `Recipe.stored`.
        start: Trained rankers whose weights the nets of this name start with, to
            fine-tune what `recipe.only(name)` describes.
        seed: Seed of the weights, the batches, the drawn items and the dropout.
        console: Where progress is printed; by default on the terminal.
        callbacks: Further Keras callbacks.

    Returns:
        The nets by name; of `"independent"` the students alone.

    Raises:
        ValueError: If there is no such way, the recipe has no one net that teaches for
            a way that needs it, a net to start with is none or another one of the
            recipe's, a net that stops early shares tables, or the directory has another
            run or another process's.
    """
    if training not in WAYS:
        raise ValueError(f"The training must be one of {WAYS}, got {training!r}.")
    folder = Path(directory)

    def fitted(part: Recipe, label: str, under: Teacher | None) -> Mapping[str, Any]:
        return _fitted(
            part,
            problem,
            folder / label.replace(" ", "-"),
            teacher=under,
            start=start or {},
            seed=seed,
            console=console or Console(),
            label=f"seed {seed}, {label}",
            callbacks=callbacks,
        )

    if training == "joint":
        label = "joint" if len(recipe.nets) > 1 else next(iter(recipe.nets))
        return Nets(fitted(recipe, label, teacher), recipe.students)
    nets: dict[str, TrainedNet] = {}
    if training == "independent":
        for name in recipe.students:
            nets.update(fitted(recipe.only(name), f"{name} alone", teacher))
        return Nets(nets, recipe.students)
    if len(recipe.teachers) != 1:
        raise ValueError(
            f"training={training!r} trains a teacher first, which must be one net of "
            f"the recipe; {list(recipe.teachers)} of {list(recipe.nets)} teach others."
        )
    (name,) = recipe.teachers
    first = recipe.only(name)
    nets.update(fitted(first, name, teacher))
    taught = {t.source for t in recipe.terms.transfers if t.source}
    frozen = trained_teacher(first, problem.spec, folder / name, taught)
    for students in together(recipe, training):
        label = " ".join((*students, "under the teacher"))
        nets.update(fitted(recipe.under(frozen, students), label, frozen))
    return Nets(nets, recipe.students)


def _fitted(
    recipe: Recipe,
    problem: Problem,
    directory: Path,
    *,
    console: Console,
    label: str,
    callbacks: tuple[Any, ...],
    **settings: Any,
) -> dict[str, TrainedNet]:
    """One fit under a bar, whose epochs are chosen by what validation defines."""
    wanted, recipe = recipe.schedule.chosen_by, measurable(recipe, problem.valid)
    chosen = recipe.schedule.chosen_by
    if chosen != wanted:
        console.print(
            f"Validation has no {metric(wanted).label}, which needs a user with labels "
            f"of both kinds: {metric(chosen).label} chooses the epoch."
        )
    with EpochProgress(label, recipe, console) as progress:
        return fit_nets(
            recipe, problem, directory, callbacks=(progress, *callbacks), **settings
        )


def together(recipe: Recipe, training: str) -> list[tuple[str, ...]]:
    """Returns the students that share tables, in a way of training.

    Args:
        recipe: The recipe.
        training: One of `WAYS`.
    """
    if training in ("joint", "frozen"):
        return [recipe.students]
    return [(name,) for name in recipe.students]


def trained_teacher(
    recipe: Recipe, spec: FeatureSpec, directory: Path, signals: Collection[str] = ()
) -> FrozenTeacher:
    """Returns the net that `recipe` left in a directory at its best epoch, as teacher.

    Its signals are named as the outputs of the joint network, those of a hidden layer
    included, so that the transfers are the same.

    Args:
        recipe: What was trained, such as `joint.only("teacher")`: one net.
        spec: The features.
        directory: Where it was trained.
        signals: Further outputs that teach, such as a hidden layer's.

    Raises:
        ValueError: If something else was trained there.
    """
    begun = begun_with(directory / BACKUP)["config"]
    wanted = {"spec": json.loads(spec.to_json()), **recipe.identity()}
    require_same(
        {name: begun.get(name) for name in wanted},
        wanted,
        what=f"The teacher in {str(directory)!r}",
        anew="Train this one in another directory.",
    )
    ((name, net),) = recipe.nets.items()
    network = recipe.network(spec)
    part = network.part(name)
    part.load_weights(str(directory / weights_file(name)))
    every = {*net.scores(name), *signals}
    outputs = {n: tensor for n, tensor in network.model.output.items() if n in every}
    return FrozenTeacher(_keras.functional(part.input, outputs))
