"""Recipe: nets, transfers and settings of one training, and the way to run it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import PairSet, Requests
from tfdistill.data.spec import FeatureSpec
from tfdistill.layers import standalone
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.models import JointNetwork, Net, TwoTower, joint_network
from tfdistill.optimizers import LazyAdam
from tfdistill.trainers import (
    Distiller,
    Evaluation,
    SubmodelCheckpoint,
    Transfer,
    fit,
)
from tfdistill.types import Teacher
from tfdistill.zoo.judge import CatalogueJudge, ListJudge, Recaller

__all__ = ["PRIMARY", "Recipe", "TrainedNet", "train"]

PRIMARY = {"recall": "ndcg@10", "ranking": "gauc"}
"""The validation metric that chooses the epoch of a net, by what the net does."""

_TOWERS = (("query", "user"), ("item", "item"))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that makes one training, besides the data and the seed.

    Args:
        nets: The nets by name. A `TwoTower` is trained for recall by its transfer,
            every other net is a ranker and learns from the labels.
        transfers: The terms of distillation, and recall's loss.
        loss_weights: Factors of the rankers' hard losses; 1 where not given.
        hints: See `joint_network`.
        booster: See `joint_network`.
        shared_gradient: See `joint_network`.
        epochs: Passes over the requests.
        batch_size: Requests in a batch.
        negatives: Sampled items per request.
        learning_rate: Of `LazyAdam`.
        rows_l2: L2 on the gathered rows of the tables.
    """

    nets: Mapping[str, Net]
    transfers: tuple[Transfer, ...] = ()
    loss_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    hints: tuple[tuple[str, str], ...] = ()
    booster: str | None = None
    shared_gradient: str = "both"
    epochs: int = 12
    batch_size: int = 64
    negatives: int = 20
    learning_rate: float = 1e-3
    rows_l2: float = 0.0

    @property
    def rankers(self) -> tuple[str, ...]:
        """Names of the nets that learn from the labels."""
        return tuple(name for name in self.nets if self.task(name) == "ranking")

    def task(self, name: str) -> str:
        """What a net does: `"recall"` or `"ranking"`."""
        two_tower = isinstance(self.nets[name].architecture, TwoTower)
        return "recall" if two_tower else "ranking"

    def monitor(self, name: str) -> str:
        """Name in the logs of the metric that chooses a net's epoch."""
        return f"val_{name}_{PRIMARY[self.task(name)]}"

    def settings(self) -> dict[str, str]:
        """Returns what identifies a run of this recipe; more epochs may follow."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["epochs"]
        fields["transfers"] = [
            (t.name, t.source, t.target, t.loss.get_config(), t.hint_gradient)
            + ((t.weight,) if isinstance(t.weight, float) else ())
            for t in self.transfers
        ]
        return {name: repr(value) for name, value in fields.items()}

    def only(self, name: str) -> Recipe:
        """Returns the recipe of one net alone, otherwise the same: the baseline.

        It keeps the transfers between the net's own outputs, which are hard losses such
        as recall's, and the features, widths, steps and way of choosing the epoch.
        """
        if name not in self.nets:
            raise ValueError(f"The recipe has no net {name!r}, only {list(self.nets)}.")
        own = ("", "_query", "_item", "_hidden")
        outputs = {f"{name}{ending}" for ending in own}
        return dataclasses.replace(
            self,
            nets={name: self.nets[name]},
            transfers=tuple(
                t for t in self.transfers if {t.source, t.target} <= outputs
            ),
            loss_weights={},
            hints=(),
            booster=None,
            shared_gradient="both",
        )

    def network(self, spec: FeatureSpec) -> JointNetwork:
        """Builds the recipe's network over the features of a spec."""
        return joint_network(
            spec,
            self.nets,
            booster=self.booster,
            shared_gradient=self.shared_gradient,
            hints=self.hints,
        )


@dataclasses.dataclass(frozen=True)
class TrainedNet:
    """One net of a finished training at its best epoch, sharing nothing.

    Args:
        models: By output: the ranker, or recall's query and item towers.
        history: The training's logs, a value for each epoch.
    """

    models: Mapping[str, tf.keras.Model]
    history: Mapping[str, list[float]]


