"""Nothing that a list of the library names is left out by what holds it."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from loss_cases import CASES

from tfdistill import datasets, losses, models, scorers, zoo

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / room) for room in ("models", "scorers")]

import architectures_test as two_sided  # noqa: E402
import ranker_formulas_test as formulas  # noqa: E402
import rankers_test as rankers  # noqa: E402
from scorers_test import SCORERS  # noqa: E402

ELSEWHERE = {"reduction", "name", "gather"}
"""Arguments of losses that other tests have: `gather` needs replicas."""

GIVEN = {"Simulation"}
"""What a function gives, which is used."""


def names_in(files: Iterable[Path]) -> set[str]:
    """Every name that Python files read, import, or take from a module."""
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.ImportFrom):
                found |= {alias.name for alias in node.names}
    return found


def modules(package) -> set[str]:
    return {module.name for module in pkgutil.iter_modules(package.__path__)}


def subclasses(of: type, room=losses) -> set[type]:
    """Those in a room's `__all__` that can be made: a base has others below it."""
    public = [getattr(room, name) for name in room.__all__]
    found = {x for x in public if inspect.isclass(x) and issubclass(x, of)}
    return {x for x in found if not any(issubclass(y, x) for y in found - {x})}


def test_every_loss_has_a_case_of_its_default_and_of_other_arguments():
    made = [case.loss() for case in CASES]
    assert {type(loss) for loss in made} == subclasses(losses.DistillationLoss)
    for kind in {type(loss) for loss in made}:
        parameters = set(inspect.signature(kind).parameters) - ELSEWHERE
        settings = [loss.get_config() for loss in made if type(loss) is kind]
        assert len(settings) > (1 if parameters else 0), kind


def test_every_map_of_relevance_has_a_case():
    found = {type(getattr(case.loss(), "relevance_map", None)) for case in CASES}
    assert found - {type(None)} == subclasses(losses.RelevanceMap)


def architectures() -> set[type]:
    public = [getattr(models, name) for name in models.__all__]
    found = {x for x in public if dataclasses.is_dataclass(x)}
    return {x for x in found if "__call__" in dir(x)}


def test_every_architecture_has_a_case_of_the_contract_and_a_formula():
    contract = {type(net) for net, _ in two_sided.CASES.values()}
    contract |= {type(net) for net in rankers.CASES.values()}
    assert contract == architectures()
    values = {models.Dnn, models.DcnV2, models.TwoTower, models.CoarseTwoTower}
    values |= {type(net) for net in formulas.CASES.values()}
    assert values == architectures()


def test_every_recipe_is_in_the_face_and_a_test_trains_it():
    assert modules(zoo) <= set(zoo.__all__)
    folders = [TESTS / name for name in ("zoo", "jobs", "study")]
    files = [path for folder in folders for path in folder.glob("*_test.py")]
    trained = [path for path in files if names_in([path]) & {"train", "run"}]
    imported = {
        part
        for path in trained
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        for part in (*node.module.split("."), alias.name)
    }
    assert modules(zoo) <= imported


def test_every_loader_says_which_file_is_missing(tmp_path):
    loaders = [name for name in datasets.__all__ if name.startswith("load_")]
    defined = {
        name
        for module in modules(datasets)
        for name in vars(importlib.import_module(f"tfdistill.datasets.{module}"))
        if name.startswith("load_")
    }
    assert set(loaders) == defined
    for name in loaders:
        with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
            getattr(datasets, name)(tmp_path / "nowhere")


def test_every_scorer_of_pairs_has_a_case():
    made = {type(scorer) for scorer in SCORERS}
    assert made == subclasses(scorers.PairScorer, scorers)


@pytest.mark.parametrize("room", ["datasets", "teachers"])
def test_every_name_of_a_face_is_used_by_the_tests_of_its_room(room):
    face = set(importlib.import_module(f"tfdistill.{room}").__all__)
    used = names_in((TESTS / room).glob("*_test.py"))
    assert not face - used - GIVEN
