"""The unified cascade: its recipes, the four ways to train it, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import typer
from rich.console import Console
from typer.testing import CliRunner
from zoo_fixture import SPEC, movielens

from tfdistill import _keras
from tfdistill.commands.movielens import cascade
from tfdistill.jobs import ways_table
from tfdistill.jobs.cascades import (
    judged,
    shown_sets,
    student_parameters,
)
from tfdistill.jobs.comparison import Sizes
from tfdistill.models import Net, TwoTower, joint_network
from tfdistill.study.public import movielens_problem
from tfdistill.study.validation import recaller_of
from tfdistill.study.ways import train
from tfdistill.trainers import FrozenTeacher
from tfdistill.zoo.unified_cascade import STAGES, default_nets, recipe

NETS = default_nets(SPEC)
QUIET = Console(quiet=True)


def frozen_teacher() -> FrozenTeacher:
    network = joint_network(SPEC, {"teacher": NETS["teacher"]})
    names = ("teacher", "teacher_hidden")
    outputs = {name: network.model.output[name] for name in names}
    return FrozenTeacher(tf.keras.Model(network.model.input, outputs))


def test_only_the_teacher_reads_what_cannot_be_served():
    assert NETS["teacher"].features == SPEC.names
    assert "dwell" in SPEC.names
    for stage in STAGES:
        assert NETS[stage].features == SPEC.non_privileged().names
    with pytest.raises(ValueError, match="the user's has none"):
        default_nets(SPEC.select([f.name for f in SPEC.scope("item")]))


def test_each_stage_has_its_form():
    transfers = {t.name: t for t in recipe(NETS, warm_up=10).terms.transfers}
    assert list(transfers) == [
        *("recall_softmax", "recall_list", "coarse_list", "coarse_soft"),
        *("fine_list", "fine_soft", "fine_hint"),
    ]
    warm = transfers["recall_list"].weight
    assert [float(warm(step)) for step in (0, 5, 10, 99)] == [0.0, 0.5, 1.0, 1.0]
    assert recipe(NETS, warm_up=0).terms.transfers[1].weight == 1.0


def test_the_teacher_shares_tables_if_that_is_asked_for():
    apart = recipe(NETS)
    shared = recipe(NETS, own_tables=(), blocked=STAGES)
    for made, sets in ((apart, 2), (shared, 1)):
        names = {
            _keras.path_of(weight).split("/")[0]
            for weight in made.network(SPEC).model.weights
            if "embeddings" in _keras.path_of(weight)
        }
        assert len(names) == sets
    assert not apart.under(frozen_teacher(), STAGES).sharing.own_tables


def test_students_of_a_frozen_teacher_keep_their_terms_without_the_warm_up():
    unified, teacher = recipe(NETS), frozen_teacher()
    second = unified.under(teacher, STAGES)
    assert [t.name for t in second.terms.transfers] == [
        t.name for t in unified.terms.transfers
    ]
    assert all(not callable(transfer.weight) for transfer in second.terms.transfers)
    assert second.terms.transfers[1].weight == 1.0
    hint = second.network(SPEC).model.output["fine_hidden_hint"]
    assert hint.shape[-1] == 128 and second.terms.hints == (("fine_hidden", 128),)
    fine = unified.under(teacher, ["fine"])
    assert [t.name for t in fine.terms.transfers] == [
        "fine_list",
        "fine_soft",
        "fine_hint",
    ]
    assert dict(fine.terms.loss_weights) == {"fine": 0.3} and list(fine.nets) == [
        "fine"
    ]
    assert not unified.under(teacher, ["recall"]).terms.hints


def test_students_of_a_frozen_teacher_read_tables_behind_the_same_block():
    unified = recipe(NETS, blocked=("coarse", "fine"))
    teacher = frozen_teacher()
    assert unified.under(teacher, STAGES).sharing.blocked == ("coarse", "fine")
    assert unified.under(teacher, ["recall", "fine"]).sharing.blocked == ("fine",)
    assert unified.under(teacher, ["coarse", "fine"]).sharing.blocked == ()
    assert unified.under(teacher, ["fine"]).sharing.blocked == ()
    assert recipe(NETS).under(teacher, STAGES).sharing.blocked == ()


def test_all_positives_of_a_list_teach_recall_if_that_is_asked_for():
    def softmax(made):
        return {
            t.name: t.loss.every
            for t in made.terms.transfers
            if t.name.endswith("softmax")
        }

    towers = {**NETS, "teacher": NETS["recall"]}
    assert softmax(recipe(NETS)) == {"recall_softmax": False}
    both = softmax(recipe(towers, every_positive=True))
    assert both == {"teacher_softmax": True, "recall_softmax": True}


def test_shared_tables_count_once():
    made = recipe(NETS)
    shared, apart = (student_parameters(m, made, SPEC) for m in ("joint", "distilled"))
    tables = sum(SPEC.table_of(SPEC[name]).num_rows * 4 for name in ("city", "item_id"))
    assert apart - shared == 2 * tables
    assert student_parameters("frozen", made, SPEC) == shared


def test_ways_of_training_are_compared_and_read_back(tmp_path, monkeypatch):
    problem = movielens_problem(movielens())
    modes = ("frozen", "joint", "independent")
    first = ways_table.compare(problem, tmp_path, modes=modes, tiny=True)
    again = ways_table.compare(problem, tmp_path, modes=modes, tiny=True)
    assert first == again == json.loads((tmp_path / "cascade.json").read_text())
    shown = set(ways_table.ROWS.values())
    for mode, (values,) in first.items():
        missing = {m for m in shown if "overlap" in m or m.startswith("teacher/")}
        assert shown - set(values) == (missing if mode == "independent" else set())
        survived = [values[f"{stage}/survival"] for stage in STAGES]
        assert survived == sorted(survived, reverse=True)
    weights = [first[mode][0]["student parameters"] for mode in modes]
    assert weights[0] == weights[1] < weights[2]
    table = ways_table.mode_table({mode: runs * 2 for mode, runs in first.items()})
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == list(ways_table.ROWS) and cells[3][6] == "-"
    assert "± 0.0000" in cells[1][0] and "±" not in cells[1][-1]


def test_two_towers_teach_the_order_by_their_products(tmp_path):
    problem = movielens_problem(movielens())
    nets = dict(default_nets(problem.spec))
    nets["teacher"] = Net(TwoTower((), dim=16), nets["recall"].features, task="recall")
    made = recipe(nets, tiny=True)
    assert [transfer.name for transfer in made.terms.transfers] == [
        *("teacher_softmax", "recall_softmax", "recall_list"),
        *("coarse_list", "fine_list"),
    ]
    assert (
        not made.terms.hints
        and made.only("teacher").terms.transfers == made.terms.transfers[:1]
    )
    assert not made.schedule.stops_early
    assert [t.without for t in made.terms.transfers[2:]] == ["recall", "coarse", "fine"]
    evaluator, sizes = problem.valid, Sizes(30, 20, 10)
    for mode in ("joint", "frozen"):
        trained = train(
            made,
            problem,
            tmp_path / mode,
            training=mode,
            console=QUIET,
        )
        assert set(trained["teacher"].models) == {"query", "item"}
        teacher = trained["teacher"].ranker(evaluator.requests)
        best = evaluator.best(teacher, 10)
        np.testing.assert_array_equal(best, trained["teacher"].top(evaluator, 10))
        towers = trained["teacher"].recaller(evaluator.requests)
        users = towers.queries(np.arange(evaluator.requests.num_requests))
        listed = towers.items()[np.maximum(evaluator.requests.candidates, 0)]
        products = (users[:, np.newaxis] * listed).sum(axis=-1)
        found = trained["teacher"].logits(evaluator)
        np.testing.assert_allclose(found, products, rtol=1e-4, atol=1e-7)
        assert 0 < trained["teacher"].metrics(evaluator, "ranking")["auc"] < 1
        some = teacher(evaluator.first, best)
        whole = np.take_along_axis(teacher.catalogue(evaluator.first), best, axis=1)
        np.testing.assert_allclose(some, whole, rtol=1e-5, atol=1e-7)
        sets = shown_sets(evaluator, trained, sizes)
        assert judged(evaluator, sets, sizes)["teacher/ndcg@10"] > 0


def test_candidates_are_the_recall_students_and_not_its_two_tower_teachers(
    tmp_path, monkeypatch
):
    problem = movielens_problem(movielens())
    nets = dict(default_nets(problem.spec))
    nets["teacher"] = Net(TwoTower((), dim=16), nets["recall"].features, task="recall")
    asked = []

    def answers(network, name, requests):
        asked.append(name)
        return recaller_of(network, name, requests)

    monkeypatch.setattr("tfdistill.study.training.recaller_of", answers)
    made = recipe(nets, tiny=True).changed(epochs=1)
    train(made, problem, tmp_path, console=QUIET)
    assert asked == ["recall"]


def test_an_unknown_way_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(ValueError, match="one of .*joint.*got 'together'"):
        train(recipe(NETS), None, tmp_path, training="together")
    app = typer.Typer()
    app.command()(cascade)
    done = CliRunner().invoke(app, ["--training", "joint,frosen"])
    assert "takes some of joint, frozen" in str(done.exception)
    assert "'frosen'" in str(done.exception)
