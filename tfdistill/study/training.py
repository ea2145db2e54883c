"""Trains recipes on requests or on batches that are made elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.pair_set import PairSet
from tfdistill.data.requests import Requests
from tfdistill.data.spec import FeatureSpec
from tfdistill.files import locked
from tfdistill.layers import FeatureEmbeddings
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.models import JointNetwork
from tfdistill.names import safe_name
from tfdistill.optimizers import LazyAdam
from tfdistill.study.judge import ListJudge
from tfdistill.study.recipe import Recipe
from tfdistill.study.rounds import Batches, Rounds
from tfdistill.study.trained import TrainedNet, taken_out
from tfdistill.study.validation import Validation, measurable, recaller_of
from tfdistill.study.weights import copy_weights
from tfdistill.trainers import (
    Distiller,
    Evaluation,
    SubmodelCheckpoint,
    SubmodelEarlyStopping,
    fit,
)
from tfdistill.types import Teacher

__all__ = ["BACKUP", "request_batches", "train", "train_on", "weights_file"]

BACKUP = "backup"
"""The folder of a training that `fit` resumes from."""


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
    batches = request_batches(recipe, requests, directory, known=known, seed=seed)
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


def request_batches(
    recipe: Recipe,
    requests: Requests,
    directory: Path,
    *,
    known: PairSet | None = None,
    seed: int = 0,
) -> Batches:
    """Returns a recipe's batches of requests, in rounds where recall finds candidates.

    Args:
        recipe: What is trained.
        requests: The training requests.
        directory: As for `train`.
        known: As for `train`.
        seed: As for `train`.
    """
    read = {name for net in recipe.nets.values() for name in net.features}
    make = functools.partial(
        RequestBatches,
        requests,
        batch_size=recipe.batch_size,
        seed=seed,
        negatives=recipe.negatives,
        known=known,
        outputs={**recipe.labelled, **dict.fromkeys(recipe.recallers, "")},
        label_negatives=recipe.label_negatives,
        pairs=read & set(requests.listed_pairs),
    )
    if recipe.candidates is None:
        batches: Batches = make()
        return batches
    return Rounds(
        make,
        requests,
        recipe.candidates,
        recipe.epochs,
        directory / BACKUP,
        known=known,
        seed=seed,
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
            directory / weights_file(name),
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
            trained[name] = taken_out(network, name, spec, history)
    return trained


def weights_file(name: str) -> str:
    """The file in which a training keeps the best weights of a net."""
    return f"{safe_name(name)}.weights.h5"


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
