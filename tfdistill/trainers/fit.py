"""fit: Keras' fit for endless data, which goes on where a killed process was."""

from __future__ import annotations

import functools
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfdistill import _keras, _keras_fit
from tfdistill.files import locked
from tfdistill.trainers.backup import Backup
from tfdistill.trainers.callbacks import Evaluation
from tfdistill.trainers.run import identity_of

__all__ = ["fit"]


def fit(
    model: tf.keras.Model,
    batches: Callable[[int], tf.data.Dataset],
    *,
    steps_per_epoch: int,
    epochs: int,
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
    backup_dir: str | os.PathLike[str] | None = None,
    save_every: int | None = None,
    config: Mapping[str, Any] | None = None,
    validation_data: tf.data.Dataset | None = None,
    verbose: int = 1,
) -> tf.keras.callbacks.History:
    """Train a compiled model; with `backup_dir`, resume it bit by bit.

    This is `model.fit`, with two additions.

    **Order.** Every `Evaluation` is called first and every `EarlyStopping` last, the
    other callbacks between them as given: all see the evaluation's values, and none
    sees weights that `EarlyStopping` has put back.

    **Resuming.** Run the same program again after the process has died, at whatever
    moment, and it ends with the weights, optimizer slots, callbacks' states and history
    of a run that was not broken. What the program has to do for it:

    - `batches(s)` gives the batches from step s on, as `tfdistill.data.RequestBatches`
      does: they depend on (seed, step), not on the batches before;
    - what is random in the model depends on checkpointed state: `SteppedDropout`, not
      `Dropout`; the initial weights on a fixed seed;
    - schedules read `optimizer.iterations` or the epoch.

    One number may differ in its last bit, as between any two runs: the total `loss` and
    `val_loss` of a model with several losses. TensorFlow adds three or more scalars in
    the order in which other threads let go of them, even with
    `enable_op_determinism()`. Monitor one output's loss, or an `Evaluation`.

    A run that has finished keeps its backup: run again, the program gets the final
    weights and the whole history back and trains nothing; with more `epochs` it goes
    on, unless it was stopped at an epoch's end, as by `EarlyStopping`; with fewer than
    it was trained for it is refused. An epoch that was cut short, as by
    `TerminateOnNaN`, is not kept: it starts again from the last checkpoint within it,
    or from its beginning. One process writes to a directory; a second one is refused
    while the first one lives.

    **The same run.** A checkpoint holds what its run was begun with: losses, transfers,
    the optimizer's settings with the learning rate, layers and what each is called on,
    callbacks, the data, the teacher and `config`. What differs later is refused by
    name, before any training; only `epochs`, `save_every` and `verbose` may change.
    Batches that have an `identity`, JSON values, are known by it, ours by all of their
    data; of any other function the first eight batches and some later ones are
    compared, so give what stands for its files in `config`. To begin anew, delete the
    directory.

    Args:
        model: A compiled `tf.keras.Model`, such as a `Distiller`.
        batches: Makes the endless dataset that starts at the given step.
        steps_per_epoch: Steps in an epoch.
        epochs: Epochs in total, those of earlier processes included.
        callbacks: Keras callbacks. Keras' own keep their state, and so does any that
            names its attributes in `state_attributes`.
        backup_dir: Directory of the backup; None for none.
        save_every: Steps between two checkpoints within an epoch, beside the one at
            the end of each. None suits short epochs.
        config: Further JSON values that identify the run, such as what decides the
            initial weights, and where the data come from.
        validation_data: A finite dataset for `model.evaluate` at each epoch's end.
        verbose: As in Keras: 0 silent, 1 progress bar, 2 one line per epoch.

    Returns:
        Keras' `History`, from the first epoch on, whichever process ran it.

    Raises:
        ValueError: If a number is out of range, `save_every` or `config` is given
            without `backup_dir`, `batches` gives a finite dataset, Keras'
            `BackupAndRestore` is among the callbacks, the backup is another run's or a
            longer one's, or another process writes to it.

    Example:
        >>> def batches(start_step):
        ...     def batch(step):
        ...         x = tf.random.stateless_normal([8, 2], seed=[1, step])
        ...         return x, x[:, :1]
        ...     return tf.data.Dataset.counter(start_step).map(batch)
        >>> import tempfile
        >>> backup_dir = tempfile.mkdtemp()
        >>> for epochs in (1, 3):
        ...     model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
        ...     model.compile("adam", "mse")
        ...     history = fit(
        ...         model, batches, steps_per_epoch=5, epochs=epochs,
        ...         backup_dir=backup_dir, verbose=0,
        ...     )
        >>> len(history.history["loss"]), int(model.optimizer.iterations)
        (3, 15)
    """
    _check(steps_per_epoch=steps_per_epoch, epochs=epochs, save_every=save_every)
    _check_resuming(callbacks, backup_dir, save_every, config)
    _keras_fit.check_fit(model, steps_per_epoch)
    callbacks = [*sorted(callbacks, key=_rank), tf.keras.callbacks.History()]
    train = functools.partial(
        _train, model, batches, steps_per_epoch, epochs, validation_data, verbose
    )
    if backup_dir is None:
        return train(callbacks, 0)
    _warn_of_random_layers(model)
    with locked(backup_dir):
        identity = identity_of(
            model,
            batches,
            callbacks,
            steps_per_epoch=steps_per_epoch,
            config=_json(config or {}),
            validation_data=validation_data,
        )
        backup = Backup(
            backup_dir,
            identity,
            callbacks,
            steps_per_epoch=steps_per_epoch,
            save_every=save_every,
        )
        backup.compare(model, epochs)
        return train([*callbacks, backup], backup.start_step)


