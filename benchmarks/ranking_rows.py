"""The rows of the ranking benchmark: what is trained, under which teacher.

Every row is a recipe of the zoo over the same two nets. Students of two-stage rows have
tables of their own, a third as wide; in joint rows they read the teacher's. A "third"
is a student with just less than a third of the teacher's parameters.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from tfdistill.losses import LogitMSE, ProbabilityMSE, SigmoidSoftLabel
from tfdistill.models import CoarseTwoTower, DcnV2, Dnn, Mmoe, Net
from tfdistill.study import Recipe
from tfdistill.zoo import (
    dual_dnn,
    gbdt_to_dnn,
    multi_task,
    privileged_coarse,
    ranking_pair,
    rocket,
)
from tfdistill.zoo.ranking_pair import Pair

UNLABELLED = 10
LARGE, WIDE, THIRD, NARROW = 32, 12, 5, 4  # widths of the tables
MOVIELENS = ("movielens-1m",)
WITH_LARGE = ("movielens-1m", "kuairec")
SIMULATOR = ("simulator",)
TASKS = ("finished", "satisfied")


@dataclasses.dataclass(frozen=True)
class Features:
    """What the nets of a problem read.

    Args:
        every: The teacher's features.
        same: The student's, where it is only smaller.
        fewer: The student's where it sees less; empty if the problem has no such rows.
    """

    every: tuple[str, ...]
    same: tuple[str, ...]
    fewer: tuple[str, ...] = ()

    @property
    def pair(self) -> Pair:
        """The teacher and the student that is only smaller."""
        return Pair(self._teacher, Net(Dnn((16,)), self.same))

    @property
    def large(self) -> Pair:
        """A teacher of the size that teams serve, and the student of a third."""
        teacher = DcnV2(3, (512, 256, 128), dropout=0.2)
        return Pair(Net(teacher, self.every), self.third.fine)

    @property
    def third(self) -> Pair:
        """The teacher and a student with a third of its parameters."""
        return Pair(self._teacher, Net(Dnn((32, 16)), self.same))

    @property
    def unequal(self) -> Pair:
        """The teacher and the student that sees less."""
        return Pair(self._teacher, Net(Dnn((16,)), self.fewer))

    @property
    def tasks(self) -> Pair:
        """A teacher and a small student with a head for each task."""
        teacher = Mmoe(TASKS, experts=4, units=(64,), tower=(32,), dropout=0.2)
        student = Mmoe(TASKS, experts=1, units=(16,), tower=(8,))
        return Pair(Net(teacher, self.every), Net(student, self.same))

    @property
    def _teacher(self) -> Net:
        return Net(DcnV2(1, (128, 64), dropout=0.2), self.every)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        recipe: Makes the recipe; None for scores that are made of other rows, or by
            trees.
        net: The net that is judged.
        tasks: Its tasks, if it has several.
        taught_by: The row whose net is the frozen teacher.
        in_graph: Whether the teacher runs while the student is trained, to score drawn
            pairs; else its logits are stored with the requests.
        start: The row whose trained net is fine-tuned.
        ensemble_of: The rows whose logits are averaged, each next one of the next seed.
        dim: Width of the tables.
        fewer: Whether the row is about a student that sees less.
        only: Problems that have the row; all by default.
        baseline: The row that it is compared with.
    """

    recipe: Callable[[Features], Recipe] | None
    net: str = "fine"
    tasks: tuple[str, ...] = ()
    taught_by: str = ""
    in_graph: bool = False
    start: str = ""
    ensemble_of: tuple[str, ...] = ()
    dim: int = NARROW
    fewer: bool = False
    only: tuple[str, ...] = ()
    baseline: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs that are judged."""
        return tuple(f"{self.net}_{task}" for task in self.tasks) or (self.net,)


def _taught(pair: str = "pair", **settings: Any) -> Callable[[Features], Recipe]:
    """Two stages with one of the pairs of `Features`."""
    return lambda f: ranking_pair.two_stage(getattr(f, pair), **settings)


HALF = {"hard": 0.5, "weight": 0.5}  # of the labels and of the soft ones
_SOFT = _taught(**HALF)
_THIRD_TAUGHT = _taught("third", **HALF, unlabelled=UNLABELLED)
_small = functools.partial(Row, taught_by="teacher", baseline="small alone")
_light = functools.partial(Row, dim=WIDE, baseline="light alone")
_third = functools.partial(Row, dim=THIRD, only=MOVIELENS)
_tasks = functools.partial(Row, tasks=TASKS, dim=WIDE, only=("kuairec",))
_poor = functools.partial(Row, taught_by="teacher", fewer=True, baseline="fewer alone")
_coarse = functools.partial(Row, net="coarse", dim=WIDE, fewer=True)
_mean = functools.partial(Row, None, net="mean", only=MOVIELENS, baseline="teacher")


def _incumbent(name: str) -> Row:
    return Row(
        lambda f: gbdt_to_dnn.incumbents(f.pair)[name],
        net=name,
        dim=WIDE,
        only=MOVIELENS,
    )


def _pfd(features: Features) -> Recipe:
    """A two-tower coarse ranker that sees less than its teacher."""
    coarse = Net(CoarseTwoTower((32,), dim=16), features.fewer)
    return privileged_coarse.recipe(features.pair.teacher, coarse)


DUAL = {"soft": 1.0, "hard": 0.5, "classifier": 0.01, "layers": ((0, 1),)}

ROWS: dict[str, Row] = {
    "teacher": Row(lambda f: ranking_pair.teacher(f.pair), net="teacher", dim=WIDE),
    "small alone": Row(lambda f: ranking_pair.alone(f.pair)),
    "small soft": _small(_SOFT),
    "small soft only": _small(_taught(hard=0.0), only=MOVIELENS),
    "small soft T=4": _small(
        _taught(**HALF, loss=SigmoidSoftLabel(4.0)), only=SIMULATOR
    ),
    "small logit MSE": _small(_taught(loss=LogitMSE(), hard=1.0, weight=0.3)),
    "small soft + unlabelled": _small(
        _taught(**HALF, unlabelled=UNLABELLED),
        in_graph=True,
        only=MOVIELENS,
    ),
    "small auxiliary soft": _small(lambda f: ranking_pair.auxiliary_head(f.pair)),
    "small auxiliary MSE": _small(
        lambda f: ranking_pair.auxiliary_head(f.pair, LogitMSE(), weight=0.3)
    ),
    "third alone": _third(lambda f: ranking_pair.alone(f.third), only=WITH_LARGE),
    "third soft + unlabelled": _third(
        _THIRD_TAUGHT, taught_by="teacher", in_graph=True, baseline="third alone"
    ),
    "third under three teachers + unlabelled": _third(
        _THIRD_TAUGHT, taught_by="three teachers", in_graph=True, baseline="third alone"
    ),
    "large teacher": Row(
        lambda f: ranking_pair.teacher(f.large),
        net="teacher",
        dim=LARGE,
        only=WITH_LARGE,
    ),
    "third under large teacher": _third(
        _taught("large", **HALF),
        only=WITH_LARGE,
        taught_by="large teacher",
        baseline="third alone",
    ),
    "third under large teacher + unlabelled": _third(
        _THIRD_TAUGHT, taught_by="large teacher", in_graph=True, baseline="third alone"
    ),
    "light alone": Row(lambda f: ranking_pair.alone(f.pair), dim=WIDE),
    "light soft": _light(_SOFT, taught_by="teacher"),
    "joint, no hint": _light(lambda f: rocket.recipe(f.pair, weight=0.0)),
    "rocket, block": _light(lambda f: rocket.recipe(f.pair, weight=0.3)),
    "rocket, no block": _light(
        lambda f: rocket.recipe(f.pair, weight=0.3, teacher_gradient=True)
    ),
    "rocket, block, probabilities": _light(
        lambda f: rocket.recipe(f.pair, hint=ProbabilityMSE(), weight=10.0),
        only=MOVIELENS,
    ),
    "rocket, block, Hinton T=2": _light(
        lambda f: rocket.recipe(f.pair, hint=SigmoidSoftLabel(2.0), weight=0.5),
        only=MOVIELENS,
    ),
    "rocket, booster only": _light(
        lambda f: rocket.recipe(f.pair, weight=0.3, blocked=("fine",))
    ),
    "dual-DNN": _light(lambda f: dual_dnn.recipe(f.pair, **DUAL)),
    "dual-DNN, fine-tuned": _light(
        lambda f: dual_dnn.fine_tuned(dual_dnn.recipe(f.pair, **DUAL), epochs=6),
        start="dual-DNN",
    ),
    "LR": _incumbent("lr"),
    "FM": _incumbent("fm"),
    "GBDT": Row(None, net="trees", only=MOVIELENS),
    "small under GBDT": _small(_SOFT, taught_by="GBDT", only=MOVIELENS),
    "three teachers": _mean(ensemble_of=("teacher",) * 3),
    "small under three teachers": _small(
        _SOFT, taught_by="three teachers", only=MOVIELENS
    ),
    "teacher and GBDT": _mean(ensemble_of=("teacher", "GBDT")),
    "small under teacher and GBDT": _small(
        _SOFT, taught_by="teacher and GBDT", only=MOVIELENS
    ),
    "third under teacher and GBDT": _third(
        _taught("third", **HALF),
        taught_by="teacher and GBDT",
        baseline="third alone",
    ),
    "fewer alone": Row(lambda f: ranking_pair.alone(f.unequal), fewer=True),
    "fewer soft": _poor(_taught("unequal", **HALF)),
    "fewer soft only": _poor(_taught("unequal", hard=0.0)),
    "fewer soft only + unlabelled": _poor(
        _taught("unequal", hard=0.0, unlabelled=UNLABELLED), in_graph=True
    ),
    "tasks: teacher": _tasks(
        lambda f: multi_task.recipe(f.tasks).only("teacher"), net="teacher"
    ),
    "tasks: alone": _tasks(lambda f: multi_task.recipe(f.tasks).only("fine")),
    "tasks: distilled": _tasks(
        lambda f: multi_task.recipe(f.tasks), baseline="tasks: alone"
    ),
    "coarse alone": _coarse(lambda f: _pfd(f).only("coarse")),
    "coarse PFD": _coarse(_pfd, baseline="coarse alone"),
}
