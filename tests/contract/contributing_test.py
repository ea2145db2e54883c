"""What CONTRIBUTING.md adds in a few lines passes what the library's own pass."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

import tfdistill as td
from tfdistill import models
from tfdistill.data import Requests
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.zoo.ranking_pair import Pair

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))

import loss_cases  # noqa: E402
import loss_contract_test as contract  # noqa: E402
import loss_references  # noqa: E402
import rankers_test as rankers  # noqa: E402

PAGE = (HERE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(?:# (\S+)\n)?(.*?)^```", re.MULTILINE | re.DOTALL)
PROPERTIES = [getattr(contract, f"test_{name}") for name in contract.PROPERTIES]
OF_RANKERS = [
    value
    for value in vars(rankers).values()
    if rankers.EVERY.mark in getattr(value, "pytestmark", ())
]
QUIET = Console(quiet=True)


def hold(check: Callable[..., None], **given: object) -> None:
    """Calls a test of another file; what it is parametrised by has its last value."""
    for mark in check.pytestmark:
        names, values = mark.args
        if names != "case":
            many = isinstance(names, tuple)
            given |= dict(zip(names, values[-1])) if many else {names: values[-1]}
    check(**{name: given[name] for name in inspect.signature(check).parameters})


def blocks() -> dict[str | None, str]:
    return {match[1]: match[2] for match in BLOCK.finditer(PAGE)}


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """The page's files in a package outside of the repository, by their names."""
    root = tmp_path_factory.mktemp("outside")
    made = SimpleNamespace()
    for path, code in blocks().items():
        if path and path.startswith("tfdistill/"):
            file = root / path.replace("tfdistill", "newcomer")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code, encoding="utf-8")
    sys.path.insert(0, str(root))
    for file in sorted(root.rglob("*.py")):
        name = ".".join(file.relative_to(root).with_suffix("").parts)
        setattr(made, file.stem, importlib.import_module(name))
    yield made
    sys.path.remove(str(root))


def test_each_is_some_lines_of_code():
    files = {path: code for path, code in blocks().items() if path}
    assert len(files) == 8
    for path, code in files.items():
        body = re.sub(r'""".*?"""', "", code, flags=re.DOTALL)
        lines = [line for line in body.splitlines() if line.strip()]
        own = [line for line in lines if not re.match(r"(from|import) ", line)]
        assert len(own) <= 18, path


@pytest.fixture(scope="module")
def cases(newcomer):
    """The page's cases of its loss, beside its reference."""
    page, space = blocks(), {}
    exec(
        page["tests/contract/loss_references.py"], vars(loss_references) | space, space
    )
    names = {
        **vars(loss_cases),
        "losses": SimpleNamespace(Huber=newcomer.huber.Huber),
        "ref": SimpleNamespace(**space),
        "CASES": [],
    }
    exec(page["tests/contract/loss_cases.py"], names)
    return names["CASES"]


def test_the_loss_has_a_case_of_other_arguments_too(cases):
    assert [case.loss().delta for case in cases] == [1.0, 2.5]


@pytest.mark.parametrize("check", PROPERTIES, ids=contract.PROPERTIES)
def test_the_loss_holds_the_contract(cases, check):
    case = cases[-1]
    absent = case.loss().not_applicable
    assert len(absent) == case.missing
    if check.__name__.removeprefix("test_") not in absent:
        hold(check, case=case)


@pytest.fixture
def wide_deep(newcomer, monkeypatch):
    made = {}
    names = {"WideDeep": newcomer.wide_deep.WideDeep, "DEEP": rankers.DEEP}
    exec(blocks()["tests/models/rankers_test.py"], {**names, "CASES": made})
    ((name, case),) = made.items()
    monkeypatch.setitem(rankers.CASES, name, case)
    return name


@pytest.mark.parametrize("check", OF_RANKERS, ids=lambda check: check.__name__)
def test_the_architecture_holds_the_contract(wide_deep, check, tmp_path):
    hold(check, case=wide_deep, tmp_path=tmp_path)


def requests(seed: int) -> Requests:
    """Random lists of one user each; cheap items are clicked."""
    rng = np.random.default_rng(seed)
    candidates = rng.integers(0, 30, (48, 5)).astype(np.int32)
    return Requests(
        users={"age": rng.normal(size=48).astype(np.float32)},
        items={"item_id": np.arange(30), "price": np.arange(30, dtype=np.float32) % 7},
        candidates=candidates,
        labels=(candidates % 7 < 3).astype(np.float32),
        group=np.arange(48),
    )


