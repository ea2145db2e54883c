"""The cascade in one servable against its stages in numpy."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import ITEMS, SPEC, answered, batch, catalogue, of, towers

from tfdistill import _keras
from tfdistill.export import (
    Ivf,
    RankingStage,
    cascade_servable,
    example_batch,
    publish,
)
from tfdistill.export.survivors import Survivors
from tfdistill.metrics import Reranker, dot_scores, run_cascade, top_k
from tfdistill.models import CoarseTwoTower, Net, joint_network
from tfdistill.pairs import Pairs
from tfdistill.spec import FeatureSpec

USERS = SPEC.select(f.name for f in SPEC.scope("user") if not f.privileged)
IDS = np.array([f"film {row}" for row in range(ITEMS)])
SIZES = (20, 9, 4)


@pytest.fixture(scope="module")
def rankers(network):
    """A coarse ranker that can't tell all items apart, and the fine one."""
    spec = SPEC.select(["age", "genres"])
    tf.keras.utils.set_random_seed(5)
    net = Net(CoarseTwoTower((8,), dim=4, interaction=2), spec.names)
    coarse = joint_network(spec, {"coarse": net}).part("coarse")
    return {"coarse": coarse, "fine": network.part("fine")}


@pytest.fixture(scope="module")
def make(network, rankers):
    stages = [
        RankingStage(*stage) for stage in zip(rankers, rankers.values(), SIZES[1:])
    ]
    return functools.partial(
        cascade_servable,
        *towers(network),
        stages,
        SPEC,
        catalogue(),
        IDS,
        recall=SIZES[0],
    )


@pytest.fixture(scope="module")
def cascade(make, tmp_path_factory):
    path = tmp_path_factory.mktemp("cascade")
    make().save(path)
    return tf.saved_model.load(str(path))


def scores_of(model, users, rows):
    """A Keras model's scores `[B, N]` of catalogue rows."""
    items = {name: tf.constant(x)[tf.newaxis] for name, x in catalogue().items()}
    features = {
        name: users[name] if name in users else tf.gather(items[name][0], rows)
        for name in _keras.input_names(model)
    }
    (scores,) = model(features).values()
    return scores.numpy()


def by_numpy(network, rankers, users, sizes=SIZES, seen=None):
    """Rows of the page, stage by stage."""
    query, item = towers(network)
    items = {
        k: tf.constant(catalogue()[k])[tf.newaxis] for k in _keras.input_names(item)
    }
    vectors = item(items)["recall_item"][0].numpy()
    queries = query(users)["recall_query"].numpy()
    recalled = top_k(dot_scores(queries, vectors), len(queries), sizes[0], seen=seen)

    def score(model, chosen, rows):
        own = {name: tf.gather(x, chosen) for name, x in users.items()}
        return scores_of(model, own, np.maximum(rows, 0))

    stages = [
        Reranker(name, functools.partial(score, model), keep)
        for (name, model), keep in zip(rankers.items(), sizes[1:])
    ]
    return run_cascade(recalled, stages)["fine"]


def strings(ids):
    return np.asarray(ids).astype("U")


@pytest.mark.parametrize("size", [1, 6])
def test_the_page_is_that_of_the_stages_in_numpy(cascade, network, rankers, size):
    users = of(batch(size), USERS.names)
    page = by_numpy(network, rankers, users)
    answer = cascade.signatures["serving_default"](**users)
    np.testing.assert_array_equal(strings(answer["ids"]), IDS[page])
    expected = scores_of(rankers["fine"], users, page)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)


def test_exclusions_and_sizes_of_a_request(cascade, network, rankers):
    users = of(batch(3), USERS.names)
    seen = by_numpy(network, rankers, users)[:, :2]
    exclude = np.concatenate([IDS[seen], [["", "no such film"]] * 3], axis=1)
    pairs = Pairs(np.repeat(np.arange(3), 2), seen.ravel())
    sizes = (15, 7, 5)
    names = ("keep_recall", "keep_coarse", "keep_fine")
    answer = cascade.signatures["cascade_dynamic"](
        **users,
        exclude=tf.constant(exclude),
        **{name: tf.constant(size) for name, size in zip(names, sizes)},
    )
    page = by_numpy(network, rankers, users, sizes, pairs)
    np.testing.assert_array_equal(strings(answer["ids"]), IDS[page])
    assert answer["mask"].numpy().all()


