"""One fit of a recipe's nets, resumable, each net at its own best epoch."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.files import locked
from tfdistill.layers import FeatureEmbeddings
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.models import JointNetwork
from tfdistill.names import safe_name
from tfdistill.optimizers import LazyAdam
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.rounds import Batches, Rounds
from tfdistill.study.trained import TrainedNet, taken_out
from tfdistill.study.validation import Validation, recaller_of
from tfdistill.study.weights import copy_weights
from tfdistill.trainers import (
    Distiller,
    Evaluation,
    LoggedTeacher,
    SubmodelCheckpoint,
    SubmodelEarlyStopping,
    fit,
)
from tfdistill.types import Teacher

__all__ = ["BACKUP", "fit_nets", "weights_file"]

BACKUP = "backup"
"""The folder of a training that `fit` resumes from."""


def fit_nets(
    recipe: Recipe,
    problem: Problem,
    directory: Path,
    *,
    teacher: Teacher | None,
    start: Mapping[str, TrainedNet],
    seed: int,
    callbacks: tuple[Any, ...],
) -> dict[str, TrainedNet]:
    """Trains all nets of a recipe in one fit; the arguments are those of `train`.

    Args:
        recipe: What to train.
        problem: The data.
        directory: Where checkpoints are kept.
        teacher: A teacher that is not trained.
        start: Trained rankers to start with.
        seed: Seed of everything that is drawn.
        callbacks: Further callbacks.

    Returns:
        The nets by name.
    """
    batches = _batches(recipe, problem, directory, teacher, seed)
    tf.keras.utils.set_random_seed(seed)
    network = _network(recipe, problem, start)
    distiller = _compiled(recipe, network, teacher, batches.steps_per_epoch)
    best = {
        name: SubmodelCheckpoint(
            network.part(name),
            directory / weights_file(name),
            recipe.monitor(name),
            mode=recipe.mode(name),
        )
        for name in recipe.nets
    }
    stops = [SubmodelEarlyStopping(best[name]) for name in recipe.schedule.stops_early]
    validate = Evaluation(Validation(recipe, network, problem.valid))
    config = {
        "seed": seed,
        "spec": json.loads(problem.spec.to_json()),
        "start": {name: net.fingerprint for name, net in start.items()},
        **recipe.identity(),
    }
    trained = {}
    with locked(directory):
        for epochs in _ends(batches, recipe, network):
            history = fit(
                distiller,
                batches,
                steps_per_epoch=batches.steps_per_epoch,
                epochs=epochs,
                callbacks=[validate, *best.values(), *stops, *callbacks],
                backup_dir=directory / BACKUP,
                config=config,
                verbose=0,
            ).history
        for name, checkpoint in best.items():
            checkpoint.restore()
            trained[name] = taken_out(network, name, problem.spec, history)
    return trained


def _batches(
    recipe: Recipe,
    problem: Problem,
    directory: Path,
    teacher: Teacher | None,
    seed: int,
) -> Batches:
    """The recipe's own batches, or the problem's requests with drawn items.

    They come in rounds where recall finds candidates.
    """
    if recipe.source is not None:
        return recipe.source(problem, recipe, seed)
    make = functools.partial(
        RequestBatches,
        problem.train,
        batch_size=recipe.schedule.batch_size,
        seed=seed,
        negatives=recipe.schedule.negatives,
        known=problem.known,
        outputs={**recipe.labelled, **dict.fromkeys(recipe.recallers, "")},
        label_negatives=recipe.schedule.label_negatives,
        pairs=_pairs_read(recipe, problem.train, teacher),
    )
    if recipe.schedule.candidates is None:
        batches: Batches = make()
        return batches
    return Rounds(
        make,
        problem.train,
        recipe.schedule.candidates,
        recipe.schedule.epochs,
        directory / BACKUP,
        known=problem.known,
        seed=seed,
    )


def _pairs_read(
    recipe: Recipe, requests: Requests, teacher: Teacher | None
) -> set[str]:
    """The pair features in a batch: those of the nets, and for a teacher all."""
    read = {name for net in recipe.nets.values() for name in net.features}
    if teacher is not None:
        draws = recipe.schedule.negatives or recipe.schedule.candidates
        read |= set(requests.pair_sources if draws else requests.listed_pairs)
    return read & set(requests.listed_pairs)


def weights_file(name: str) -> str:
    """The file in which a training keeps the best weights of a net."""
    return f"{safe_name(name)}.weights.h5"


def _network(
    recipe: Recipe, problem: Problem, start: Mapping[str, TrainedNet]
) -> JointNetwork:
    """The recipe's network, with the weights that it starts with."""
    unknown = sorted(set(start) - set(recipe.nets))
    if unknown:
        raise ValueError(
            f"train: the nets {unknown} to start with are none of the recipe's "
            f"{list(recipe.nets)}; name them as the recipe does."
        )
    stops, own = recipe.schedule.stops_early, recipe.sharing.own_tables
    if not set(stops) <= set(own):
        raise ValueError(
            f"What a net shares would stop with it: stops_early={stops} must be among "
            f"own_tables={own}."
        )
    network = recipe.network(problem.spec)
    for name, net in start.items():
        copy_weights(net.models[name], network.part(name))
    for layer in network.model.layers:
        if isinstance(layer, FeatureEmbeddings):
            layer.trainable = not recipe.sharing.frozen_tables
    return network


def _ends(batches: Batches, recipe: Recipe, network: JointNetwork) -> Iterable[int]:
    """The epochs at which `fit` stops: the last one, or the end of each round."""
    if not isinstance(batches, Rounds):
        return (recipe.schedule.epochs,)
    names = recipe.recallers
    if not names:
        return batches.ends(None)
    student = "recall" if "recall" in names else names[0]  # not its two-tower teacher
    return batches.ends(recaller_of(network, student, batches.requests))


def _compiled(
    recipe: Recipe, network: JointNetwork, teacher: Teacher | None, steps: int
) -> Distiller:
    """The network under the recipe's losses, transfers and optimiser."""
    if teacher is None and recipe.terms.stored:
        teacher = LoggedTeacher({name: name for name in recipe.terms.stored})
    distiller = Distiller(
        network.model,
        recipe.terms.transfers,
        derived=recipe.terms.derived,
        teacher=teacher,
    )
    outputs = recipe.labelled
    rate: Any = recipe.schedule.learning_rate
    if recipe.schedule.annealed:
        total = recipe.schedule.epochs * steps
        rate = tf.keras.optimizers.schedules.CosineDecay(rate, total)
    distiller.compile(
        LazyAdam(rate, rows_l2=recipe.schedule.rows_l2),
        loss={output: SigmoidCrossEntropy() for output in outputs} or None,
        loss_weights={o: recipe.terms.loss_weights.get(o, 1.0) for o in outputs}
        or None,
    )
    return distiller
