"""A cascade whose stages read the scores before them, in one servable."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import Requests
from tfdistill.export import (
    Ivf,
    RankingStage,
    cascade_servable,
    example_batch,
    publish,
    ranker_servable,
)
from tfdistill.models import CoarseTwoTower, Dnn, Net, TwoTower, joint_network
from tfdistill.pairs import Pairs
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.study.nets import Cascade, Nets
from tfdistill.study.trained import Catalogue, taken_out

USERS, ITEMS, SIZES = 9, 60, (30, 12, 5)
SPEC = FeatureSpec(
    (
        Feature("user", "categorical", "user", table="user"),
        Feature("ids", "categorical", "item", table="item"),
        Feature("stood", "numeric", "pair", shape=(2,), stage="recall"),
        Feature("price", "numeric", "item"),
        Feature("coarsely", "numeric", "pair", shape=(2,), stage="coarse"),
        Feature("taste", "numeric", "pair", privileged=False),
    ),
    (Table("user", 8, size=USERS), Table("item", 8, size=ITEMS)),
)
IDS = np.array([f"film {row}" for row in range(ITEMS)])
NETS = {
    "retrieval": Net(TwoTower((6,), 8), ("user", "ids"), task="recall"),
    "coarse": Net(CoarseTwoTower((), 4, 3), ("user", "price", "stood")),
    "fine": Net(Dnn((5,)), ("user", "ids", "stood", "coarsely")),
}


def made(name, net):
    tf.keras.utils.set_random_seed(len(name))
    network = joint_network(SPEC, {name: net})
    for weight in network.model.trainable_weights:
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.5))
    return taken_out(network, name, SPEC, {})


@pytest.fixture(scope="module")
def nets() -> Nets:
    return Nets({name: made(name, net) for name, net in NETS.items()})


@pytest.fixture(scope="module")
def items():
    drawn = example_batch(SPEC, batch_size=1, list_size=ITEMS, seed=4)
    return {"ids": np.arange(ITEMS), "price": drawn["price"][0]}


@pytest.fixture(scope="module")
def requests(items):
    lists = np.tile(np.arange(3, dtype=np.int32), (USERS, 1))
    labels = np.ones(lists.shape, np.float32)
    user = np.arange(USERS)
    return Requests({"user": user}, items, lists, labels, user)


@pytest.fixture(scope="module")
def servable(nets, items):
    cascade = Cascade(dict(nets), SIZES)
    return cascade.servable(Catalogue(IDS, items))


@pytest.fixture(scope="module")
def loaded(servable, tmp_path_factory):
    path = tmp_path_factory.mktemp("cascade")
    publish({path / "cascade": servable}, version=1)
    return tf.saved_model.load(str(path / "cascade" / "1"))


def called(loaded, signature, **inputs):
    found = loaded.signatures[signature](**inputs)
    return {name: values.numpy() for name, values in found.items()}


def test_the_page_is_that_of_the_study(loaded, nets, requests):
    evaluator = CatalogueEvaluator(requests, Pairs([], [], ITEMS), np.arange(ITEMS) < 5)
    kept = Cascade(dict(nets), SIZES).kept(evaluator)
    found = called(loaded, "serving_default", user=tf.range(USERS, dtype=tf.int64))
    assert found["ids"].astype(str).tolist() == IDS[kept["fine"]].tolist()


def test_exclusions_are_no_candidates_to_stand_among(loaded, nets, requests):
    seen = Pairs(np.repeat(np.arange(USERS), 2), np.arange(2 * USERS), ITEMS)
    evaluator = CatalogueEvaluator(requests, seen, np.arange(ITEMS) < 5)
    sizes = (17, 8, 4)
    kept = Cascade(dict(nets), sizes).kept(evaluator)
    keep = dict(zip(("keep_recall", "keep_coarse", "keep_fine"), sizes))
    found = called(
        loaded,
        "cascade_dynamic",
        user=tf.range(USERS, dtype=tf.int64),
        exclude=tf.constant(IDS[np.arange(2 * USERS).reshape(USERS, 2)]),
        **{name: tf.constant(size) for name, size in keep.items()},
    )
    assert found["ids"].astype(str).tolist() == IDS[kept["fine"]].tolist()


@pytest.mark.parametrize("keep", [(0, 0, 0), (1, 1, 1), (60, 60, 60), (3, 0, 5)])
def test_any_sizes_give_finite_scores(loaded, keep):
    names = ("keep_recall", "keep_coarse", "keep_fine")
    found = called(
        loaded,
        "cascade_dynamic",
        user=tf.constant([2], tf.int64),
        exclude=tf.constant([IDS[:58]]),
        **{name: tf.constant(size) for name, size in zip(names, keep)},
    )
    assert np.isfinite(found["scores"]).all()
    assert found["mask"].sum() == min(*keep, 2)


@pytest.mark.parametrize("stage", ["coarse", "fine"])
def test_a_stage_scores_given_ids_as_in_the_cascade(loaded, nets, requests, stage):
    scored = Cascade(dict(nets), SIZES).scored(requests)
    rows = np.arange(USERS)
    chosen = np.random.default_rng(0).integers(0, ITEMS, (USERS, 7))
    expected = nets[stage].ranker(scored)(rows, chosen)
    found = called(
        loaded,
        stage,
        user=tf.range(USERS, dtype=tf.int64),
        ids=tf.constant(IDS[chosen]),
    )
    np.testing.assert_allclose(found["scores"], expected, atol=1e-4)


def test_inverted_lists_hand_scores_on(nets, items, tmp_path):
    cascade = Cascade(dict(nets), SIZES)
    example = {"user": np.arange(USERS)}
    servable = cascade.servable(Catalogue(IDS, items), index=Ivf(), example=example)
    publish({tmp_path / "ivf": servable}, version=1)


def test_a_page_without_standings_does_not_contain_the_item_tower(nets, items):
    plain = made("fine", Net(Dnn((5,)), ("user", "price")))
    towers = (nets["retrieval"].models[side] for side in ("query", "item"))
    stage = RankingStage("fine", plain.model, 4)
    servable = cascade_servable(*towers, [stage], SPEC, items, IDS, recall=9)
    names = {
        variable.name
        for function in servable.signatures.values()
        for variable in function.variables
    }
    assert not [name for name in names if "retrieval_item" in name]


def test_a_stage_reads_no_pairs_but_those_of_stages_before(nets, items):
    towers = [nets["retrieval"].models[side] for side in ("query", "item")]
    for features in (("ids", "coarsely"), ("ids", "taste")):
        model = made("coarse", Net(Dnn((5,)), features)).model
        stages = [RankingStage("coarse", model, 4)]
        with pytest.raises(
            ValueError, match=rf"'coarse' reads .*'{features[1]}'.*\['re"
        ):
            cascade_servable(*towers, stages, SPEC, items, IDS, recall=9)


def test_alone_a_ranker_is_sent_how_its_candidates_stood(nets, tmp_path):
    model = nets["fine"].model
    publish({tmp_path / "fine": ranker_servable(model, SPEC)}, version=1)
    signatures = tf.saved_model.load(str(tmp_path / "fine" / "1")).signatures
    inputs = signatures["serving_default"].structured_input_signature[1]
    assert inputs["stood"].shape.as_list() == [None, None, 2]
