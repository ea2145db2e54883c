"""Callbacks: evaluation by any function; a sub-model's best weights and early stop."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfdistill import _keras
from tfdistill.files import flush, folder_beside
from tfdistill.identity import fingerprint

__all__ = ["Evaluation", "SubmodelCheckpoint", "SubmodelEarlyStopping"]


class Evaluation(tf.keras.callbacks.Callback):
    """Puts what a function measures into an epoch's logs, as `val_<name>`.

    For measures that are no mean over batches: GAUC, NDCG over a catalogue, the recall
    of a cascade. `tfdistill.trainers.fit` calls it before every other callback, so
    that `EarlyStopping`, `SubmodelCheckpoint`, `TensorBoard` and the progress bar all
    see the values.

    Args:
        fn: A function without arguments that gives a float by name. An `identity`, JSON
            values, tells a resumed run whether it evaluates by the same data.
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
                f"`every` must be at least 1, got every={every}. It is the "
                "number of epochs from one evaluation to the next."
            )
        self.fn = fn
        self.every = every

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its values, as far as it is known."""
        return {"every": self.every, "evaluator": getattr(self.fn, "identity", None)}

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
    beside its place, flushed to the disk and renamed, so a reader always finds a whole
    one. The best value so far outlives a resumed `tfdistill.trainers.fit`, and so does
    the weights' fingerprint: another run's file at this place is not restored.

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

    state_attributes = ("best", "best_epoch", "saved")

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
                f"`path` must end in {_SUFFIX!r}, got path={path!r}. Keras tells "
                "the format by it."
            )
        if mode not in ("min", "max"):
            raise ValueError(
                f"`mode` must be 'min' or 'max', got mode={mode!r}. Use 'max' "
                "where higher is better."
            )
        self.submodel = submodel
        self.path = path
        self.monitor = monitor
        self.best = math.nan
        self.best_epoch: int | None = None
        self.saved: str | None = None
        self._sign = 1 if mode == "max" else -1

    @property
    def identity(self) -> dict[str, Any]:
        """What decides which weights it saves."""
        return {"monitor": self.monitor, "higher": self._sign > 0}

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget the best value of a former training."""
        self.best, self.best_epoch, self.saved = math.nan, None, None

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
            ValueError: If nothing was saved, or the file holds other weights by now.
        """
        if not os.path.exists(self.path):
            raise ValueError(
                f"SubmodelCheckpoint: there is no file {self.path!r}. Train first; a "
                "finished training whose file was deleted needs its backup deleted too."
            )
        self.submodel.load_weights(self.path)
        if self.saved not in (None, _weights(self.submodel)):
            raise ValueError(
                f"SubmodelCheckpoint: {self.path!r} holds other weights than those "
                "that this training saved. Delete the training's backup to train anew."
            )

    def _write(self) -> None:
        parent, name = os.path.split(os.path.abspath(self.path))
        os.makedirs(parent, exist_ok=True)
        with folder_beside(parent, f".{name}-") as folder:
            self.submodel.save_weights(folder / name)
            flush(folder / name)
            os.replace(folder / name, self.path)
            flush(folder.parent)
        self.saved = _weights(self.submodel)


class SubmodelEarlyStopping(tf.keras.callbacks.Callback):
    """Ends the training of one sub-model at its best epoch, while others go on.

    In joint training a teacher that is past its best goes on teaching what it overfits.
    With this callback it goes back to its best weights, as with Keras' `EarlyStopping`,
    and from then on it teaches as a frozen teacher would, without dropout; a step then
    costs its forward pass alone. The state outlives a resumed `tfdistill.trainers.fit`.

    Its variables must be no other sub-model's: what it shares would be frozen with it.

    Args:
        checkpoint: The sub-model's checkpoint, which comes before this callback.
        patience: Epochs without a better value after which it stops.

    Raises:
        ValueError: If `patience` < 1.

    Example:
        >>> import tempfile
        >>> x = tf.keras.Input([1])
        >>> teacher, student = (
        ...     tf.keras.Model(x, tf.keras.layers.Dense(1)(x)) for _ in range(2)
        ... )
        >>> model = tf.keras.Model(x, teacher.output + student.output)
        >>> model.compile("sgd", "mse")
        >>> path = os.path.join(tempfile.mkdtemp(), "teacher.weights.h5")
        >>> best = SubmodelCheckpoint(teacher, path, monitor="val_score", mode="max")
        >>> scores = iter([0.7, 0.6, 0.6])
        >>> data = tf.data.Dataset.from_tensors((tf.ones([4, 1]), tf.ones([4, 1])))
        >>> history = model.fit(data, epochs=3, verbose=0, callbacks=[
        ...     Evaluation(lambda: {"score": next(scores)}),
        ...     best,
        ...     rest := SubmodelEarlyStopping(best),
        ... ])
        >>> rest.stopped_epoch
        1
    """

    state_attributes = ("stopped_epoch",)

    def __init__(self, checkpoint: SubmodelCheckpoint, patience: int = 1) -> None:
        super().__init__()
        self._supports_tf_logs = True  # has no batch hooks
        if patience < 1:
            raise ValueError(
                f"`patience` must be at least 1, got patience={patience}. It is "
                "the number of epochs without a better value."
            )
        self.checkpoint = checkpoint
        self.patience = patience
        self.stopped_epoch: int | None = None
        self.identity = {"patience": patience}
        self._found: list[tuple[tf.keras.layers.Layer, bool]] = []  # while it rests

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget a former training, also one that was interrupted."""
        self.stopped_epoch = None
        if self._found:
            self._leave_as_found()
            self.model.make_train_function(force=True)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Freeze the sub-model if it has stopped, here or in a former process.

        Args:
            epoch: The epoch, from 0.
            logs: Unused.
        """
        # Keras keeps the traced step: without a new one the frozen layers would be
        # trained.
        if self.stopped_epoch is not None and not self._found:
            model = self.checkpoint.submodel
            self._found = [
                (layer, layer.trainable) for layer in _keras.layers_of(model)
            ]
            model.trainable = False
            self.model.make_train_function(force=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Go back to the best weights, if it is time.

        Args:
            epoch: The epoch, from 0.
            logs: Unused.
        """
        best = self.checkpoint.best_epoch
        if self.stopped_epoch is None and best is not None:
            if epoch - best >= self.patience:
                self.checkpoint.restore()
                self.stopped_epoch = epoch

    def on_train_end(self, logs: Any = None) -> None:
        """Leave the sub-model as it was found: it can be trained again."""
        if self._found:
            self._leave_as_found()
            self.model.train_function = None

    def _leave_as_found(self) -> None:
        for layer, trainable in self._found:
            layer.trainable = trainable
        self._found = []


_SUFFIX = ".weights.h5"


def _weights(model: tf.keras.Model) -> str:
    return fingerprint([weight.numpy() for weight in model.weights])
