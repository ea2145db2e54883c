"""The four ways to train a recipe: jointly, under a trained teacher, or apart."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Collection
from pathlib import Path

from rich.console import Console

from tfdistill import _keras
from tfdistill.data.spec import FeatureSpec
from tfdistill.identity import require_same
from tfdistill.study.nets import Nets
from tfdistill.study.problem import Problem
from tfdistill.study.progress import train_shown
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.training import BACKUP, weights_file
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
    seed: int = 0,
    console: Console | None = None,
) -> Nets:
    """Trains a recipe on a problem, and returns each net at its best epoch.

    Run again with the same directory it goes on where it stopped, and a finished run is
    only read. `"frozen"` and `"distilled"` have the same teacher, which is trained
    once. In every way a student is trained for as many steps, with the same nets,
    batches and settings.

    Args:
        recipe: What to train.
        problem: The data.
        directory: Folder of the run.
        training: One of `WAYS`.
        teacher: A teacher that is not trained, for transfers from its signals.
        seed: Seed of the weights, the batches, the drawn items and the dropout.
        console: Where progress is printed; by default on the terminal.

    Returns:
        The nets by name; of `"independent"` the students alone.

    Raises:
        ValueError: If there is no such way, the recipe has no one net that teaches for
            a way that needs it, or the directory has another run.
    """
    if training not in WAYS:
        raise ValueError(f"The training must be one of {WAYS}, got {training!r}.")
    folder = Path(directory)
    run = functools.partial(
        _shown,
        problem=problem,
        directory=folder,
        seed=seed,
        console=console or Console(),
    )
    if training == "joint":
        return Nets(run("joint", recipe, teacher), recipe.students)
    nets: dict[str, TrainedNet] = {}
    if training == "independent":
        for name in recipe.students:
            nets.update(run(f"{name} alone", recipe.only(name), teacher))
        return Nets(nets, recipe.students)
    if len(recipe.teachers) != 1:
        raise ValueError(
            f"training={training!r} trains a teacher first, which must be one net of "
            f"the recipe; {list(recipe.teachers)} of {list(recipe.nets)} teach others."
        )
    (name,) = recipe.teachers
    first = recipe.only(name)
    nets.update(run(name, first, teacher))
    taught = {t.source for t in recipe.transfers if t.source}
    frozen = trained_teacher(first, problem.spec, folder / name, taught)
    for students in together(recipe, training):
        label = " ".join((*students, "under the teacher"))
        nets.update(run(label, recipe.under(frozen, students), frozen))
    return Nets(nets, recipe.students)


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
    wanted = {"spec": json.loads(spec.to_json()), **recipe.settings()}
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


def _shown(
    name: str,
    recipe: Recipe,
    teacher: Teacher | None,
    *,
    problem: Problem,
    directory: Path,
    seed: int,
    console: Console,
) -> dict[str, TrainedNet]:
    """One training, in a folder of its own and with one line of progress."""
    return train_shown(
        name,
        recipe,
        problem,
        directory / name.replace(" ", "-"),
        console=console,
        teacher=teacher,
        seed=seed,
    )
