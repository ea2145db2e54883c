"""Recipe: nets, transfers and settings of one training, and the way to run it."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import PairSet, Requests
from tfdistill.data.spec import FeatureSpec
from tfdistill.files import locked
from tfdistill.identity import described
from tfdistill.layers import FeatureEmbeddings
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.metrics import metric
from tfdistill.models import (
    JointNetwork,
    Net,
    Representation,
    joint_network,
)
from tfdistill.names import safe_name
from tfdistill.optimizers import LazyAdam
from tfdistill.study.judge import ListJudge
from tfdistill.study.rounds import Batches, Candidates, Rounds
from tfdistill.study.trained import TrainedNet, taken_out
from tfdistill.study.validation import (
    PRIMARY,
    Validation,
    measurable,
    recaller_of,
)
from tfdistill.study.weights import copy_weights
from tfdistill.trainers import (
    Derived,
    Distiller,
    Evaluation,
    SubmodelCheckpoint,
    SubmodelEarlyStopping,
    Transfer,
    fit,
)
from tfdistill.types import Teacher

__all__ = ["PRIMARY", "Batches", "Recipe", "TrainedNet", "train", "train_on"]

BACKUP = "backup"
"""The folder of a training that `fit` resumes from."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that makes one training, besides the data and the seed.

    Args:
        nets: By name. Those of the task `"recall"` learn by their transfers, rankers
            from the labels too.
        transfers: The terms of distillation, and recall's loss.
        derived: See `Distiller`.
        loss_weights: Factors of the hard losses by output; 1 where not given, and at 0
            an output learns from its transfers alone.
        hints: See `joint_network`.
        auxiliary: See `joint_network`.
        booster: See `joint_network`.
        shared_gradient: See `joint_network`.
        own_tables: See `joint_network`.
        representation: See `joint_network`.
        stops_early: Nets with tables of their own that stop after the first epoch that
            is no better, and teach with their best weights: `SubmodelEarlyStopping`.
        frozen_tables: Whether the tables keep the values that they start with, as when
            a trained student is fine-tuned on a recent window.
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
    """

    nets: Mapping[str, Net]
    transfers: tuple[Transfer, ...] = ()
    derived: Mapping[str, Derived] = dataclasses.field(default_factory=dict)
    loss_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    hints: tuple[tuple[str, str | int], ...] = ()
    auxiliary: tuple[str, ...] = ()
    booster: str | None = None
    shared_gradient: str | tuple[str, ...] = "both"
    own_tables: tuple[str, ...] = ()
    representation: Representation | None = None
    stops_early: tuple[str, ...] = ()
    frozen_tables: bool = False
    epochs: int = 12
    batch_size: int = 64
    negatives: int = 20
    label_negatives: bool = True
    candidates: Candidates | None = None
    learning_rate: float = 1e-3
    annealed: bool = False
    rows_l2: float = 0.0
    chosen_by: str = PRIMARY["ranking"]

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

    def owner(self, output: str) -> str:
        """The net that an output is of: `"fine"` has `"fine_hidden_hint"`."""
        owners = [n for n in self.nets if output == n or output.startswith(f"{n}_")]
        return max(owners, key=len, default="")

    def judged_by(self, name: str) -> str:
        """The metric that chooses a net's epoch."""
        return PRIMARY["recall"] if self.nets[name].task == "recall" else self.chosen_by

    def monitor(self, name: str) -> str:
        """Name in the logs of the metric that chooses a net's epoch."""
        return f"val_{name}_{self.judged_by(name)}"

    def mode(self, name: str) -> str:
        """Whether the epoch with the `"max"` or the `"min"` of it is chosen."""
        return "max" if metric(self.judged_by(name)).gain(1.0, over=0.0) > 0 else "min"

    def settings(self) -> dict[str, Any]:
        """Returns what identifies a run of this recipe; more epochs may follow.

        Not where the learning rate depends on how many there are.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if not self.annealed:
            del fields["epochs"]
        found: dict[str, Any] = described(fields)
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

        def alone(transfer: Transfer) -> bool:
            taught = {transfer.source or transfer.target, transfer.target} <= outputs
            return taught and not transfer.signals & set(self.derived)

        return dataclasses.replace(
            self,
            nets={name: self.nets[name]},
            transfers=tuple(filter(alone, self.transfers)),
            derived={},
            loss_weights={},
            hints=(),
            auxiliary=(),
            booster=None,
            shared_gradient="both",
            own_tables=(),
            stops_early=(),
            label_negatives=True,
            candidates=self.candidates if self.nets[name].task == "recall" else None,
        )

    def network(self, spec: FeatureSpec) -> JointNetwork:
        """Builds the recipe's network over the features of a spec."""
        return joint_network(
            spec,
            self.nets,
            booster=self.booster,
            shared_gradient=self.shared_gradient,
            own_tables=self.own_tables,
            representation=self.representation,
            hints=self.hints,
            auxiliary=self.auxiliary,
        )