SPEC = td.FeatureSpec(
    (
        td.Feature("age", "numeric", "user"),
        td.Feature("item_id", "categorical", "item", table="item"),
        td.Feature("price", "numeric", "item"),
    ),
    (td.Table("item", 4, size=30),),
)
PROBLEM = td.Problem(
    SPEC, requests(0), ListEvaluator(requests(1)), ListEvaluator(requests(2))
)


@pytest.mark.parametrize("training", ["joint", "independent"])
def test_the_recipe_trains_the_architecture_under_the_loss(
    newcomer, training, tmp_path
):
    """As a student; another process answers as its Keras model, or `publish` raises."""
    pair = Pair(
        td.Net(models.Dnn((8,)), SPEC.names),
        td.Net(newcomer.wide_deep.WideDeep((6,)), ("age", "item_id")),
    )
    soft = td.Transfer("huber", "teacher", "fine", newcomer.huber.Huber(delta=2.0))
    recipe = newcomer.soft_and_order.recipe(pair)
    recipe = recipe.changed(
        transfers=(*recipe.terms.transfers, soft),
        epochs=10,
        batch_size=8,
        learning_rate=0.02,
    )
    nets = td.train(recipe, PROBLEM, tmp_path, training=training, console=QUIET)
    assert td.evaluate(nets, PROBLEM.test)["fine"]["auc"] > 0.7
    if training == "independent":
        assert set(nets) == {"fine"}
        return
    assert set(nets) == {"teacher", "fine"}
    for name in ("fine_soft", "fine_order", "huber"):
        assert min(nets["fine"].history[f"transfer_{name}"]) > 0
    report = td.publish(nets["fine"], tmp_path / "serving")
    served = tf.saved_model.load(report.path).signatures["serving_default"]
    assert set(served.structured_input_signature[1]) == {"age", "item_id"}


def write_listens(path: Path) -> None:
    rng = np.random.default_rng(1)
    with path.open("w") as file:
        for user in range(60):  # each likes the tracks of one residue
            for at, item in enumerate(rng.permutation(20)[:12] * 6 + user % 6):
                file.write(f"{user}\t{item}\t{at}\n")


@pytest.fixture(scope="module")
def taught(newcomer, tmp_path_factory):
    """The page's last program: a problem of the data set, a teacher, a student."""
    folder = tmp_path_factory.mktemp("run")
    write_listens(folder / "listens.tsv")

    def quick(recipe, problem, place):
        few = recipe.changed(epochs=4, batch_size=16)
        return td.train(few, problem, folder / place, console=QUIET)

    space = {
        "load_listens": lambda name: newcomer.listens.load_listens(folder / name),
        "Neighbours": newcomer.neighbours.Neighbours,
        "td": SimpleNamespace(
            **{"zoo": td.zoo, "Problem": td.Problem, "evaluate": td.evaluate},
            train=quick,
        ),
    }
    exec(blocks()[None], space)
    return space


def test_the_data_set_makes_a_problem(taught, newcomer, tmp_path):
    problem = taught["problem"]
    assert problem.train.num_items == 120 and problem.train.num_requests == 60
    write_listens(tmp_path / "cut.tsv")
    text = (tmp_path / "cut.tsv").read_text()
    (tmp_path / "cut.tsv").write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"'.*cut.tsv': read \(719, 60, 120\)"):
        newcomer.listens.load_listens(tmp_path / "cut.tsv")


def test_the_teacher_scores_the_catalogue_by_its_formula_and_teaches(taught, newcomer):
    data, teacher = taught["data"], taught["teacher"]
    x = np.zeros((data.num_users, data.num_items))
    x[data.train.user, data.train.item] = 1
    norm = np.maximum(np.linalg.norm(x, axis=0), 1)
    scores = teacher(np.arange(60))
    np.testing.assert_allclose(scores, x @ (x.T @ x / np.outer(norm, norm)), atol=1e-5)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(teacher(np.array([7, 3])), scores[[7, 3]])
    again = newcomer.neighbours.Neighbours(data.train, data.num_users)
    other = newcomer.neighbours.Neighbours(data.valid, data.num_users)
    assert again.fingerprint == teacher.fingerprint != other.fingerprint
    found = td.evaluate({**taught["nets"], "teacher": teacher}, taught["problem"].test)
    chance = 10 / 110  # of the items that a user has not taken before
    assert found["recall"]["recall@10"] > 3 * chance
    assert found["teacher"]["recall@10"] > 0.9
