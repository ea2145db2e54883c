"""One line of progress for a training."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tfdistill.study.recipe import Recipe

__all__ = ["EpochProgress"]


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
        self._task = self._progress.add_task(
            label, total=recipe.schedule.epochs, values=""
        )
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
            f"{name} {self._recipe.primary(name)} {value:.4f}"
            for name, value in self._best.items()
        ]
        return ", ".join(shown) or "read from the run's folder"