def train(
    recipe: Recipe,
    spec: FeatureSpec,
    requests: Requests,
    judge: ListJudge,
    directory: Path,
    *,
    known: PairSet | None = None,
    teacher: Teacher | None = None,
    start: Mapping[str, TrainedNet] | None = None,
    seed: int = 0,
    verbose: int = 0,
    callbacks: tuple[Any, ...] = (),
) -> dict[str, TrainedNet]:
    """Trains a recipe and returns each net at its own best validation epoch.

    A run that was killed goes on where it stopped when it is called again with the same
    directory, and a finished one is only read. A run of another recipe, spec, data,
    teacher or start is refused there: it needs a directory of its own.

    Args:
        recipe: What to train.
        spec: The features.
        requests: The training requests.
        judge: Validation; it chooses the epoch of each net.
        directory: Where checkpoints are kept.
        known: Training pairs, which are no negatives.
        teacher: A teacher that is not trained, for transfers from its signals.
        start: Trained rankers whose weights the nets of this name start with, to
            fine-tune what `recipe.only(name)` describes.
        seed: Seed of the weights, the batches, the negatives and the dropout.
        verbose: As in Keras.
        callbacks: Further callbacks.

    Returns:
        The nets by name.

    Raises:
        ValueError: If a net to start with is none or another one of the recipe's, a net
            that stops early shares tables, the directory has another run, or another
            process trains there.
    """
    make = functools.partial(
        RequestBatches,
        requests,
        batch_size=recipe.batch_size,
        seed=seed,
        negatives=recipe.negatives,
        known=known,
        outputs={**recipe.labelled, **dict.fromkeys(recipe.recallers, "")},
        label_negatives=recipe.label_negatives,
    )
    batches: Batches = make()
    if recipe.candidates is not None:
        batches = Rounds(
            make,
            requests,
            recipe.candidates,
            recipe.epochs,
            directory / BACKUP,
            known=known,
            seed=seed,
        )
    return train_on(
        batches,
        recipe,
        spec,
        judge,
        directory,
        teacher=teacher,
        start=start,
        seed=seed,
        verbose=verbose,
        callbacks=callbacks,
    )


def train_on(
    batches: Batches,
    recipe: Recipe,
    spec: FeatureSpec,
    judge: ListJudge,
    directory: Path,
    *,
    teacher: Teacher | None = None,
    start: Mapping[str, TrainedNet] | None = None,
    seed: int = 0,
    verbose: int = 0,
    callbacks: tuple[Any, ...] = (),
) -> dict[str, TrainedNet]:
    """Trains a recipe on batches that are made elsewhere; otherwise as `train`.

    Args:
        batches: Makes the endless dataset from a step on, such as `RecallBatches`.
        recipe: As for `train`, and so are the other arguments.
        spec: The features.
        judge: Validation.
        directory: Where checkpoints are kept.
        teacher: A teacher that is not trained.
        start: Trained rankers to start with.
        seed: Seed of the weights and the dropout.
        verbose: As in Keras.
        callbacks: Further callbacks.

    Returns:
        The nets by name.
    """
    tf.keras.utils.set_random_seed(seed)
    recipe = measurable(recipe, judge)
    network = recipe.network(spec)
    unknown = sorted(set(start or {}) - set(recipe.nets))
    if unknown:
        raise ValueError(
            f"train: the nets {unknown} to start with are none of the recipe's "
            f"{list(recipe.nets)}; name them as the recipe does."
        )
    if not set(recipe.stops_early) <= set(recipe.own_tables):
        raise ValueError(
            f"What a net shares would stop with it: stops_early={recipe.stops_early} "
            f"must be among own_tables={recipe.own_tables}."
        )
    for name, trained_net in (start or {}).items():
        copy_weights(trained_net.models[name], network.part(name))
    for layer in network.model.layers:
        if isinstance(layer, FeatureEmbeddings):
            layer.trainable = not recipe.frozen_tables
    steps = recipe.epochs * batches.steps_per_epoch
    distiller = _compiled(recipe, network, teacher, steps)
    validate = Validation(recipe, network, judge)
    best = {
        name: SubmodelCheckpoint(
            network.part(name),
            directory / f"{safe_name(name)}.weights.h5",
            recipe.monitor(name),
            mode=recipe.mode(name),
        )
        for name in recipe.nets
    }
    stops = [SubmodelEarlyStopping(best[name]) for name in recipe.stops_early]
    config = {
        "seed": seed,
        "spec": json.loads(spec.to_json()),
        "start": {name: net.fingerprint for name, net in (start or {}).items()},
        **recipe.settings(),
    }
    trained = {}
    with locked(directory):
        for epochs in _ends(batches, recipe, network):
            history = fit(
                distiller,
                batches,
                steps_per_epoch=batches.steps_per_epoch,
                epochs=epochs,
                callbacks=[Evaluation(validate), *best.values(), *stops, *callbacks],
                backup_dir=directory / BACKUP,
                config=config,
                verbose=verbose,
            ).history
        for name, checkpoint in best.items():
            checkpoint.restore()
            trained[name] = taken_out(network, name, history)
    return trained


def _ends(batches: Batches, recipe: Recipe, network: JointNetwork) -> Iterable[int]:
    """The epochs at which `fit` stops: the last one, or the end of each round."""
    if not isinstance(batches, Rounds):
        return (recipe.epochs,)
    names = recipe.recallers
    if not names:
        return batches.ends(None)
    student = "recall" if "recall" in names else names[0]  # not its two-tower teacher
    return batches.ends(recaller_of(network, student, batches.requests))


def _compiled(
    recipe: Recipe, network: JointNetwork, teacher: Teacher | None, steps: int
) -> Distiller:
    """The network under the recipe's losses, transfers and optimiser."""
    distiller = Distiller(
        network.model, recipe.transfers, derived=recipe.derived, teacher=teacher
    )
    outputs = recipe.labelled
    rate: Any = recipe.learning_rate
    if recipe.annealed:
        rate = tf.keras.optimizers.schedules.CosineDecay(rate, steps)
    distiller.compile(
        LazyAdam(rate, rows_l2=recipe.rows_l2),
        loss={output: SigmoidCrossEntropy() for output in outputs} or None,
        loss_weights={o: recipe.loss_weights.get(o, 1.0) for o in outputs} or None,
    )
    return distiller
