"""Distiller: trains a network under its transfers, in one class without phases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfdistill import _keras, _keras_fit
from tfdistill.identity import described
from tfdistill.trainers import stored
from tfdistill.trainers.derived import Derived
from tfdistill.trainers.transfer import Transfer, at_step
from tfdistill.types import Signals, Teacher, TensorDict

__all__ = ["Distiller"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class Distiller(_keras_fit.BuiltModel, tf.keras.Model):
    """Trains a student, or a teacher and its students jointly, in one `fit`.

    `L = sum_o L_o(y_o, z_o) + sum_t weight_t(step) * loss_t(source_t -> target_t)`
    with the hard losses L_o of `compile(loss={...})`, the transfers t and the
    network's own regularisation.

    Two-stage, joint (Rocket Launching, dual DNN) and cascade training are this class
    with other transfers: a jointly trained teacher is one more named output of the
    network; a frozen or logged teacher is a plain object and a source of signals. It
    runs in training and evaluation only: `predict`, checkpoints and SavedModels never
    see it.

    A network of one output, named or not, takes plain losses, metrics and `(x, y)` data
    as in Keras; an output without a name is called by its layer's. With several, they
    are given by output name.

    `save("x.keras")`, and so `ModelCheckpoint`, stores network, transfers, derived
    signals and what was compiled; `load_model` gives the `Distiller` back. Of teachers
    only a `LoggedTeacher` is stored. Another has to be set again, `distiller.teacher =
    FrozenTeacher(model)`, before the loaded one trains or evaluates.

    Args:
        network: The functional model that is trained, with a dict of named outputs or
            one output.
        transfers: The terms of distillation; none gives plain training.
        derived: Signals made of others, by name, such as the items that a stage keeps;
            a transfer names them as it names outputs and features. Each may use those
            before it.
        teacher: A teacher that is not trained, such as `FrozenTeacher(model)`.

    Raises:
        ValueError: If the network's outputs are not named, or a name in the transfers,
            in `compile` or in the batch is not an output: a misspelt key would
            otherwise train without that term, silently.

    Example:
        >>> from tfdistill.losses import SigmoidCrossEntropy, SigmoidSoftLabel
        >>> x = tf.keras.Input([4], name="x")
        >>> outputs = {
        ...     "teacher": tf.keras.layers.Dense(1)(tf.keras.layers.Dense(32)(x)),
        ...     "fine": tf.keras.layers.Dense(1)(x),
        ... }
        >>> distiller = Distiller(
        ...     tf.keras.Model({"x": x}, outputs),
        ...     [Transfer("soft", "teacher", "fine", SigmoidSoftLabel())],
        ... )
        >>> hard = SigmoidCrossEntropy()
        >>> distiller.compile("adam", loss={"teacher": hard, "fine": hard})
        >>> y = tf.ones([8, 1])
        >>> batch = {"x": tf.ones([8, 4])}, {"teacher": y, "fine": y}
        >>> data = tf.data.Dataset.from_tensors(batch)
        >>> sorted(distiller.fit(data, verbose=0).history)
        ['fine_loss', 'loss', 'teacher_loss', 'transfer_soft']

    Reference:
        Zhou et al., Rocket Launching, AAAI 2018, arXiv:1708.04106.
    """

    def __init__(
        self,
        network: tf.keras.Model,
        transfers: Sequence[Transfer] = (),
        *,
        derived: Mapping[str, Derived] | None = None,
        teacher: Teacher | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        output = getattr(network, "output", None)
        if output is None or isinstance(output, (list, tuple)):
            raise ValueError(
                "Distiller needs a functional network whose outputs are a dict of "
                f"names, such as {{'fine': logits}}, or one tensor; got {output!r}."
            )
        names = [transfer.name for transfer in transfers]
        if len(set(names)) != len(names):
            raise ValueError(f"Distiller: a transfer's name repeats in {names}.")
        self.network = network
        self._transfers = tuple(transfers)
        self._derived = tuple((derived or {}).items())
        self.teacher = teacher
        self._transfer_means = [
            tf.keras.metrics.Mean(name=f"transfer_{name}") for name in names
        ]
        self._check_transfers()
        self._readable = False
        self.built = True  # as the network is

    @property
    def outputs_by_name(self) -> list[str]:
        """Names of the network's outputs; of one without a name, its layer's."""
        output = self.network.output
        named = output if isinstance(output, Mapping) else self.network.output_names
        return sorted(named)

    @property
    def teacher(self) -> Teacher | None:
        """The teacher that is not trained; set it anew after loading."""
        return self._teacher

    @teacher.setter
    def teacher(self, teacher: Teacher | None) -> None:
        if isinstance(teacher, (tf.Module, tf.keras.layers.Layer)):
            raise ValueError(
                f"Distiller: the teacher {type(teacher).__name__!r} would be trained "
                "and saved with the student. Give FrozenTeacher(model)."
            )
        self._teacher = teacher
        self.train_function = self.test_function = None  # traced with another one

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies its training besides Keras' own settings, as JSON values."""
        found: dict[str, Any] = described(
            {"transfers": self._transfers, "derived": dict(self._derived)}
        )
        return found

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training as in Keras, checking every name of an output.

        Args:
            optimizer: As in Keras.
            loss: A hard loss for each output that has labels, by name, or None.
            metrics: Metrics by output.
            loss_weights: Factors by output.
            weighted_metrics: Metrics by output that use the sample weights.
            **kwargs: Further arguments of `tf.keras.Model.compile`. XLA is off unless
                `jit_compile` is True: Keras 3 alone would turn it on with a GPU.
        """
        kwargs.setdefault("jit_compile", False)
        by_output = {
            "loss": loss,
            "metrics": metrics,
            "loss_weights": loss_weights,
            "weighted_metrics": weighted_metrics or _keras.NO_WEIGHTED_METRICS,
        }
        for what, given in by_output.items():
            kwargs[what] = self._named(f"compile({what}=)", given)
        super().compile(optimizer=optimizer, **kwargs)
        _keras.compile_losses(
            self, kwargs["loss"], kwargs["loss_weights"], len(self.outputs_by_name)
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded Distiller as it was; Keras calls it.

        Args:
            config: What `get_compile_config` gave.
        """
        self.compile(**tf.keras.utils.deserialize_keras_object(config))
        self.build_optimizer()

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` makes the Distiller of, without a frozen teacher.

        Raises:
            ValueError: If something can't be read back from a file, saying what to do.
        """
        config = stored.packed(
            self.name, self.network, self._transfers, self._derived, self._teacher
        )
        if not self._readable:  # once: it makes another network for a moment
            stored.check_readable(config)
            self._readable = True
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **kwargs: Any) -> Distiller:
        """Makes the Distiller of `get_config`, which Keras calls in `load_model`.

        Args:
            config: What `get_config` gave.
            **kwargs: `custom_objects`, as in Keras.
        """
        return cls(**stored.unpacked(config, **kwargs))

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Does nothing: the network was built when it was read."""

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves to a `.keras` file, and refuses what could not be loaded again.

        Args:
            filepath: The file; its name ends in `.keras`.
            *args: Further arguments of `tf.keras.Model.save`.
            **kwargs: Further arguments of `tf.keras.Model.save`.

        Raises:
            ValueError: If it is another format, or a part can't be read back.
        """
        stored.check_path(filepath)
        tf.keras.utils.serialize_keras_object(self)  # or Keras 3 leaves half a file
        super().save(filepath, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> TensorDict:
        """Runs the network, without any frozen or logged teacher."""
        if isinstance(inputs, Mapping) and isinstance(self.network.input, Mapping):
            missing = sorted(set(self.network.input) - set(inputs))
            if missing:
                raise ValueError(
                    f"The batch lacks the features {missing}; it has {sorted(inputs)}."
                )
            inputs = {name: inputs[name] for name in self.network.input}
        return self.network(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Adds the hard losses, the transfers and the regularisation."""
        y, y_pred, sample_weight = self._by_name(y, y_pred, sample_weight)
        terms = self._transfer_terms(x, y, y_pred, sample_weight)
        terms = [*self.losses, *terms]
        return _keras.total_loss(self, y, y_pred, sample_weight, terms)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Updates the metrics of the outputs with labels, and returns all by name."""
        y, y_pred, sample_weight = self._by_name(y, y_pred, sample_weight)
        y, sample_weight = _keras.labels_by_output(self, y, y_pred, sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _by_name(self, y: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, ...]:
        """Labels, outputs and weights as dicts by output."""
        given = {"labels": y, "outputs": y_pred, "sample weights": sample_weight}
        return tuple(self._named(what, values) for what, values in given.items())

    def _transfer_terms(
        self, x: Any, y: Any, y_pred: Signals, sample_weight: Any
    ) -> list[tf.Tensor]:
        """Computes every transfer and keeps its mean for the logs."""
        taught: Signals = self._teacher(x) if self._teacher is not None else {}
        self._check_sources(taught)
        step = getattr(getattr(self, "optimizer", None), "iterations", 0)
        derived = self._derive(x, {**taught, **y_pred})
        signals = {**taught, **y_pred, **derived}
        features = {**x, **derived} if isinstance(x, Mapping) else derived
        terms = []
        for transfer, mean in zip(self._transfers, self._transfer_means):
            source = None if transfer.source is None else signals[transfer.source]
            # Only a teacher that may miss scores has NaN to mean it: elsewhere NaN is a
            # fault.
            present = None
            if transfer.source in taught and getattr(self._teacher, "may_miss", False):
                present = transfer.loss.present(source)
            value = transfer.value(
                source,
                signals[transfer.target],
                step=step,
                features=features,
                labels=y,
                weights=sample_weight,
                present=present,
            )
            mean.update_state(value)
            terms.append(at_step(transfer.weight, step) * value)
        return terms

    def _derive(self, x: Any, signals: Signals) -> TensorDict:
        """Computes the derived signals, each from all that there is before it."""
        found = {**(x if isinstance(x, Mapping) else {}), **signals}
        derived = {}
        # Each may read the one before it, so the order counts.
        for name, make in self._derived:
            missing = sorted(set(make.reads) - set(found))
            if missing or name in found:
                wrong = f"needs {missing}" if missing else "has another one's name"
                raise ValueError(
                    f"Distiller: the derived signal {name!r} {wrong}; before it, "
                    f"there are {sorted(found)}."
                )
            found[name] = derived[name] = make(found)
        return derived

    def _check_transfers(self) -> None:
        """Rejects targets, and without a teacher sources, that are not there."""
        derived = [name for name, _ in self._derived]
        for transfer in self._transfers:
            if transfer.target not in derived:
                self._check_outputs(f"target of {transfer.name!r}", [transfer.target])
        if self._teacher is None:
            self._check_sources({})

    def _check_sources(self, taught: Signals) -> None:
        outputs = [*self.outputs_by_name, *(name for name, _ in self._derived)]
        for transfer in self._transfers:
            if transfer.source is None:
                continue
            places = (transfer.source in taught) + (transfer.source in outputs)
            if places != 1:
                found = "neither" if not places else "both"
                raise ValueError(
                    f"Transfer {transfer.name!r}: source {transfer.source!r} is "
                    f"{found} a signal of the teacher and an output of the network; "
                    f"signals: {sorted(taught)}, outputs: {outputs}."
                )
            if transfer.teacher_gradient and transfer.source in taught:
                raise ValueError(
                    f"Transfer {transfer.name!r}: teacher_gradient=True needs a source "
                    "that is trained, an output of the network; "
                    f"{transfer.source!r} comes from a teacher that is not."
                )

    def _named(self, what: str, given: Any) -> Any:
        """What is given by output; of a single output, also without its name."""
        if given is None:
            return None
        if len(self.outputs_by_name) == 1 and not isinstance(given, Mapping):
            return {self.outputs_by_name[0]: given}
        if not isinstance(given, Mapping):
            raise ValueError(
                f"Distiller: {what} must be given by output name, a dict with keys "
                f"among {self.outputs_by_name}; got {type(given).__name__}."
            )
        self._check_outputs(what, given)
        return given

    def _check_outputs(self, what: str, names: Iterable[str]) -> None:
        """Rejects names that are not outputs."""
        outputs = self.outputs_by_name
        unknown = sorted(set(names) - set(outputs))
        if unknown:
            raise ValueError(
                f"Distiller: {what} {unknown} is no output of the network; its outputs "
                f"are {outputs}."
            )
