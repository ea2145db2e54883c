"""One network of one or more nets over shared tables: a teacher and its students."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfdistill.data.spec import FeatureSpec
from tfdistill.layers.embeddings import FeatureEmbeddings, embed_features
from tfdistill.layers.gradients import GradientBlock
from tfdistill.models.architectures import Architecture

__all__ = ["JointNetwork", "Net", "joint_network"]


@dataclasses.dataclass(frozen=True)
class Net:
    """One net of a joint network: what it reads and how it is built.

    Args:
        architecture: For example `Dnn(units=(64, 32))`.
        features: Names of the features that it reads, of both sides.
    """

    architecture: Architecture
    features: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class JointNetwork:
    """A functional network with named outputs, and the way to its parts.

    Args:
        model: Features by name to all outputs by name: what the `Distiller` trains.
        spec: The features of the network.
        nets: The nets by name.
        embeddings: The shared tables.
    """

    model: tf.keras.Model
    spec: FeatureSpec
    nets: Mapping[str, Net]
    embeddings: FeatureEmbeddings

    def part(
        self, name: str, *, output: str | None = None, scope: str | None = None
    ) -> tf.keras.Model:
        """Returns one net as a model of its own, sharing all weights with the network.

        Args:
            name: Name of the net.
            output: Name of the output, by default the net's score `name`.
            scope: `"user"` or `"item"` for an output that depends on one side only,
                such as the query vector.

        Returns:
            A functional model from the net's features, by name, to `{output: ...}`.

        Raises:
            ValueError: If there is no such net or output, or the output depends on
                more than the features of the part.
        """
        output = output or name
        if name not in self.nets or output not in self.model.output:
            raise ValueError(
                f"There is no net {name!r} with an output {output!r}; nets: "
                f"{sorted(self.nets)}, outputs: {sorted(self.model.output)}."
            )
        spec = self.spec.select(self.nets[name].features)
        features = spec.scope(scope) if scope else spec.features
        inputs = {f.name: self.model.input[f.name] for f in features}
        outputs = {output: self.model.output[output]}
        try:
            return tf.keras.Model(inputs, outputs, name=output)
        except ValueError as error:
            raise ValueError(
                f"The output {output!r} needs more than the features {sorted(inputs)} "
                f"of net {name!r} with scope={scope!r}; ask its own net for it, or for "
                "both sides (scope=None)."
            ) from error


def joint_network(
    spec: FeatureSpec,
    nets: Mapping[str, Net],
    *,
    booster: str | None = None,
    shared_gradient: str = "both",
    hints: Sequence[tuple[str, str]] = (),
) -> JointNetwork:
    """Builds nets that share one `FeatureEmbeddings`.

    With one net it is a plain model. With a teacher and students it is the network of
    joint training: Rocket Launching, a dual-DNN ranker, or one teacher with a student
    for each stage, depending on the nets and on the transfers of the `Distiller`.

    Args:
        spec: All features; each net reads those that it names.
        nets: The nets by name; a name is also the name of the net's output.
        booster: Name of the net that trains its tables alone under `"booster_only"`.
        shared_gradient: `"both"` (every net trains the shared tables, AAAI 2018) or
            `"booster_only"` (the others read the booster's tables behind a gradient
            block; tables that the booster does not read are trained by their readers).
        hints: Pairs `(student, teacher)`: adds the output `student_hint`, the student's
            last hidden layer projected to the width of `teacher_hidden`.

    Returns:
        The network; its features are those that some net reads.

    Raises:
        ValueError: If a name is unknown or the options contradict each other.

    Example:
        >>> from tfdistill.data.spec import Feature, FeatureSpec, Table
        >>> from tfdistill.models import DcnV2, Dnn
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("user_id", "categorical", "user", table="user"),
        ...         Feature("age", "numeric", "user"),
        ...         Feature("item_id", "categorical", "item", table="item"),
        ...     ),
        ...     tables=(Table("user", dim=8, size=5), Table("item", dim=8, size=9)),
        ... )
        >>> network = joint_network(
        ...     spec,
        ...     {
        ...         "teacher": Net(DcnV2(units=(16,)), spec.names),
        ...         "fine": Net(Dnn(units=(8,)), ("age", "item_id")),
        ...     },
        ...     hints=[("fine", "teacher")],
        ... )
        >>> sorted(network.model.output)
        ['fine', 'fine_hidden', 'fine_hint', 'teacher', 'teacher_hidden']
        >>> sorted(network.part("fine").input)
        ['age', 'item_id']

    Reference:
        Zhou et al., Rocket Launching, AAAI 2018, arXiv:1708.04106.
    """
    _check(nets, booster, shared_gradient)
    spec = spec.select({name for net in nets.values() for name in net.features})
    embeddings = FeatureEmbeddings(spec, name="embeddings")
    inputs = spec.keras_inputs()
    uses = {name: net.features for name, net in nets.items()}
    embedded = embed_features(embeddings, inputs, uses)
    readable = embedded
    if shared_gradient == "booster_only":
        readable = _blocked(embedded, spec, nets[str(booster)])
    outputs: dict[str, tf.Tensor] = {}
    for name, net in nets.items():
        vectors = embedded if name == booster else readable
        user, item = _sides(vectors, spec.select(net.features), name)
        _add(outputs, net.architecture(user, item, name=name), name)
    for student, teacher in hints:
        _add(outputs, _hint(outputs, student, teacher), student)
    return JointNetwork(tf.keras.Model(inputs, outputs), spec, dict(nets), embeddings)


def _check(nets: Mapping[str, Net], booster: str | None, shared_gradient: str) -> None:
    if not nets:
        raise ValueError("joint_network needs at least one net, got none.")
    if shared_gradient not in ("both", "booster_only"):
        raise ValueError(
            "shared_gradient must be 'both' or 'booster_only', got "
            f"{shared_gradient!r}."
        )
    needed = shared_gradient == "booster_only" or booster is not None
    if needed and booster not in nets:
        raise ValueError(
            f"The booster of shared_gradient={shared_gradient!r} must be one of "
            f"{sorted(nets)}, got {booster!r}."
        )


def _blocked(
    embedded: Mapping[str, tf.Tensor], spec: FeatureSpec, booster: Net
) -> dict[str, tf.Tensor]:
    """Blocks the gradient to every table that the booster reads."""
    tables = {table.name for table in spec.select(booster.features).tables}
    return {
        name: GradientBlock()(vectors) if spec[name].table in tables else vectors
        for name, vectors in embedded.items()
    }


def _add(
    outputs: dict[str, tf.Tensor], new: Mapping[str, tf.Tensor], name: str
) -> None:
    """Adds the outputs of one net or hint, which must not replace another's."""
    repeated = sorted(set(outputs) & set(new))
    if repeated:
        raise ValueError(
            f"The outputs {repeated} of {name!r} exist already; give each net another "
            "name and each student one hint."
        )
    outputs.update(new)