@pytest.mark.parametrize(
    ("sizes", "page", "found"),
    [
        ((10**6, 10**6, 10**6), ITEMS, ITEMS - 3),
        ((5, 9, 9), 5, 5),
        ((ITEMS, 0, 9), 0, 0),
        ((-1, 5, 5), 0, 0),
    ],
)
def test_a_stage_keeps_at_most_what_it_gets(cascade, sizes, page, found):
    names = ("keep_recall", "keep_coarse", "keep_fine")
    answer = cascade.signatures["cascade_dynamic"](
        **of(batch(2), USERS.names),
        exclude=tf.constant([IDS[:3]] * 2),
        **{name: tf.constant(size) for name, size in zip(names, sizes)},
    )
    assert answer["ids"].shape == answer["scores"].shape == (2, page)
    assert answer["mask"].numpy().sum(1).tolist() == [found] * 2
    assert not set(strings(answer["ids"]).ravel()) & set(IDS[:3])
    assert np.isfinite(answer["scores"]).all()


def test_every_stage_also_on_its_own(cascade, rankers):
    users = of(batch(3), USERS.names)
    recalled = cascade.signatures["recall"](**users)
    assert recalled["ids"].shape == recalled["scores"].shape == (3, SIZES[0])
    rows = np.array([[3, 7, 7], [0, 39, 1], [5, 6, 8]])
    ids = np.concatenate([IDS[rows], [["?"]] * 3], axis=1)
    for name, model in rankers.items():
        scores = cascade.signatures[name](**users, ids=tf.constant(ids))["scores"]
        expected = scores_of(model, users, rows)
        np.testing.assert_allclose(scores[:, :3], expected, atol=1e-5)
        assert (scores[:, 3].numpy() == np.float32(tf.float32.min)).all()


@pytest.mark.parametrize("index", [None, Ivf(recall=0.8, width=8)])
def test_a_cascade_is_verified_by_a_fresh_process(make, tmp_path, index):
    servable = make(index=index, example=example_batch(SPEC, batch_size=50, seed=9))
    (report,) = publish({tmp_path: servable}).values()
    assert report.max_difference < 1e-5
    assert "without tfdistill" in report.process
    assert report.index.k == SIZES[0]


def test_a_wrong_page_is_far_from_the_keras_models(make):
    servable = make(example=batch(4))
    answers = answered(servable)
    assert servable.difference(answers) < 1e-5
    for name in ("serving_default", "tf_example", "cascade_dynamic"):
        right = answers[name]["ids"]
        other = next(i for i in IDS if i.encode() not in right[0])
        for wrong in (other, "no such film", right[0, 1]):
            ids = right.copy()
            ids[0, 0] = wrong
            changed = {**answers, name: {**answers[name], "ids": ids}}
            assert servable.difference(changed) > 1e-3
        swapped = {key: x[:, ::-1] for key, x in answers[name].items()}
        assert servable.difference({**answers, name: swapped}) == np.inf
    for name in ("coarse", "fine", "recall"):
        scores = answers[name]["scores"].copy()
        scores[1, 1] += 0.5
        changed = {**answers, name: {**answers[name], "scores": scores}}
        assert servable.difference(changed) >= 0.49


def test_nearly_equal_scores_may_be_kept_in_either_order():
    scores = np.array([[0.5, 0.9, 0.50001, 0.1]], np.float32)
    everything = np.ones([1, 4], bool)
    left = Survivors(everything, everything).after(scores, keep=2)
    assert left.sure.tolist() == [[False, True, False, False]]
    assert left.possible.tolist() == [[True, True, True, False]]
    everyone = left.after(scores, keep=4)
    assert everyone.sure.tolist() == left.sure.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recall": 8}, r"stages \['coarse', 'fine'\] that keep \[9, 4\] of 8"),
        ({"recall": 41}, "k must be from 1 to the 40 items, got 41"),
        ({"index": Ivf()}, "measured on users"),
        ({"example": {"age": [1.0]}}, r"no values of \['city'"),
    ],
)
def test_cascades_that_do_not_fit_are_refused(make, change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


def test_stages_that_do_not_fit_are_refused(make, network, rankers):
    fine = rankers["fine"]
    for name, keep in (("recall", 3), ("tf_example", 3), ("fine", 0)):
        with pytest.raises(ValueError, match="A stage has a name"):
            RankingStage(name, fine, keep)
    arguments = (
        *towers(network),
        [RankingStage("teacher", network.part("teacher"), 3)],
    )
    with pytest.raises(ValueError, match=r"privileged features \['secret', 'dwell'\]"):
        cascade_servable(*arguments, SPEC, catalogue(), IDS, recall=5)
    with pytest.raises(ValueError, match="No feature"):
        cascade_servable(
            *arguments, FeatureSpec((SPEC["age"],)), catalogue(), IDS, recall=5
        )


def test_a_teachers_variable_is_refused(make, rankers):
    with pytest.raises(ValueError, match="variables of a forbidden model"):
        make(forbidden=[rankers["coarse"]])