def _train(
    model: tf.keras.Model,
    batches: Callable[[int], tf.data.Dataset],
    steps_per_epoch: int,
    epochs: int,
    validation_data: tf.data.Dataset | None,
    verbose: int,
    callbacks: Sequence[tf.keras.callbacks.Callback],
    start_step: int,
) -> tf.keras.callbacks.History:
    """Keras' fit from a step on."""
    dataset = _endless(batches(start_step))
    if start_step and model.optimizer.iterations.numpy() != start_step:
        model.evaluate(dataset, steps=1, verbose=0)  # makes every variable and metric
        model.test_function = None  # or evaluation would keep a trace that fits both
    _keras_fit.begin_within(model, start_step % steps_per_epoch)
    try:
        return model.fit(
            dataset,
            shuffle=False,  # a dataset has its order; Keras 3 warns of True
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            callbacks=callbacks,
            validation_data=validation_data,
            verbose=verbose,
        )
    finally:
        _keras_fit.without_position(model)


def _json(config: Mapping[str, Any]) -> Any:
    """The values as they come back from a file; TypeError for any others."""
    return json.loads(json.dumps(config))


def _rank(callback: tf.keras.callbacks.Callback) -> int:
    if isinstance(callback, Evaluation):
        return 0
    return 2 if isinstance(callback, tf.keras.callbacks.EarlyStopping) else 1


def _check(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f"`{name}` must be at least 1, got {name}={number}.")


def _check_resuming(
    callbacks: Sequence[tf.keras.callbacks.Callback],
    backup_dir: Any,
    save_every: int | None,
    config: Mapping[str, Any] | None,
) -> None:
    if backup_dir is None and (save_every is not None or config is not None):
        raise ValueError(
            "`save_every` and `config` are about the backup, got "
            f"save_every={save_every}, config={config}, backup_dir=None. Give a "
            "`backup_dir`."
        )
    if any(isinstance(c, tf.keras.callbacks.BackupAndRestore) for c in callbacks):
        raise ValueError(
            "`fit` resumes by itself, got a BackupAndRestore among `callbacks`, "
            "which would read the data from the first batch again. Give a `backup_dir`."
        )


def _endless(dataset: tf.data.Dataset) -> tf.data.Dataset:
    if isinstance(dataset, tf.data.Dataset) and dataset.cardinality() >= 0:
        raise ValueError(
            "`batches` must give an endless dataset, got one of "
            f"{int(dataset.cardinality())} batches. An epoch would start at another "
            "batch in a resumed run; repeat() it, then skip(start_step)."
        )
    return dataset


def _warn_of_random_layers(model: tf.keras.Model) -> None:
    kinds = (
        tf.keras.layers.Dropout,
        tf.keras.layers.AlphaDropout,
        tf.keras.layers.GaussianDropout,
        tf.keras.layers.GaussianNoise,
    )
    names = sorted(
        layer.name
        for layer in _keras.layers_of(model)
        if isinstance(layer, kinds) and getattr(layer, "rate", 1.0) > 0
    )
    if names:
        warnings.warn(
            f"The layers {names} draw from a generator that no checkpoint holds: a "
            "resumed run will differ from an unbroken one. Use "
            "tfdistill.layers.SteppedDropout.",
            stacklevel=3,
        )
