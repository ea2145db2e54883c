"""Backup: one atomic checkpoint of everything that a resumed training needs."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill import _keras, _keras_fit
from tfdistill.files import flush, plain_name, read_as, written_whole
from tfdistill.identity import require_same
from tfdistill.trainers.run import shapes_of, state_attributes
from tfdistill.version import __version__

__all__ = ["FORMAT", "Backup", "begun_with"]

FORMAT = 2
"""Of checkpoints and of a step's arithmetic: when either changes, so does this."""

_NAME = "step"


class Backup(tf.keras.callbacks.Callback):
    """Saves a training while it runs and puts it back in its place; made by `fit`.

    One checkpoint holds the model, its optimizer, the running means of the metrics,
    epoch and step, and the state of the callbacks: that of Keras' own `EarlyStopping`,
    `ModelCheckpoint`, `ReduceLROnPlateau` and `History`, and of any callback whose
    `state_attributes` names its attributes. TensorFlow writes it beside the former one,
    and when it is on the disk one small file that names the current one is renamed:
    whenever the process dies, or the machine, a whole checkpoint is current. What a
    killed process left is removed by the next one, which holds the folder's lock.

    Keras' `BackupAndRestore` is not used: it saves neither the callbacks' state nor
    the metrics.

    Args:
        directory: Where the checkpoint is.
        identity: What identifies the run before its first step, JSON values: a
            checkpoint holds that of the run that began it.
        callbacks: The run's other callbacks; this one comes after them.
        steps_per_epoch: Steps in an epoch.
        save_every: Steps between two checkpoints within an epoch; None for none. The
            end of each epoch has one in any case.

    Raises:
        ValueError: If the checkpoint can't be read, has another format or is another
            run's; of nets of other shapes when training begins.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        identity: Mapping[str, Any],
        callbacks: Sequence[tf.keras.callbacks.Callback],
        *,
        steps_per_epoch: int,
        save_every: int | None,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True  # reads no logs: a step needn't wait for them
        self._directory = Path(directory)
        stateful = [callback for callback in callbacks if state_attributes(callback)]
        self._stateful = {
            f"{type(callback).__name__}_{index}": callback
            for index, callback in enumerate(stateful)
        }
        self._steps_per_epoch = steps_per_epoch
        self._save_every = save_every or steps_per_epoch
        self._identity = dict(identity)
        self._run = _RunState()
        self._metric_values: list[np.ndarray] = []
        self._path = _read(self._directory, self._run)
        self._remove_others(self._path)

    @property
    def resumes(self) -> bool:
        """Whether there was a checkpoint to go on from."""
        return self._path is not None

    @property
    def start_step(self) -> int:
        """The number of steps that were done when the checkpoint was written."""
        if not self.resumes:
            return 0
        return self._run["epoch"] * self._steps_per_epoch + self._run["step"]

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and step to begin at; no epoch is left if the run was stopped early."""
        if not self.resumes:
            return 0, 0
        if self._run["stopped"]:
            return self.params["epochs"], 0
        return self._run["epoch"], self._run["step"]

    def on_train_begin(self, logs: Any = None) -> None:
        """Restore the checkpoint, if there is one, over what the callbacks reset."""
        if self.resumes:
            self._restore()
        epoch, self._step = self.position
        _keras_fit.resume_at(self.model, epoch, self._step, self.start_step)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put back the metrics of an epoch that goes on; Keras has just reset them."""
        self._epoch, self._whole = epoch, False
        if self._step:
            for variable, value in zip(
                _metric_variables(self.model), self._metric_values
            ):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save where a multiple of `save_every` was passed, within the epoch."""
        before, self._step = self._step, batch + 1
        if self.model.stop_training:
            return
        self._whole = self._step == self._steps_per_epoch
        passed = self._step // self._save_every > before // self._save_every
        if passed and not self._whole:
            self._save(self._epoch, self._step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save, unless the epoch was cut short (by a NaN, say): then it is repeated."""
        self._step = 0
        if self._whole:
            self._save(epoch + 1, 0)

    def _checkpoint(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(
            model=self.model,
            optimizer=self.model.optimizer,
            metrics=_metric_variables(self.model),
            run=self._run,
        )

    def _save(self, epoch: int, step: int) -> None:
        self._run.value = {
            "format": FORMAT,
            "version": __version__,
            "keras": _keras.VERSION,
            "identity": self._identity,
            "shapes": self._shapes(),
            "learning_rate": _learning_rate(self.model),
            "epoch": epoch,
            "step": step,
            "stopped": self.model.stop_training,
            "callbacks": {
                key: {
                    name: getattr(callback, name) for name in state_attributes(callback)
                }
                for key, callback in self._stateful.items()
            },
        }
        name = f"{_NAME}-{epoch * self._steps_per_epoch + step}"
        path = self._checkpoint().write(str(self._directory / name))
        for file in self._directory.glob(f"{name}.*"):
            flush(file)
        with written_whole(self._directory / "checkpoint") as state:
            state.write_text(f'model_checkpoint_path: "{name}"\n')
        self._remove_others(path)

    def _remove_others(self, path: str | None) -> None:
        """Removes former checkpoints, and what a killed process wrote of one."""
        own = None if path is None else Path(path).name
        for left in self._directory.glob(f"{_NAME}-*"):
            ours = re.fullmatch(rf"({_NAME}-\d+)(\..*|_temp)", left.name)
            if not ours or left.name.startswith(f"{own}."):
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()

    def compare(self, model: tf.keras.Model, epochs: int) -> None:
        """Refuses to go on with another run, or with one that was trained longer.

        Args:
            model: The model, as it is before anything is restored.
            epochs: Epochs that are asked for, in total.
        """
        if not self.resumes:
            return
        saved, current = self._run["identity"], dict(self._identity)
        begun = model.optimizer.iterations.numpy() == self.start_step
        if begun and _learning_rate(model) == self._run["learning_rate"]:
            # A callback may have changed it since: it is as the checkpoint has it.
            current["optimizer"] = {
                name: saved["optimizer"].get(name, value) if _is_rate(name) else value
                for name, value in current["optimizer"].items()
            }
        # Layers repeat by number what a recipe has by name: they come last.
        last = {"layers": None, "wiring": None}
        self._require({**saved, **last}, {**current, **last})
        self._require(saved, current)
        if self.start_step > epochs * self._steps_per_epoch:
            done = self.start_step / self._steps_per_epoch
            raise ValueError(
                f"The run in {str(self._directory)!r} has been trained for {done:g} "
                f"epochs, and its weights are of no earlier one, got "
                f"epochs={epochs}. Ask for {math.ceil(done)} or more, or give the "
                "shorter run another folder."
            )

    def _require(self, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
        require_same(
            saved,
            current,
            what=f"The run in {str(self._directory)!r}",
            anew="Delete this folder to begin anew, or give the new run another one.",
        )

    def _restore(self) -> None:
        self._require(self._run["shapes"], self._shapes())
        self.model.optimizer.build(self.model.trainable_variables)
        with _reading(str(self._path)):
            status = self._checkpoint().read(self._path)
            status.assert_existing_objects_matched().expect_partial()
            for key, state in self._run["callbacks"].items():
                for name, value in state.items():
                    if name == "best_weights" and value is not None:
                        value = [np.asarray(weight) for weight in value]  # counters too
                    setattr(self._stateful[key], name, value)
        self._metric_values = [v.numpy() for v in _metric_variables(self.model)]

    def _shapes(self) -> dict[str, str]:
        """What is known when every variable is made."""
        return {
            "weights": shapes_of(self.model.weights),
            "metrics": shapes_of(_metric_variables(self.model)),
        }


class _RunState(tf.train.experimental.PythonState):
    """JSON values with numpy arrays among them, as one entry of a checkpoint."""

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        return self.value[key]

    def serialize(self) -> bytes:
        arrays: list[np.ndarray] = []

        # NumPy's arrays lie beside the text by number, as JSON has none.
        def refer(value: Any) -> Any:
            if isinstance(value, np.generic):
                return value.item()
            arrays.append(np.asarray(value))
            return {"array": len(arrays)}

        text = json.dumps(self.value, default=refer)
        file = io.BytesIO()
        np.savez(file, np.array(text), *arrays)
        return file.getvalue()

    def deserialize(self, string_value: bytes) -> None:
        with np.load(io.BytesIO(string_value), allow_pickle=False) as file:

            def resolve(value: dict[str, Any]) -> Any:
                if list(value) == ["array"]:
                    return file[f"arr_{value['array']}"]
                return value

            self.value = json.loads(str(file["arr_0"]), object_hook=resolve)


def begun_with(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what the run of a backup was begun with, as JSON values.

    Raises:
        ValueError: If there is no backup, or none that can be read.
    """
    run = _RunState()
    if _read(directory, run) is None:
        raise ValueError(f"There is no backup of a run in {os.fspath(directory)!r}.")
    identity: dict[str, Any] = run["identity"]
    return identity


def _reading(path: str | Path) -> contextlib.AbstractContextManager[None]:
    remedy = f"Delete the directory {str(Path(path).parent)!r} to start over."
    return read_as(path, "the backup of a run", remedy=remedy)


def _read(directory: str | os.PathLike[str], run: _RunState) -> str | None:
    """Reads the run's state, if a checkpoint is there, and returns its path."""
    folder = Path(directory)
    if not (folder / "checkpoint").exists():
        return None
    with _reading(folder / "checkpoint"):
        state = tf.train.get_checkpoint_state(str(folder))
        if state is None:
            raise ValueError("it names no checkpoint")
        name = plain_name(os.path.relpath(state.model_checkpoint_path, folder))
    path = str(folder / name)
    with _reading(path):
        tf.train.Checkpoint(run=run).read(path).expect_partial()
    if run.value.get("format") != FORMAT:
        version = run.value.get("version", "0.1.0 or before")
        raise ValueError(
            f"The run in {os.fspath(directory)!r} was begun by tfdistill {version}, "
            f"whose backups tfdistill {__version__} can't go on with: finish it "
            "with the version that began it, or delete this folder to begin anew."
        )
    _keras.check_writer(
        run.value.get("keras", "2"),
        f"The run in {os.fspath(directory)!r} was begun",
        "delete this folder to begin anew",
    )
    return path


def _metric_variables(model: tf.keras.Model) -> list[tf.Variable]:
    return [_keras.tf_variable(v) for metric in model.metrics for v in metric.variables]


def _is_rate(name: str) -> bool:
    return name.rpartition(".")[2] == "learning_rate"


def _learning_rate(model: tf.keras.Model) -> float | None:
    """The learning rate as it is now, where it is a number and no schedule."""
    rate = model.optimizer.learning_rate
    return float(rate.numpy()) if hasattr(rate, "assign") else None
