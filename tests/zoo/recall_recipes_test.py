"""Students of ranking lists and of logits: they train, resume, and beat a lone one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from zoo_fixture import SPEC, requests

from tfdistill.data import ImplicitFeedback
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.metrics import head_items, scored_top_k
from tfdistill.models import Net, SequenceTower, TwoTower
from tfdistill.pairs import Pairs
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.ways import train
from tfdistill.zoo import recall_from_lists as lists
from tfdistill.zoo import recall_from_logits as logits
from tfdistill.zoo import sequence_recall

USERS, ITEMS, SHARED = 48, 60, 1
FACTORS = TwoTower((), None)
TEACHER = np.random.default_rng(0).normal(size=(USERS, 4)) @ np.random.default_rng(
    1
).normal(size=(4, ITEMS))


@pytest.fixture(scope="module")
def data() -> ImplicitFeedback:
    """Each user takes some of the 12 items that a low-rank taste puts first."""
    rng = np.random.default_rng(2)
    best = np.argsort(-TEACHER, axis=1)[:, :12]
    best = rng.permuted(best, axis=1)
    users = np.arange(USERS)
    parts = (best[:, :3], best[:, 3:6], best[:, 6:12])
    return ImplicitFeedback(
        "low rank",
        USERS,
        *(
            Pairs(np.repeat(users, part.shape[1]), part.ravel(), ITEMS)
            for part in parts
        ),
    )


def student(data, form, **options):
    """Of the best 30 items by the teacher."""
    best = scored_top_k(lambda rows: TEACHER[rows], USERS, 30, seen=data.train)
    return lists.list_student(RankedLists(*best), form, **options)


def small(recipe, epochs, architecture=FACTORS):
    net = dataclasses.replace(
        recipe.nets[lists.STUDENT],
        architecture=dataclasses.replace(architecture, shared=SHARED),
    )
    return recipe.changed(
        nets={lists.STUDENT: net},
        batch_size=12,
        negatives=SHARED,
        epochs=epochs,
    )


def trained(data, recipe, folder, dim=4, **options):
    problem = Problem.from_feedback(data, dim=dim)
    return train(recipe, problem, folder, **options)[lists.STUDENT]


def fitting(form):
    """A form for a list of 30 items."""
    return dataclasses.replace(form, interesting=min(form.interesting, 20))


@pytest.mark.parametrize("name", lists.FORMS)
def test_every_form_trains(data, name, tmp_path):
    form = fitting(lists.FORMS[name])
    history = trained(data, small(student(data, form), 2), tmp_path).history
    assert history["transfer_lists_0"][1] < history["transfer_lists_0"][0]
    assert np.isfinite(history["loss"]).all()


def unexplained(of, by):
    """The share of the teacher's vectors that no linear map of the student's gives."""
    fit = by @ np.linalg.lstsq(by, of, rcond=None)[0]
    return float(np.sum((of - fit) ** 2) / np.sum(of**2))


def test_a_hinted_student_learns_the_teachers_vectors(data, tmp_path):
    """Vectors that have nothing to do with the lists, so only the hint can tell."""
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(USERS, 3)), rng.normal(size=(ITEMS, 3))
    form = fitting(lists.FORMS["RRD"])
    missed = {}
    for weight in (0.0, 10.0):
        recipe = small(student(data, form, vectors=vectors, hint=weight), 20)
        net = trained(data, recipe, tmp_path / str(weight))
        recaller = net.recaller(data.requests("train"))
        learned = recaller.queries(np.arange(USERS)), recaller.items()
        missed[weight] = [unexplained(*two) for two in zip(vectors, learned)]
        assert [rows.shape[1] for rows in learned] == [4, 4]  # no projection is served
    assert np.all(np.array(missed[10.0]) < 0.6 * np.array(missed[0.0]))


@pytest.mark.parametrize("base", lists.BASES)
def test_a_student_alone_trains(data, base, tmp_path):
    recipe = small(lists.alone(lists.matrix_factorisation(), lists.BASES[base]), 3)
    history = trained(data, recipe, tmp_path).history
    assert history["transfer_labels"][-1] < history["transfer_labels"][0]


def test_a_student_of_lists_keeps_its_labels_and_nothing_of_the_teacher_when_alone():
    taught = lists.list_student(RankedLists(*np.zeros((2, 1, 1))), "RRD")
    assert taught.terms.stored == ("list_score",)
    alone = taught.only(lists.STUDENT)
    assert [t.name for t in alone.terms.transfers] == [
        "labels"
    ] and not alone.terms.stored


def test_lists_teach_more_than_few_labels(data, tmp_path):
    form = fitting(lists.FORMS["rank-weighted"])
    plain, found = lists.alone(lists.matrix_factorisation()), {}
    for name, recipe in (("alone", plain), ("taught", student(data, form))):
        history = trained(data, small(recipe, 4), tmp_path / name).history
        found[name] = max(history["val_recall_ndcg@10"])
    assert found["taught"] > 1.3 * found["alone"]


def test_a_killed_training_of_lists_goes_on_bit_by_bit(data, tmp_path):
    form = fitting(lists.FORMS["RRD"])
    recipe = small(student(data, form), 4)

    class Kill(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def run(folder, *callbacks):
        return trained(data, recipe, folder, callbacks=callbacks)

    unbroken = run(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", Kill())
    resumed = run(tmp_path / "killed")
    for one, other in zip(
        unbroken.models["query"].get_weights(), resumed.models["query"].get_weights()
    ):
        np.testing.assert_array_equal(one, other)


def test_an_annealed_run_is_another_with_more_epochs():
    recipe = lists.alone(lists.matrix_factorisation())
    longer = recipe.changed(epochs=recipe.schedule.epochs + 1)
    assert recipe.schedule.annealed and recipe.identity() != longer.identity()
    plain = recipe.changed(annealed=False)
    more = longer.changed(annealed=False)
    assert plain.identity() == more.identity()


def test_a_sequence_model_learns_what_comes_next(tmp_path):
    """Everyone goes round the catalogue, step by step."""
    users, items, each = 24, 12, 8
    sequences = (np.arange(users)[:, np.newaxis] + np.arange(each)) % items
    parts = (sequences[:, :6], sequences[:, 6:7], sequences[:, 7:])
    rows = np.arange(users)
    data = ImplicitFeedback(
        "rounds",
        users,
        *(Pairs(np.repeat(rows, p.shape[1]), p.ravel(), items) for p in parts),
        last=sequences[:, 5::-1].astype(np.int32),
    )
    recipe = sequence_recall.recipe(SequenceTower(blocks=1, dropout=0.0))
    recipe = small(recipe, 30, recipe.nets[lists.STUDENT].architecture).changed(
        learning_rate=2e-2,
    )
    found = trained(data, recipe, tmp_path, dim=8)
    assert max(found.history["val_recall_ndcg@10"]) > 0.9


def test_logits_teach_a_two_tower_net(tmp_path):
    net = Net(TwoTower((8,), dim=4), ("age", "item_id", "price"), task="recall")
    recipe = logits.recipe(net, negatives=4).changed(
        epochs=4, batch_size=8, learning_rate=1e-2
    )
    seen = requests(1).positives()
    evaluator = CatalogueEvaluator(requests(), seen, head_items(np.arange(30)))
    found = train(
        recipe,
        Problem(SPEC, requests(), evaluator, evaluator),
        tmp_path,
        teacher=lambda features: {"score": 2.0 * features["price"]},
    )["recall"]
    assert (
        found.history["transfer_recall_list"][-1]
        < (found.history["transfer_recall_list"][0])
    )
    assert set(found.models) == {"query", "item"}
    alone = recipe.only("recall")
    assert [t.name for t in alone.terms.transfers] == ["recall_softmax"]
