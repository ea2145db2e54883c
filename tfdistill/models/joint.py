"""One network of one or more nets over shared tables: a teacher and its students."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import tensorflow as tf

from tfdistill import _keras
from tfdistill.layers.embeddings import FeatureEmbeddings
from tfdistill.layers.towers import SqueezeLast
from tfdistill.models.architectures import Architecture, as_float32
from tfdistill.models.inputs import layer_names
from tfdistill.models.sharing import Representation, Sharing
from tfdistill.names import check_name, renamed, safe_name
from tfdistill.spec import FeatureSpec

__all__ = ["JointNetwork", "Net", "Task", "joint_network"]

Task = Literal["ranking", "recall"]
"""What a net is for: to order a list by labels, or to find items of the catalogue."""


@dataclasses.dataclass(frozen=True)
class Net:
    """One net of a joint network: what it reads and how it is built.

    Args:
        architecture: For example `Dnn(units=(64, 32))`.
        features: Names of the features that it reads, of all scopes.
        task: `"ranking"`: it learns from the labels of lists. `"recall"`: it learns by
            its transfers, is judged over the whole catalogue and served as a query and
            an item tower, so its architecture gives `name_query` and `name_item`, as
            `TwoTower` does.

    Raises:
        ValueError: If there is no such task.

    Example:
        >>> from tfdistill.models import Dnn, TwoTower
        >>> Net(Dnn(units=(64, 32)), ("age", "item_id")).scores("fine")
        {'fine': ''}
        >>> Net(TwoTower(), ("age", "item_id"), task="recall").task
        'recall'
    """

    architecture: Architecture
    features: tuple[str, ...]
    task: Task = "ranking"

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise ValueError(
                f"Net: task must be one of {list(get_args(Task))}, got {self.task!r}."
            )

    def require(self, task: Task, what: str) -> None:
        """Refuses a net that is for something else.

        Args:
            task: What it should be for.
            what: What needs it, for the error.

        Raises:
            ValueError: If it has another task.
        """
        if self.task != task:
            raise ValueError(
                f"{what} needs a net for {task}, got one for {self.task}: say "
                f"Net(..., task={task!r})."
            )

    def scores(self, name: str) -> dict[str, str]:
        """Returns the task of each output that scores, `""` where there is one only.

        Args:
            name: Name of the net.
        """
        tasks: Sequence[str] = getattr(self.architecture, "tasks", ())
        return {f"{name}_{task}": task for task in tasks} or {name: ""}


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
            output: Name of the output, by default all scores of the net.
            scope: `"user"` or `"item"` for an output that depends on one scope only,
                such as the query vector.

        Returns:
            A functional model from the net's features to its outputs, both by name.

        Raises:
            ValueError: If there is no such net or output, or the output depends on
                more than the features of the part.
        """
        wanted = [output or name]
        if output is None and name in self.nets:
            wanted = list(self.nets[name].scores(name))
        if name not in self.nets or not set(wanted) <= set(self.model.output):
            raise ValueError(
                f"There is no net {name!r} with an output {wanted[0]!r}; nets: "
                f"{sorted(self.nets)}, outputs: {sorted(self.model.output)}."
            )
        spec = self.spec.select(self.nets[name].features)
        features = spec.scope(scope) if scope else spec.features
        inputs = {f.name: self.model.input[f.name] for f in features}
        outputs = {output: self.model.output[output] for output in wanted}
        try:
            return _keras.functional(inputs, outputs, name=safe_name(output or name))
        except ValueError as error:
            raise ValueError(
                f"The output {wanted[0]!r} needs more than the features "
                f"{sorted(inputs)} of net {name!r} with scope={scope!r}; ask its own "
                "net for it, or for both sides (scope=None)."
            ) from error


