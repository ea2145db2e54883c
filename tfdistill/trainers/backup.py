"""Backup: one atomic checkpoint of everything that a resumed training needs."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.files import plain_name, read_as

__all__ = ["Backup"]

_KERAS_STATE: tuple[tuple[type, tuple[str, ...]], ...] = (
    (
        tf.keras.callbacks.EarlyStopping,
        ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    ),
    (
        tf.keras.callbacks.ModelCheckpoint,
        (
            "best",
            "epochs_since_last_save",
            "_batches_seen_since_last_saving",
            "_last_batch_seen",
        ),
    ),
    (tf.keras.callbacks.ReduceLROnPlateau, ("wait", "best", "cooldown_counter")),
    (tf.keras.callbacks.History, ("epoch", "history")),
)


class Backup(tf.keras.callbacks.Callback):
    """Saves a training while it runs and puts it back in its place; made by `fit`.

    One checkpoint holds the model, its optimizer, the running means of the metrics,
    epoch and step, and the state of the callbacks: that of Keras' own `EarlyStopping`,
    `ModelCheckpoint`, `ReduceLROnPlateau` and `History`, and of any callback whose
    `state_attributes` names its attributes. TensorFlow writes it beside the former one
    and then changes one small file that names the current one, by a rename: whenever
    the process dies, a whole checkpoint is current.

    Keras' `BackupAndRestore` is not used: it saves neither the callbacks' state nor
    the metrics.

    Args:
        directory: Where the checkpoint is.
        batches: As for `fit`; its first batch is part of what identifies the run.
        callbacks: The run's other callbacks; this one comes after them.
        steps_per_epoch: Steps in an epoch.
        save_every: Steps between two checkpoints within an epoch; None for none. The
            end of each epoch has one in any case.
        config: What else identifies the run, JSON values by name.

    Raises:
        ValueError: If the checkpoint can't be read or (when training begins) is another
            run's.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        batches: Callable[[int], tf.data.Dataset],
        callbacks: Sequence[tf.keras.callbacks.Callback],
        *,
        steps_per_epoch: int,
        save_every: int | None,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True  # reads no logs: a step needn't wait for them
        self._directory = os.fspath(directory)
        stateful = [callback for callback in callbacks if _state_attributes(callback)]
        self._stateful = {
            f"{type(callback).__name__}_{index}": callback
            for index, callback in enumerate(stateful)
        }
        self._steps_per_epoch = steps_per_epoch
        self._save_every = save_every or steps_per_epoch
        self._config = json.loads(json.dumps(config))
        self._first_batch = _digest(next(iter(batches(0))))
        self._run = _RunState()
        self._metric_values: list[np.ndarray] = []
        self._path = self._read()

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

    def maybe_load_initial_counters_from_ckpt(
        self, steps_per_epoch: int, initial_epoch: int, mode: Any
    ) -> tuple[int, int]:
        """Tell Keras' `fit` the epoch and step to start at.

        Keras asks the `_training_state` of the model, which `on_train_begin` sets to
        this object, after all callbacks' `on_train_begin`.

        Args:
            steps_per_epoch: Steps in an epoch.
            initial_epoch: The argument of Keras' `fit`.
            mode: Keras' mode: training.

        Returns:
            Epoch and step; the epoch after the last one if the run was stopped early.
        """
        del steps_per_epoch, mode
        if not self.resumes:
            return initial_epoch, 0
        if self._run["stopped"]:
            return self.params["epochs"], 0
        return self._run["epoch"], self._run["step"]

    def on_train_begin(self, logs: Any = None) -> None:
        """Restore the checkpoint, if there is one, over what the callbacks reset."""
        if self.resumes:
            self._restore()
        self._step = self._run["step"] if self.resumes else 0
        self.model._training_state = self

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
            "identity": self._identity(),
            "epoch": epoch,
            "step": step,
            "stopped": self.model.stop_training,
            "callbacks": {
                key: {
                    name: getattr(callback, name)
                    for name in _state_attributes(callback)
                }
                for key, callback in self._stateful.items()
            },
        }
        manager = tf.train.CheckpointManager(
            self._checkpoint(), self._directory, max_to_keep=1, checkpoint_name="step"
        )
        manager.save(checkpoint_number=epoch * self._steps_per_epoch + step)

    def _read(self) -> str | None:
        """Read the run's state, if a checkpoint is there, and return its path."""
        named = os.path.join(self._directory, "checkpoint")
        if not tf.io.gfile.exists(named):
            return None
        with self._reading(named):
            state = tf.train.get_checkpoint_state(self._directory)
            if state is None:
                raise ValueError("it names no checkpoint")
            path = os.path.relpath(state.model_checkpoint_path, self._directory)
            name = plain_name(path)
        path = os.path.join(self._directory, name)
        with self._reading(path):
            tf.train.Checkpoint(run=self._run).read(path).expect_partial()
        return path

    def _reading(self, path: str) -> contextlib.AbstractContextManager[None]:
        remedy = f"Delete the directory {self._directory!r} to start over."
        return read_as(path, "the backup of a run", remedy=remedy)

    def _restore(self) -> None:
        self._compare(self._run["identity"], self._identity())
        self.model.optimizer.build(self.model.trainable_variables)
        with self._reading(str(self._path)):
            status = self._checkpoint().read(self._path)
            status.assert_existing_objects_matched().expect_partial()
            for key, state in self._run["callbacks"].items():
                for name, value in state.items():
                    setattr(self._stateful[key], name, value)
        self._metric_values = [v.numpy() for v in _metric_variables(self.model)]
        self.model._train_counter.assign(self.start_step)

    def _identity(self) -> dict[str, Any]:
        return {
            "steps_per_epoch": self._steps_per_epoch,
            "first_batch": self._first_batch,
            "callbacks": list(self._stateful),
            "optimizer": type(self.model.optimizer).__name__,
            "seeds": _seeds(self.model),
            "weights": _shapes(self.model.weights),
            "metrics": _shapes(_metric_variables(self.model)),
            **{f"config[{key!r}]": value for key, value in self._config.items()},
        }

    def _compare(self, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
        different = [
            f"{name} was {saved.get(name)!r} and is {current.get(name)!r}"
            for name in {**saved, **current}
            if saved.get(name) != current.get(name)
        ]
        if different:
            raise ValueError(
                f"The backup in {self._directory!r} is of another run: "
                f"{'; '.join(different)}. Use another `backup_dir`, or delete this one "
                "to start over."
            )


class _RunState(tf.train.experimental.PythonState):
    """JSON values with numpy arrays among them, as one entry of a checkpoint."""

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        return self.value[key]

    def serialize(self) -> bytes:
        arrays: list[np.ndarray] = []

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


def _state_attributes(callback: tf.keras.callbacks.Callback) -> tuple[str, ...]:
    for kind, names in _KERAS_STATE:
        if isinstance(callback, kind):
            return names
    return getattr(callback, "state_attributes", ())


def _metric_variables(model: tf.keras.Model) -> list[tf.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


def _seeds(model: tf.keras.Model) -> list[int]:
    """Give the seeds that layers were made with, such as `SteppedDropout`'s."""
    seeds = (getattr(module, "seed", None) for module in model.submodules)
    return [seed for seed in seeds if isinstance(seed, int)]


def _shapes(variables: Sequence[tf.Variable]) -> str:
    """Count variables by shape; their names differ from process to process."""
    shapes = [
        f"{variable.dtype.name}{variable.shape.as_list()}" for variable in variables
    ]
    counts = collections.Counter(sorted(shapes))
    return ", ".join(f"{count} of {shape}" for shape, count in counts.items())


def _digest(batch: Any) -> str:
    digest = hashlib.sha256()
    for tensor in tf.nest.flatten(batch, expand_composites=True):
        digest.update(tf.io.serialize_tensor(tensor).numpy())
    return digest.hexdigest()[:16]
