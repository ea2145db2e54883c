"""A whole job of a teacher that is a net, trained jointly with its students."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from zoo_fixture import movielens

from tfdistill import jobs
from tfdistill.jobs.comparison import Sizes
from tfdistill.report import ALONE, DISTILLED, TEACHER
from tfdistill.study.public import movielens_problem
from tfdistill.zoo import movielens_cascade as zoo
from tfdistill.zoo.unified_cascade import STAGES


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return jobs.run(
        "Joint",
        movielens_problem(movielens()),
        zoo.joint().changed(epochs=2),
        tmp_path_factory.mktemp("joint"),
        sizes=Sizes(),
        console=Console(file=io.StringIO()),
    )


def test_every_stage_has_teacher_student_alone_and_distilled(results):
    names = [TEACHER, ALONE, DISTILLED]
    found = {stage.name: [m.name for m in stage.models] for stage in results.stages}
    assert found == dict.fromkeys(STAGES, names)
    assert [entry.name for entry in results.cascades] == names


def test_rankers_of_log_odds_have_a_log_loss_and_bins(results):
    _, *rankers = results.stages
    for stage in rankers:
        assert all(model.test["log_loss"][0] > 0 for model in stage.models)
    bins = {(entry.stage, entry.model) for entry in results.calibration}
    models = (TEACHER, ALONE, DISTILLED)
    assert bins == {(stage.name, name) for stage in rankers for name in models}


def test_the_teacher_is_exported_to_be_measured(results):
    assert {cost.name for cost in results.costs} == {"teacher", *STAGES, "cascade"}
    assert all(export.max_difference < 1e-5 for export in results.exports)


@pytest.mark.parametrize("stage", STAGES)
def test_the_baseline_is_the_student_without_its_teacher(stage):
    joint = zoo.joint()
    alone = joint.only(stage)
    assert alone.nets == {stage: joint.nets[stage]}
    assert not any("teacher" in t.source for t in alone.terms.transfers)
    for same in ("epochs", "batch_size", "negatives", "learning_rate"):
        assert getattr(joint.schedule, same) == getattr(alone.schedule, same)