def _sides(
    embedded: Mapping[str, tf.Tensor], spec: FeatureSpec, name: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Concatenates the user features `[B, d_u]` and the item features `[B, L, d_i]`."""
    sides = []
    for scope in ("user", "item"):
        parts = [embedded[feature.name] for feature in spec.scope(scope)]
        if not parts:
            raise ValueError(
                f"Net {name!r} reads no {scope} feature, only {list(spec.names)}; give "
                "it features of both sides."
            )
        layer = tf.keras.layers.Concatenate(name=f"{name}_{scope}_features")
        sides.append(layer(parts) if len(parts) > 1 else parts[0])
    return sides[0], sides[1]


def _hint(
    outputs: Mapping[str, tf.Tensor], student: str, teacher: str
) -> dict[str, tf.Tensor]:
    """Projects the student's hidden layer to the width of the teacher's."""
    wanted = (f"{student}_hidden", f"{teacher}_hidden")
    missing = [name for name in wanted if name not in outputs]
    if missing:
        raise ValueError(
            f"The hint {(student, teacher)} needs the outputs {missing}; there are "
            f"{sorted(outputs)}."
        )
    width = outputs[f"{teacher}_hidden"].shape[-1]
    projection = tf.keras.layers.Dense(width, name=f"{student}_hint")
    return {projection.name: projection(outputs[f"{student}_hidden"])}
