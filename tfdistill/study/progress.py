"""One line of progress for a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tfdistill.metrics import metric
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet
from tfdistill.study.training import request_batches, train_on
from tfdistill.study.validation import measurable
from tfdistill.types import Teacher

__all__ = ["EpochProgress", "train_seeds", "train_shown"]


class EpochProgress(tf.keras.callbacks.Callback):
    """Shows a bar of epochs with the metric that chooses each net's epoch.

    Args:
        label: What is trained.
        recipe: The recipe, for its epochs and nets.
        console: Where to print; one line remains when the training is over.
    """

    def __init__(self, label: str, recipe: Recipe, console: Console) -> None:
        super().__init__()
        self._recipe, self._console, self._label = recipe, console, label
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} epochs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[values]}"),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(label, total=recipe.epochs, values="")
        self._best: dict[str, float] = {}

    def __enter__(self) -> EpochProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        if kind is None:
            seconds = self._progress.tasks[0].elapsed or 0.0
            line = f"{self._label}: {seconds:.0f} s"
            self._console.print(f"{line}, best on validation: {self._values()}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Moves the bar and keeps the best value of each net.

        Args:
            epoch: The epoch, from 0.
            logs: The epoch's values.
        """
        for name in self._recipe.nets:
            value = (logs or {}).get(self._recipe.monitor(name))
            if value is not None:
                best = max if self._recipe.mode(name) == "max" else min
                self._best[name] = best(value, self._best.get(name, value))
        self._progress.update(self._task, completed=epoch + 1, values=self._values())

    def _values(self) -> str:
        shown = [
            f"{name} {self._recipe.judged_by(name)} {value:.4f}"
            for name, value in self._best.items()
        ]
        return ", ".join(shown) or "read from the run's folder"


def train_shown(
    name: str,
    recipe: Recipe,
    problem: Problem,
    directory: Path,
    *,
    console: Console,
    teacher: Teacher | None = None,
    seed: int = 0,
) -> dict[str, TrainedNet]:
    """Trains a recipe on a problem under a bar.

    Args:
        name: What is trained, for the bar.
        recipe: What to train.
        problem: The data.
        directory: Where checkpoints are kept.
        console: Where to print.
        teacher: A teacher that is not trained; by default what the recipe's batches
            carry.
        seed: As for `train`.

    Returns:
        The nets by name.
    """
    chosen = recipe.chosen_by
    recipe = measurable(recipe, problem.valid)
    if recipe.chosen_by != chosen:
        console.print(
            f"Validation has no {metric(chosen).label}, which needs a user with labels "
            f"of both kinds: {metric(recipe.chosen_by).label} chooses the epoch."
        )
    if recipe.source is not None:
        batches = recipe.source(problem, recipe, seed)
    else:
        batches = request_batches(
            recipe,
            problem.train,
            directory,
            known=problem.known,
            teacher=teacher,
            seed=seed,
        )
    with EpochProgress(f"seed {seed}, {name}", recipe, console) as progress:
        return train_on(
            batches,
            recipe,
            problem.spec,
            problem.valid,
            directory,
            teacher=teacher or recipe.logged,
            seed=seed,
            callbacks=(progress,),
        )


def train_seeds(
    recipes: Mapping[str, Recipe],
    problem: Problem,
    out: Path,
    *,
    seeds: Sequence[int],
    console: Console,
    teachers: Mapping[str, Teacher] | None = None,
) -> list[dict[str, dict[str, TrainedNet]]]:
    """Trains every recipe with every seed, each in a folder of its own.

    Args:
        recipes: The recipes by name.
        problem: The data.
        out: Folder of the run.
        seeds: The seeds.
        console: Where to print.
        teachers: The teachers of those recipes that have one.

    Returns:
        For each seed, the nets of each recipe by name.
    """
    return [
        {
            name: train_shown(
                name,
                recipe,
                problem,
                out / f"seed-{seed}" / name.replace(" ", "-"),
                console=console,
                teacher=(teachers or {}).get(name),
                seed=seed,
            )
            for name, recipe in recipes.items()
        }
        for seed in seeds
    ]