def train(
    recipe: Recipe,
    spec: FeatureSpec,
    requests: Requests,
    judge: ListJudge,
    directory: Path,
    *,
    known: PairSet | None = None,
    teacher: Teacher | None = None,
    seed: int = 0,
    verbose: int = 0,
    callbacks: tuple[Any, ...] = (),
) -> dict[str, TrainedNet]:
    """Trains a recipe and returns each net at its own best validation epoch.

    A run that was killed goes on where it stopped when it is called again with the same
    directory, and a finished one is only read.

    Args:
        recipe: What to train.
        spec: The features.
        requests: The training requests.
        judge: Validation; it chooses the epoch of each net.
        directory: Where checkpoints are kept.
        known: Training pairs, which are no negatives.
        teacher: A teacher that is not trained, for transfers from its signals.
        seed: Seed of the weights, the batches, the negatives and the dropout.
        verbose: As in Keras.
        callbacks: Further callbacks.

    Returns:
        The nets by name.
    """
    tf.keras.utils.set_random_seed(seed)
    network = recipe.network(spec)
    distiller = Distiller(network.model, recipe.transfers, teacher=teacher)
    distiller.compile(
        LazyAdam(recipe.learning_rate, rows_l2=recipe.rows_l2),
        loss={name: SigmoidCrossEntropy() for name in recipe.rankers} or None,
        loss_weights={n: recipe.loss_weights.get(n, 1.0) for n in recipe.rankers}
        or None,
    )
    batches = RequestBatches(
        requests,
        batch_size=recipe.batch_size,
        seed=seed,
        negatives=recipe.negatives,
        known=known,
        outputs=tuple(recipe.nets),
    )
    validate = Validation(recipe, network, judge)
    best = {
        name: SubmodelCheckpoint(
            network.part(name),
            directory / f"{name}.weights.h5",
            recipe.monitor(name),
            mode="max",
        )
        for name in recipe.nets
    }
    history = fit(
        distiller,
        batches,
        steps_per_epoch=batches.steps_per_epoch,
        epochs=recipe.epochs,
        callbacks=[Evaluation(validate), *best.values(), *callbacks],
        backup_dir=directory / "backup",
        config={"seed": seed, **recipe.settings()},
        verbose=verbose,
    ).history
    trained = {}
    for name, checkpoint in best.items():
        checkpoint.restore()
        trained[name] = TrainedNet(_taken_out(recipe, network, name), history)
    return trained


def _taken_out(
    recipe: Recipe, network: JointNetwork, name: str
) -> dict[str, tf.keras.Model]:
    """The models that serve a net, independent of the network."""
    if recipe.task(name) == "ranking":
        return {name: standalone(network.part(name))}
    return {
        side: standalone(network.part(name, output=f"{name}_{side}", scope=scope))
        for side, scope in _TOWERS
    }


class Validation:
    """Computes the metrics that choose each net's epoch; made once for a training."""

    def __init__(self, recipe: Recipe, network: JointNetwork, judge: ListJudge) -> None:
        self._judge = judge
        self._recalls = {}
        for name in recipe.nets:
            if recipe.task(name) == "recall":
                self._recalls[name] = _recall_of(network, name, judge)
        nets = [recipe.nets[name] for name in recipe.rankers]
        inputs = {
            feature: network.model.input[feature]
            for feature in network.spec.names
            if any(feature in net.features for net in nets)
        }
        outputs = {name: network.model.output[name] for name in recipe.rankers}
        self._rankers = tf.keras.Model(inputs, outputs) if outputs else None

    def __call__(self) -> dict[str, float]:
        """Returns one metric per net, by name."""
        recall, ranking = PRIMARY["recall"], PRIMARY["ranking"]
        found = {
            f"{n}_{recall}": judged()[recall] for n, judged in self._recalls.items()
        }
        if self._rankers is not None:
            for name, logits in self._judge.logits(self._rankers).items():
                found[f"{name}_{ranking}"] = self._judge.ranking(logits)[ranking]
        return found


def _recall_of(
    network: JointNetwork, name: str, judge: ListJudge
) -> Callable[[], dict[str, float]]:
    """A function that judges a two-tower net as it is at the time of the call."""
    if not isinstance(judge, CatalogueJudge):
        raise ValueError(
            f"Net {name!r} is trained for recall, which needs a CatalogueJudge: it "
            f"ranks the whole catalogue; got {type(judge).__name__}."
        )
    query, item = (
        network.part(name, output=f"{name}_{side}", scope=scope)
        for side, scope in _TOWERS
    )
    return functools.partial(judge.recall, Recaller(query, item, judge.requests))
