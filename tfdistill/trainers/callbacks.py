"""Callbacks: evaluation by any function, and the best weights of a sub-model."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

__all__ = ["Evaluation", "SubmodelCheckpoint"]


class Evaluation(tf.keras.callbacks.Callback):
    """Puts what a function measures into an epoch's logs, as `val_<name>`.

    For measures that are no mean over batches: GAUC, NDCG over a catalogue, the recall
    of a cascade. `tfdistill.trainers.fit` calls it before every other callback, so
    that `EarlyStopping`, `SubmodelCheckpoint`, `TensorBoard` and the progress bar all
    see the values.

    Args:
        fn: A function without arguments that gives a float by name.
        every: Runs it at epochs 0, every, 2 * every, ... and the last one.

    Raises:
        ValueError: If `every` < 1, or a value is already in the logs (during training).

    Example:
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> evaluation = Evaluation(lambda: {"norm": tf.norm(model.weights[0])})
        >>> data = tf.data.Dataset.from_tensors((tf.ones([4, 2]), tf.ones([4, 1])))
        >>> history = model.fit(data, verbose=0, callbacks=[evaluation])
        >>> sorted(history.history)
        ['loss', 'val_norm']
    """

    def __init__(self, fn: Callable[[], Mapping[str, float]], every: int = 1) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(
                f"`every` must be at least 1. Received: every={every}. It is the "
                "number of epochs from one evaluation to the next."
            )
        self.fn = fn
        self.every = every

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluate, if it's this epoch's turn, and extend `logs` in place.

        Args:
            epoch: The epoch, from 0.
            logs: Keras' dict of the epoch's values, the same for all callbacks.
        """
        last = epoch == self.params["epochs"] - 1
        if logs is None or (epoch % self.every and not last):
            return
        values = {f"val_{name}": float(value) for name, value in self.fn().items()}
        taken = sorted(set(values) & set(logs))
        if taken:
            raise ValueError(
                f"Evaluation: {taken} are in the epoch's logs already. Give the "
                "function's values other names."
            )
        logs.update(values)


class SubmodelCheckpoint(tf.keras.callbacks.Callback):
    """Saves one sub-model's weights whenever its own monitor improves.

    A joint network has several students, and each is at its best in another epoch:
    give each one a `SubmodelCheckpoint`, and `restore()` it after training. The file
    holds the sub-model's weights alone, no teacher and no optimizer. It is written
    beside its place and renamed, so a reader always finds a whole one. The best value
    so far outlives a resumed `tfdistill.trainers.fit`.

    Args:
        submodel: A built model, such as one student; it need not be compiled.
        path: The file, ending in `.weights.h5`; its directory is made.
        monitor: The name in the epoch's logs that decides.
        mode: "max" where higher is better, "min" where lower is.

    Raises:
        ValueError: If `path` or `mode` is none of these, or (during training) the first
            epoch has no value under `monitor`.

    Example:
        >>> import tempfile
        >>> x = tf.keras.Input([2])
        >>> student = tf.keras.Model(x, tf.keras.layers.Dense(1)(x))
        >>> model = tf.keras.Model(x, student.output * 2.0)
        >>> model.compile("sgd", "mse")
        >>> path = os.path.join(tempfile.mkdtemp(), "student.weights.h5")
        >>> best = SubmodelCheckpoint(student, path, monitor="loss", mode="min")
        >>> data = tf.data.Dataset.from_tensors((tf.ones([4, 2]), tf.ones([4, 1])))
        >>> history = model.fit(data, epochs=3, verbose=0, callbacks=[best])
        >>> best.restore()
        >>> best.best == min(history.history["loss"]), best.best_epoch
        (True, 2)
    """

    state_attributes = ("best", "best_epoch")

    def __init__(
        self,
        submodel: tf.keras.Model,
        path: str | os.PathLike[str],
        monitor: str,
        mode: str,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True  # has no batch hooks
        path = os.fspath(path)
        if not path.endswith(_SUFFIX):
            raise ValueError(
                f"`path` must end in {_SUFFIX!r}. Received: path={path!r}. Keras tells "
                "the format by it."
            )
        if mode not in ("min", "max"):
            raise ValueError(
                f"`mode` must be 'min' or 'max'. Received: mode={mode!r}. Use 'max' "
                "where higher is better."
            )
        self.submodel = submodel
        self.path = path
        self.monitor = monitor
        self.best = math.nan
        self.best_epoch: int | None = None
        self._sign = 1 if mode == "max" else -1

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget the best value of a former training."""
        self.best, self.best_epoch = math.nan, None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save if the monitor improved; an epoch without it is passed over.

        Args:
            epoch: The epoch, from 0.
            logs: The epoch's values.
        """
        logs = logs or {}
        if self.monitor not in logs:
            if self.best_epoch is None:
                raise ValueError(
                    f"SubmodelCheckpoint: monitor {self.monitor!r} is not in the "
                    f"epoch's logs. Monitor one of {sorted(logs)}."
                )
            return
        value = float(logs[self.monitor])
        if self.best_epoch is None or self._sign * (value - self.best) > 0:
            self._write()
            self.best, self.best_epoch = value, epoch

    def restore(self) -> None:
        """Load the best weights into the sub-model.

        Raises:
            ValueError: If nothing was saved.
        """
        if not os.path.exists(self.path):
            raise ValueError(
                f"SubmodelCheckpoint: there is no file {self.path!r}. Train first; a "
                "finished training whose file was deleted needs its backup deleted too."
            )
        self.submodel.load_weights(self.path)

    def _write(self) -> None:
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        beside = self.path[: -len(_SUFFIX)] + ".partial" + _SUFFIX
        self.submodel.save_weights(beside)
        os.replace(beside, self.path)


_SUFFIX = ".weights.h5"