def joint_network(
    spec: FeatureSpec,
    nets: Mapping[str, Net],
    *,
    blocked: Sequence[str] = (),
    own_tables: Sequence[str] = (),
    representation: Representation | None = None,
    hints: Sequence[tuple[str, str | int]] = (),
    auxiliary: Sequence[str] = (),
) -> JointNetwork:
    """Builds nets that share one `FeatureEmbeddings`.

    With one net it is a plain model. With a teacher and students it is the network of
    joint training: Rocket Launching, a dual-DNN ranker, or one teacher with a student
    for each stage, depending on the nets and on the transfers of the `Distiller`.

    Args:
        spec: All features; each net reads those that it names.
        nets: The nets by name; a name is also the name of the net's output.
        blocked: Names of nets that do not train what they share with the others, such
            as `("fine",)`: they read it behind a gradient block. What no other net
            reads they train themselves. With none, every net trains the shared layers,
            as in Rocket Launching.
        own_tables: Names of nets that share nothing, such as a teacher that knows more
            about users and items than their ids: its tables hold little of what
            students need that have nothing else. Blocks are among the other nets.
        representation: A projection of every feature that the nets share too, above the
            tables: the input representation layer of the dual-DNN ranker.
        hints: Pairs of outputs `(student, teacher)` such as `("fine_hidden_0",
            "teacher_hidden_0")`: adds the output `fine_hidden_0_hint`, the student's
            layer projected to the teacher's width; or, for a teacher outside of the
            network, of a student's output and that width.
        auxiliary: Names of rankers that get a second head: the output `fine_aux`,
            logits `[B, L]` over `fine_hidden`. Distilled on it, the trunk learns from
            the teacher while the served head learns from the labels alone, so that the
            teacher's bias stays out of the predicted rates (ExFM, arXiv:2502.17494).

    Returns:
        The network; its features are those that some net reads.

    Raises:
        ValueError: If a name is unknown or the options contradict each other.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
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
        ...     hints=[("fine_hidden", "teacher_hidden")],
        ... )
        >>> "fine_hidden_hint" in network.model.output
        True
        >>> sorted(network.part("fine").input)
        ['age', 'item_id']

    Reference:
        Zhou et al., Rocket Launching, AAAI 2018, arXiv:1708.04106.
    """
    for name in nets:
        check_name("joint_network: net", name)
    groups = _groups(nets, own_tables)
    behind = _blocked(groups[""], blocked)
    spec = _read(spec, nets)
    inputs = spec.keras_inputs(layer_names(spec.names, nets))
    sharings = {
        name: Sharing(
            _read(spec, group),
            {member: net.features for member, net in group.items()},
            behind & set(group),
            representation,
            inputs,
            name,
        )
        for name, group in groups.items()
    }
    outputs: dict[str, tf.Tensor] = {}
    for name, net in nets.items():
        read = sharings[name if name in groups else ""].read_by(name)
        # Layers have a name that TensorFlow's scopes take; outputs get the net's own
        # back.
        inner = safe_name(name)
        found = net.architecture(read, name=inner)
        _add(outputs, renamed(found, inner, name), name)
        if net.task == "recall":
            towers = (f"{name}_query", f"{name}_item")
            _check_outputs(outputs, towers, f"net {name!r} of task 'recall'")
    for name in auxiliary:
        _add(outputs, _auxiliary(outputs, name), name)
    for student, teacher in hints:
        _add(outputs, _hint(outputs, student, teacher), student)
    model = _keras.functional(inputs, outputs)
    return JointNetwork(model, spec, dict(nets), sharings[""].embeddings)


def _groups(
    nets: Mapping[str, Net], own_tables: Sequence[str]
) -> dict[str, dict[str, Net]]:
    """The nets that share tables, by the name `""`, and by its own each other net."""
    if own_tables and not set(own_tables) < set(nets):
        raise ValueError(
            f"own_tables must be the names of some of the nets {sorted(nets)}, but not "
            f"of all, got {own_tables!r}."
        )
    together = {name: net for name, net in nets.items() if name not in own_tables}
    return {"": together, **{name: {name: nets[name]} for name in own_tables}}


def _read(spec: FeatureSpec, nets: Mapping[str, Net]) -> FeatureSpec:
    """The features that at least one of the nets reads."""
    return spec.select({name for net in nets.values() for name in net.features})


def _blocked(nets: Mapping[str, Net], blocked: Sequence[str]) -> set[str]:
    """Names of the nets behind a gradient block."""
    if not nets:
        raise ValueError("joint_network needs at least one net, got none.")
    if isinstance(blocked, str) or not (set(blocked) < set(nets)):
        raise ValueError(
            "blocked must be the names of some of the nets that share tables, "
            f"{sorted(nets)}, but not of all, got {blocked!r}."
        )
    return set(blocked)


def _add(
    outputs: dict[str, tf.Tensor], new: Mapping[str, tf.Tensor], name: str
) -> None:
    """Adds the outputs of one net or hint, which must not replace another's."""
    repeated = sorted(set(outputs) & set(new))
    if repeated:
        raise ValueError(
            f"The outputs {repeated} of {name!r} exist already; give each net another "
            "name and each student's layer one hint."
        )
    outputs.update(new)


def _auxiliary(outputs: Mapping[str, tf.Tensor], name: str) -> dict[str, tf.Tensor]:
    """A second head of a ranker."""
    _check_outputs(outputs, (f"{name}_hidden",), f"auxiliary head of {name!r}")
    inner = f"{safe_name(name)}_aux"
    logits = tf.keras.layers.Dense(1, name=f"{inner}_logit")(outputs[f"{name}_hidden"])
    return {f"{name}_aux": as_float32(SqueezeLast()(logits), inner)}


def _hint(
    outputs: Mapping[str, tf.Tensor], student: str, teacher: str | int
) -> dict[str, tf.Tensor]:
    """Projects a layer of the student to the width of the teacher's."""
    inside = (student, teacher) if isinstance(teacher, str) else (student,)
    _check_outputs(outputs, inside, f"hint {(student, teacher)}")
    width = outputs[teacher].shape[-1] if isinstance(teacher, str) else teacher
    projection = tf.keras.layers.Dense(width, name=f"{safe_name(student)}_hint")
    return {f"{student}_hint": projection(outputs[student])}


def _check_outputs(
    outputs: Mapping[str, tf.Tensor], wanted: Sequence[str], what: str
) -> None:
    missing = [name for name in wanted if name not in outputs]
    if missing:
        raise ValueError(
            f"The {what} needs the outputs {missing}; there are {sorted(outputs)}."
        )
