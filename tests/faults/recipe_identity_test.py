"""A recipe's folder gives out the nets of its spec, evaluator and start, or none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from runs_fixture import DATA, REFUSED, requests

from tfdistill.models import Dnn, Net
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe, Schedule
from tfdistill.study.ways import train, trained_teacher
from tfdistill.trainers.backup import begun_with


def spec(mean=35.0, vocabulary=("Bern", "Ulm", "Rom")):
    return FeatureSpec(
        (
            Feature("age", "numeric", "user", mean=mean, scale=10.0),
            Feature("city", "categorical", "user", table="city", dtype="string"),
            Feature("price", "numeric", "item"),
        ),
        (Table("city", 2, "vocabulary", vocabulary=vocabulary),),
    )


def cities(part):
    city = np.array(["Bern", "Ulm", "Rom"])[np.arange(part.num_requests) % 3]
    return dataclasses.replace(part, users={**part.users, "city": city})


RECIPE = Recipe(
    {"teacher": Net(Dnn((4,)), ("age", "city", "price"))},
    schedule=Schedule(epochs=1, batch_size=8, negatives=0, chosen_by="auc"),
)


SPEC = spec()


def trained(directory, *, recipe=RECIPE, spec=SPEC, valid=None, **options):
    evaluator = ListEvaluator(cities(requests(seed=1) if valid is None else valid))
    return train(
        recipe, Problem(spec, cities(DATA), evaluator, evaluator), directory, **options
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    directory = tmp_path_factory.mktemp("recipe")
    return directory, trained(directory)


def test_weights_of_another_spec_are_not_given_out(published):
    directory, nets = published
    for changed, text in (
        (spec(mean=0.0), "config.spec.features.age.mean was 35.0 and is 0.0"),
        (spec(vocabulary=("Rom", "Ulm", "Bern")), "config.spec.tables.city.vocabulary"),
    ):
        with pytest.raises(ValueError, match=REFUSED.format(text)) as refused:
            trained(directory, spec=changed)
        assert len(str(refused.value)) < 500  # it is one sentence
    again = trained(directory)
    assert again["teacher"].fingerprint == nets["teacher"].fingerprint


def test_a_trained_teacher_is_that_of_its_spec_and_recipe(published):
    directory, _ = published
    assert (
        "teacher" in trained_teacher(RECIPE, SPEC, directory / "teacher").model.output
    )
    with pytest.raises(ValueError, match="spec.features.age.mean was 35.0 and is 1.0"):
        trained_teacher(RECIPE, spec(mean=1.0), directory / "teacher")
    wider = RECIPE.changed(learning_rate=0.5)
    with pytest.raises(ValueError, match="learning_rate was 0.001 and is 0.5"):
        trained_teacher(wider, SPEC, directory / "teacher")
    with pytest.raises(ValueError, match="no backup of a run"):
        trained_teacher(RECIPE, SPEC, directory / "elsewhere")


def test_what_chooses_the_epoch_and_what_a_run_starts_with_count(published, tmp_path):
    directory, nets = published
    with pytest.raises(ValueError, match="callbacks.*evaluator.requests.labels was"):
        trained(directory, valid=requests(seed=2))
    with pytest.raises(ValueError, match="config.start.teacher was not there"):
        trained(directory, start=nets)
    tuned = RECIPE.changed(learning_rate=0.1)
    child = trained(tmp_path, recipe=tuned, start=nets)
    parent = begun_with(tmp_path / "teacher" / "backup")["config"]["start"]
    assert parent == {"teacher": nets["teacher"].fingerprint}
    with pytest.raises(ValueError, match="config.start.teacher was"):
        trained(tmp_path, recipe=tuned, start=child)
