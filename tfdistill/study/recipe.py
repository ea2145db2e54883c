"""Recipe: nets, terms, sharing and schedule of one training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfdistill.identity import described
from tfdistill.metrics import metric
from tfdistill.models import (
    JointNetwork,
    Net,
    Representation,
    joint_network,
)
from tfdistill.spec import FeatureSpec
from tfdistill.study.rounds import Batches, Candidates
from tfdistill.trainers import Derived, FrozenTeacher, Transfer, Weight

__all__ = ["PRIMARY", "Recipe", "Schedule", "Sharing", "Terms"]

PRIMARY: Mapping[str, str] = {"recall": "ndcg@10", "ranking": "gauc"}
"""The validation metric that chooses the epoch of a net, by what the net does."""

Source = Callable[[Any, Any, int], Batches]
"""Makes the batches of a problem, for a recipe and a seed."""

_LATE = 10**9  # a step after every warm-up
_HINT = "_hint"  # how `joint_network` ends the name of a projected layer


@dataclasses.dataclass(frozen=True)
class Terms:
    """What is learned: the terms of the loss besides the rankers' labels.

    Args:
        transfers: The terms of distillation, and recall's loss.
        derived: Signals that they need besides: see `Distiller`.
        loss_weights: Factors of the hard losses by output; 1 where not given, and at 0
            an output learns from its transfers alone.
        widths: Widths of the teacher's layers that are outside of the network, by their
            signal.
        auxiliary: Rankers with a second head: see `joint_network`.
        stored: Features of the batches that teach, where there is no other teacher: its
            scores or vectors, NaN where it has none.

    Example:
        >>> Terms(loss_weights={"fine": 0.3}).transfers
        ()
    """

    transfers: tuple[Transfer, ...] = ()
    derived: Mapping[str, Derived] = dataclasses.field(default_factory=dict)
    loss_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    widths: Mapping[str, int] = dataclasses.field(default_factory=dict)
    auxiliary: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()

    @property
    def hints(self) -> tuple[tuple[str, str | int], ...]:
        """The layers that are taught: a transfer to `fine_hidden_hint` says so."""
        return tuple(
            (t.target[: -len(_HINT)], self.widths.get(t.source or "", t.source or ""))
            for t in self.transfers
            if t.target.endswith(_HINT)
        )


@dataclasses.dataclass(frozen=True)
class Sharing:
    """What the nets share, and who trains it.

    Args:
        blocked: Nets that read shared tables without training them: `joint_network`.
        own_tables: Nets that share none: see `joint_network`.
        representation: A shared projection above the tables: see `joint_network`.
        frozen_tables: Whether the tables keep the values that they start with, as when
            a trained student is fine-tuned on a recent window.

    Example:
        >>> Sharing(own_tables=("teacher",)).blocked
        ()
    """

    blocked: tuple[str, ...] = ()
    own_tables: tuple[str, ...] = ()
    representation: Representation | None = None
    frozen_tables: bool = False


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long, on which batches and how fast the nets learn, and when they stop.

    Args:
        epochs: Passes over the requests.
        batch_size: Requests in a batch.
        negatives: Sampled items per request.
        label_negatives: Whether their label is 0; False leaves them to the teacher.
        candidates: What the recall net finds for the lists while it is trained.
        learning_rate: Of `LazyAdam`.
        annealed: Whether it falls to 0 by a cosine over the epochs.
        rows_l2: L2 on the gathered rows of the tables.
        chosen_by: The validation metric that chooses a ranker's epoch. Where the
            validation lists do not define it, AUC or log loss does: see `measurable`.
        stops_early: Nets with tables of their own that stop after the first epoch that
            is no better, and teach with their best weights: `SubmodelEarlyStopping`.

    Example:
        >>> Schedule(epochs=3, batch_size=64).steps(requests=100)
        6
    """

    epochs: int = 12
    batch_size: int = 64
    negatives: int = 20
    label_negatives: bool = True
    candidates: Candidates | None = None
    learning_rate: float = 1e-3
    annealed: bool = False
    rows_l2: float = 0.0
    chosen_by: str = PRIMARY["ranking"]
    stops_early: tuple[str, ...] = ()

    def steps(self, requests: int) -> int:
        """Returns the steps of a training on so many requests."""
        return -(-requests // self.batch_size) * self.epochs


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that makes one training, besides the data and the seed.

    Args:
        nets: By name. Those of the task `"recall"` learn by their transfers, rankers
            from the labels too.
        terms: What they learn.
        sharing: What they share.
        schedule: How they are trained.
        alone: What is changed in the recipe of a net that is trained alone, found by as
            many trials: fields by the name of the net.
        source: Makes the batches of a problem; by default its training requests, with
            drawn negatives. They have an identity of their own.

    Example:
        >>> from tfdistill.models import Dnn
        >>> recipe = Recipe({"fine": Net(Dnn((8,)), ("age", "price"))})
        >>> recipe.changed(epochs=3, learning_rate=0.01).schedule.epochs
        3
    """

    nets: Mapping[str, Net]
    terms: Terms = Terms()
    sharing: Sharing = Sharing()
    schedule: Schedule = Schedule()
    alone: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    source: Source | None = None

    def changed(self, **fields: Any) -> Recipe:
        """Returns the recipe with other values of some fields, of any of its parts.

        Args:
            **fields: Values by name, such as `epochs=3` or `nets=...`.

        Raises:
            ValueError: If there is no such field.
        """
        given, parts = dict(fields), {}
        for name in ("terms", "sharing", "schedule"):
            part = given.pop(name, getattr(self, name))
            own = {f.name for f in dataclasses.fields(part)} & set(given)
            parts[name] = dataclasses.replace(part, **{f: given.pop(f) for f in own})
        unknown = sorted(set(given) - {"nets", "alone", "source"})
        if unknown:
            raise ValueError(
                f"A recipe has no fields {unknown}; it has nets, alone, source and "
                + "; ".join(
                    f"{name}: {', '.join(f.name for f in dataclasses.fields(part))}"
                    for name, part in parts.items()
                )
                + "."
            )
        return dataclasses.replace(self, **parts, **given)

    @property
    def rankers(self) -> tuple[str, ...]:
        """Names of the nets that learn from the labels."""
        return tuple(n for n, net in self.nets.items() if net.task == "ranking")

    @property
    def recallers(self) -> tuple[str, ...]:
        """Names of the nets that are trained for recall."""
        return tuple(n for n, net in self.nets.items() if net.task == "recall")

    @property
    def labelled(self) -> dict[str, str]:
        """The task of each output that learns from labels, `""` for the main one."""
        return {
            output: task
            for name in self.rankers
            for output, task in self.nets[name].scores(name).items()
        }

    @property
    def teachers(self) -> tuple[str, ...]:
        """Names of the nets that teach another one."""
        pairs = [
            (self.owner(t.source or ""), self.owner(t.target))
            for t in self.terms.transfers
        ]
        return tuple(n for n in self.nets if any(n == a != b for a, b in pairs))

    @property
    def students(self) -> tuple[str, ...]:
        """Names of the nets that teach no other one."""
        return tuple(name for name in self.nets if name not in self.teachers)

    def owner(self, output: str) -> str:
        """The net that an output is of: `"fine"` has `"fine_hidden_hint"`."""
        owners = [n for n in self.nets if output == n or output.startswith(f"{n}_")]
        return max(owners, key=len, default="")

    def primary(self, name: str) -> str:
        """The metric that chooses a net's epoch."""
        recalls = self.nets[name].task == "recall"
        return PRIMARY["recall"] if recalls else self.schedule.chosen_by

    def monitor(self, name: str) -> str:
        """Name in the logs of the metric that chooses a net's epoch."""
        return f"val_{name}_{self.primary(name)}"

    def mode(self, name: str) -> str:
        """Whether the epoch with the `"max"` or the `"min"` of it is chosen."""
        return "max" if metric(self.primary(name)).gain(1.0, over=0.0) > 0 else "min"

    def identity(self) -> dict[str, Any]:
        """Returns what identifies a run of this recipe; more epochs may follow.

        Not where the learning rate depends on how many there are.
        """
        found: dict[str, Any] = {"nets": described(dict(self.nets))}
        for part in (self.terms, self.sharing, self.schedule):
            fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
            found.update(described(fields))
        if not self.schedule.annealed:
            del found["epochs"]
        return found

    def only(self, name: str) -> Recipe:
        """Returns the recipe of one net alone, otherwise the same: the baseline.

        It keeps the transfers between the net's own outputs, which are hard losses such
        as recall's, unless they need a derived signal, and the features, widths, steps
        and way of choosing the epoch.
        """
        if name not in self.nets:
            raise ValueError(f"The recipe has no net {name!r}, only {list(self.nets)}.")
        own = ("", "_query", "_item", "_hidden")
        outputs = {f"{name}{ending}" for ending in own}

        def kept(transfer: Transfer) -> bool:
            taught = {transfer.source or transfer.target, transfer.target} <= outputs
            return taught and not transfer.signals & set(self.terms.derived)

        recalls = self.nets[name].task == "recall"
        return dataclasses.replace(
            self,
            nets={name: self.nets[name]},
            terms=Terms(tuple(filter(kept, self.terms.transfers))),
            sharing=dataclasses.replace(self.sharing, blocked=(), own_tables=()),
            schedule=dataclasses.replace(
                self.schedule,
                stops_early=(),
                label_negatives=True,
                candidates=self.schedule.candidates if recalls else None,
            ),
            alone={},
        ).changed(**self.alone.get(name, {}))

    def under(self, teacher: FrozenTeacher, students: Sequence[str]) -> Recipe:
        """Returns the recipe of students under a trained teacher, which stays as it is.

        They share tables among themselves, and those that read them behind a block
        still do, unless all others are gone. A weight that warms up has its last value
        from the start, as this teacher has learned already.

        Args:
            teacher: The teacher; its signals are named as the outputs of the network,
                as `trained_teacher` gives them. Give it to the training, too.
            students: Names of the students; each on its own shares nothing.
        """

        def kept(output: str) -> bool:
            return self.owner(output) in students

        blocked = tuple(filter(kept, self.sharing.blocked))
        terms, outputs = self.terms, teacher.model.output
        return self.changed(
            nets={name: self.nets[name] for name in students},
            transfers=tuple(
                dataclasses.replace(transfer, weight=_last(transfer.weight))
                for transfer in terms.transfers
                if kept(transfer.target)
            ),
            loss_weights={n: w for n, w in terms.loss_weights.items() if kept(n)},
            widths={
                **terms.widths,
                **{t: outputs[t].shape[-1] for _, t in terms.hints if t in outputs},
            },
            auxiliary=tuple(filter(kept, terms.auxiliary)),
            blocked=blocked if len(blocked) < len(students) else (),
            own_tables=(),
            stops_early=(),
        )

    def network(self, spec: FeatureSpec) -> JointNetwork:
        """Builds the recipe's network over the features of a spec."""
        return joint_network(
            spec,
            self.nets,
            blocked=self.sharing.blocked,
            own_tables=self.sharing.own_tables,
            representation=self.sharing.representation,
            hints=self.terms.hints,
            auxiliary=self.terms.auxiliary,
        )


def _last(weight: Weight) -> float:
    """The value that a schedule comes to."""
    return float(weight(_LATE) if callable(weight) else weight)
