"""Recall from interactions alone: the best simple teacher, a student, an index."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from tfdistill.jobs.run import run
from tfdistill.report import Results
from tfdistill.scorers import Baseline, CandidateTeacher, baselines, best_simple
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.recall_from_lists import FORMS, Form, list_student

__all__ = ["TEACHERS", "recall", "teachers"]

TEACHERS = ("auto", "popular", "EASE", "EASE of the newest", "candidates")
"""What may teach: `"auto"` is the one that is best on validation, `"candidates"` a
ranker of what several of the others find, which needs LightGBM."""

_LISTED = 100  # items of a user's list, from which a form draws


def recall(
    problem: Problem,
    out: Path,
    *,
    teacher: str = "auto",
    form: str = "RRD",
    epochs: int | None = None,
    seeds: Sequence[int] = (0,),
    console: Console | None = None,
) -> Results:
    """Teaches a small student by the lists of the best simple teacher, and exports it.

    Args:
        problem: Of interactions.
        out: As for `run`.
        teacher: One of `TEACHERS`.
        form: How the student learns from a list, one of `zoo.recall_from_lists.FORMS`.
        epochs: Of training; those of the recipe by default.
        seeds: As for `run`.
        console: As for `run`.

    Returns:
        Everything that the report shows.

    Raises:
        ValueError: If there is no such teacher or form.
    """
    for what, name, known in (("teacher", teacher, TEACHERS), ("form", form, FORMS)):
        if name not in known:
            raise ValueError(f"{what} must be one of {list(known)}, got {name!r}.")
    console = console or Console()
    simple = baselines(problem)
    found = teachers(problem, teacher, simple, console)
    name = best_simple(problem, found) if len(found) > 1 else next(iter(found))
    console.print(f"Teacher: {name}.")
    recipe = _student(problem, found[name], FORMS[form])
    return run(
        f"Recall under {name}",
        problem,
        recipe if epochs is None else recipe.changed(epochs=epochs),
        out,
        seeds=seeds,
        teacher=found[name],
        facts={"Teacher": f"{name}, {_chosen(found)}", "Form": form},
        tuned=simple,
        console=console,
    )


def teachers(
    problem: Problem, wanted: str, simple: Mapping[str, Baseline], console: Console
) -> dict[str, Baseline | CandidateTeacher]:
    """Returns the teachers to choose among, fitted on the training part.

    Args:
        problem: Of interactions.
        wanted: One of `TEACHERS`.
        simple: The problem's baselines.
        console: Where it is printed that one can't be had.
    """
    if wanted in simple:
        return {wanted: simple[wanted]}
    if wanted == "candidates":
        return {wanted: CandidateTeacher.fit(problem)}
    if importlib.util.find_spec("lightgbm") is None:
        console.print(
            "Without LightGBM (pip install 'tfdistill[gbdt]') the teacher is a simple "
            "one.",
            markup=False,
        )
        return dict(simple)
    return {**simple, "candidates": CandidateTeacher.fit(problem)}


def _student(
    problem: Problem, teacher: Baseline | CandidateTeacher, form: Form
) -> Recipe:
    """A student of each user's best items by what was known before validation.

    Lists and batches are smaller where the catalogue is.
    """
    data = problem.interactions
    left = data.num_items - int(data.train.per_user(data.num_users).max())
    size = max(1, min(_LISTED, left))
    lists = teacher.lists(problem.train, cut=1.0, size=size)
    form = dataclasses.replace(form, interesting=min(form.interesting, size))
    recipe = list_student(lists, form)
    most = max(1, data.num_items // recipe.schedule.negatives)
    return recipe.changed(batch_size=min(recipe.schedule.batch_size, most))


def _chosen(found: Collection[str]) -> str:
    if len(found) == 1:
        return "as asked for"
    return f"the best of {', '.join(found)} by NDCG@10 on validation"
