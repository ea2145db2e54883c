"""A recall student that knows a user by a history and a profile, taught by lists.

Run: `python benchmarks/main_job.py --rows recall`.

A student with an id for each user memorises its lists, and is worse as soon as time
goes on; a tower of the history reads what is new. So users are asked at many cuts of
the log: what followed are their labels, and where the teacher was asked, its list:

    teacher = CandidateTeacher.fit(problem)
    lists = {cut: teacher.lists(problem.train, cut=cut) for cut in (0.875, 1.0)}
    nets = train(recipe(problem.spec, lists), problem, directory)
"""

from __future__ import annotations

from collections.abc import Mapping

from tfdistill.data.states import States
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.models import Net, TwoTower
from tfdistill.spec import FeatureSpec
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.recall_from_lists import Form, list_student

__all__ = ["recipe", "tower"]

ROLLING = States.rolling()
"""When users are asked: a sixteenth of training after the other, from a quarter on."""

_IDS = ("user_id", "zip")


def tower(spec: FeatureSpec, *, without: tuple[str, ...] = _IDS, dim: int = 32) -> Net:
    """Returns two towers of all features that can be served, but for users' ids.

    Args:
        spec: The features.
        without: Features that tell one user from all others.
        dim: Width of the two vectors.

    Raises:
        ValueError: If no user feature is left.
    """
    served = spec.non_privileged()
    names = [f.name for f in served.features if f.scope != "pair"]
    read = tuple(name for name in names if name not in without)
    if not any(served[name].scope == "user" for name in read):
        raise ValueError(
            f"A tower without {list(without)} has no user feature left to read, only "
            f"{list(read)}; give the problem a history of its users."
        )
    towers = TwoTower((), dim)
    return Net(towers, read, task="recall")


def recipe(
    spec: FeatureSpec,
    lists: Mapping[float, RankedLists],
    form: Form | str = "rank-weighted",
    *,
    net: Net | None = None,
    states: States = ROLLING,
) -> Recipe:
    """Returns the recipe; `training="independent"` trains it from labels alone.

    Args:
        spec: The features.
        lists: The teacher's, by the cut of the log where it was asked.
        form: How it learns from a list; see `list_student`.
        net: By default `tower(spec)`.
        states: When users are asked for labels.

    Example:
        >>> from tfdistill.spec import Feature, Table
        >>> spec = FeatureSpec(
        ...     (Feature("history", "categorical", "user", "film", (20,)),
        ...      Feature("item_id", "categorical", "item", "film")),
        ...     (Table("film", 16, size=100),))
        >>> [transfer.name for transfer in recipe(spec, {}).terms.transfers]
        ['labels', 'lists_0']
    """
    student = list_student(lists, form, net=net or tower(spec), states=states)
    return student.changed(epochs=20, learning_rate=1e-2, rows_l2=1e-5)
