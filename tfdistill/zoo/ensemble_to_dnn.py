"""An ensemble of large rankers teaches one small DNN: the cost of one, more than one.

Run: `run(two_stage(pair), teachers(pair), problem, directory)`;
the cost of its teachers and of one student.

MovieLens-1M, 5 seeds, mean of the logits. A DCN-v2 and boosted trees err in different
ways; under both, a DNN of a third of the DCN-v2's parameters passes it:

  ranking: movielens-1m/teacher/seed-0..4 teacher/auc = 0.8072 ± 0.0003
  ranking: movielens-1m/three teachers/seed-0..4 mean/auc = 0.8116 ± 0.0003
  ranking: movielens-1m/teacher and GBDT/seed-0..4 mean/auc = 0.8160 ± 0.0006
  ranking: movielens-1m/third alone/seed-0..4 fine/auc = 0.8023 ± 0.0010
  ranking: movielens-1m/third under teacher and GBDT/seed-0..4 fine/auc = 0.809 ± 0.001
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.identity import fingerprint
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.models import (
    Architecture,
    AutoInt,
    DcnV2,
    DeepFm,
    Net,
    Representation,
    gated_ensemble,
)
from tfdistill.optimizers import LazyAdam
from tfdistill.spec import FeatureSpec
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.trained import TrainedNet, TrainedRanker
from tfdistill.study.ways import train
from tfdistill.trainers import Distiller, FrozenTeacher, fit
from tfdistill.zoo.ranking_pair import Pair, rankers

__all__ = ["ARCHITECTURES", "REPRESENTATION", "run", "teachers"]

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "dcn": DcnV2(units=(256, 128), dropout=0.2),
        "deepfm": DeepFm(units=(256, 128), dropout=0.2),
        "autoint": AutoInt(units=(256, 128), dropout=0.2),
    }
)
"""Teachers that err in different ways: they model interactions by different means."""

REPRESENTATION = Representation(16)
"""Every feature as a field of width 16, which factorisation and attention need."""


def teachers(
    pair: Pair,
    architectures: Mapping[str, Architecture] = ARCHITECTURES,
    *,
    representation: Representation | None = REPRESENTATION,
) -> dict[str, Recipe]:
    """Returns the recipe of each teacher alone, by name.

    Args:
        pair: Its teacher's features are those of all teachers.
        architectures: The teachers; one architecture under several names is a teacher
            of several seeds.
        representation: A projection of the features above the tables.
    """
    return {
        name: rankers({name: Net(architecture, pair.teacher.features)}).changed(
            representation=representation,
        )
        for name, architecture in architectures.items()
    }


def run(
    student: Recipe,
    teachers: Mapping[str, Recipe],
    problem: Problem,
    directory: Path,
    *,
    gate_on: Requests | None = None,
    seed: int = 0,
) -> dict[str, TrainedNet]:
    """Trains the teachers one by one, then their gate, then the student under it.

    `z = sum_m g_m z_m`: the mean of the teachers' logits, or with `gate_on` by a gate
    for each pair; see `gated_ensemble`. The teachers need not fit into one graph when
    they are trained, and each may come of any recipe of one net.

    Args:
        student: Of a teacher with the signal `"score"`, such as
            `ranking_pair.two_stage(pair)` or `ranking_pair.auxiliary_head(pair)`.
        teachers: A recipe of one net for each teacher, such as `teachers(pair)`.
        problem: The data.
        directory: Where checkpoints are kept; a run that was killed goes on.
        gate_on: Requests whose labels train the gate, best some that no teacher was
            trained on. It learns for as many epochs as the student.
        seed: Seed of the student and the gate; those of the M teachers are
            `M seed .. M seed + M - 1`.

    Returns:
        The student, the teachers and `"ensemble"`, by name.

    Raises:
        ValueError: If a teacher has the name of another net, or a recipe has several
            nets.

    Reference:
        Zhu et al., Ensembled CTR Prediction via KD, CIKM 2020, arXiv:2011.04106.
    """
    taken = sorted(set(teachers) & {"ensemble", "student", *student.nets})
    several = sorted(name for name, recipe in teachers.items() if len(recipe.nets) > 1)
    if taken or several:
        raise ValueError(
            "ensemble_to_dnn: each teacher needs a recipe of one net and a name of its "
            f"own; the names {taken} are taken and {several} have several nets."
        )
    train_one = functools.partial(train, problem=problem)
    trained: dict[str, TrainedNet] = {}
    for place, (name, recipe) in enumerate(teachers.items(), seed * len(teachers)):
        nets = train_one(recipe, directory=directory / name, seed=place)
        (trained[name],) = nets.values()
    models = [model for net in trained.values() for model in net.models.values()]
    ensemble = _gated(
        models, problem.spec, student, gate_on, directory / "ensemble", seed
    )
    students = train_one(
        student,
        directory=directory / "student",
        teacher=FrozenTeacher(ensemble.model, {"score": "ensemble"}),
        seed=seed,
    )
    return {**trained, "ensemble": ensemble, **students}


def _gated(
    models: Sequence[tf.keras.Model],
    spec: FeatureSpec,
    student: Recipe,
    requests: Requests | None,
    directory: Path,
    seed: int,
) -> TrainedRanker:
    """The ensemble, its gate trained on labels with the settings of the student."""
    tf.keras.utils.set_random_seed(seed)
    ensemble = gated_ensemble(models)
    if requests is None:
        return TrainedRanker({"ensemble": ensemble}, spec, {})
    distiller = Distiller(ensemble)
    distiller.compile(
        LazyAdam(student.schedule.learning_rate),
        loss={"ensemble": SigmoidCrossEntropy()},
    )
    batches = RequestBatches(
        requests,
        batch_size=student.schedule.batch_size,
        seed=seed,
        outputs=("ensemble",),
    )
    history = fit(
        distiller,
        batches,
        steps_per_epoch=batches.steps_per_epoch,
        epochs=student.schedule.epochs,
        backup_dir=directory,
        config={
            "seed": seed,
            "members": [fingerprint(model.get_weights()) for model in models],
        },
        verbose=0,
    ).history
    return TrainedRanker({"ensemble": ensemble}, spec, history)
