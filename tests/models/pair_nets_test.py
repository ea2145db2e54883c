"""Nets that read features of pairs: values from formulas, and who may read them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.export import example_batch
from tfdistill.models import (
    AutoInt,
    BehaviourTransformer,
    CoarseTwoTower,
    DcnV2,
    DeepFm,
    Din,
    Dnn,
    FiBiNet,
    Fm,
    Linear,
    Mmoe,
    Net,
    Representation,
    SeNetDnn,
    TwoTower,
    XDeepFm,
    joint_network,
)
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    (
        Feature("age", "numeric", "user", mean=30.0, scale=10.0),
        Feature("history", "categorical", "user", table="item", shape=(4,)),
        Feature("score", "numeric", "pair", mean=1.0, scale=2.0),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("seen", "categorical", "pair", table="seen"),
    ),
    (Table("item", 4, size=9), Table("seen", 4, size=3)),
)
BEHAVIOUR = (("history", "item_id"),)
RANKERS = {
    "dnn": Dnn((6, 3)),
    "dcn": DcnV2(2, (6, 3)),
    "coarse": CoarseTwoTower((6,), dim=4, interaction=3),
    "linear": Linear(),
    "fm": Fm(),
    "deep_fm": DeepFm((6, 3)),
    "x_deep_fm": XDeepFm(maps=(3, 2), units=(6, 3)),
    "fibinet": FiBiNet(ratio=2, units=(6, 3)),
    "auto_int": AutoInt(blocks=1, heads=2, dim=3, units=(6, 3)),
    "se_net_dnn": SeNetDnn((6, 3)),
    "din": Din(BEHAVIOUR, units=(6, 3)),
    "transformer": BehaviourTransformer(BEHAVIOUR, blocks=1, heads=2, units=(6, 3)),
    "mmoe": Mmoe(("net",), experts=2, units=(5,), tower=(3,)),
}


def ranker(architecture, names=SPEC.names, name="net", **options):
    tf.keras.utils.set_random_seed(1)
    made = joint_network(SPEC, {name: Net(architecture, names)}, **options)
    for weight in made.model.trainable_weights:
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.2))
    return made


def batch(size=3, length=4):
    drawn = example_batch(SPEC, batch_size=size, list_size=length, seed=1)
    return {name: tf.constant(values) for name, values in drawn.items()}


def scored(model, features) -> np.ndarray:
    (logits,) = model({name: features[name] for name in model.input}).values()
    return logits.numpy()


@pytest.mark.parametrize("case", RANKERS)
def test_a_pair_moves_the_score_of_its_own_candidate_alone(case):
    representation = Representation(4)  # fields of one width, numbers among them
    part = ranker(RANKERS[case], representation=representation).part("net")
    features = batch()
    before = scored(part, features)
    order = [2, 0, 3, 1]
    mixed = {
        f.name: features[f.name]
        if f.scope == "user"
        else tf.gather(features[f.name], order, axis=1)
        for f in SPEC.features
    }
    np.testing.assert_allclose(scored(part, mixed), before[:, order], atol=1e-5)
    for name in ("score", "seen"):
        values = features[name].numpy()
        values[1, 2] = (values[1, 2] + 1) % 3
        changed = scored(part, {**features, name: tf.constant(values)}) != before
        assert changed.nonzero()[0].tolist() == [1], name
        assert changed.nonzero()[1].tolist() == [2], name


def looked_up(network, features):
    """Vectors `[d]` of each feature of request b and place l, by a loop."""
    table = network.embeddings.tables["4"].numpy()

    def vector(name, b, place):
        feature, raw = SPEC[name], features[name].numpy()[b]
        raw = raw if feature.scope == "user" else raw[place]
        if feature.kind == "numeric":
            return np.array([(raw - feature.mean) / feature.scale])
        rows = network.embeddings.rows(feature, tf.constant(raw)).numpy()
        if not feature.shape:
            return table[rows]
        kept = [table[r] for r, value in zip(rows, raw) if value != feature.default]
        return np.mean(kept, axis=0) if kept else np.zeros(4)

    return vector


def test_the_folded_first_layer_multiplies_pairs_with_the_items():
    network, features = ranker(Dnn((5,))), batch()
    (first,) = (x for x in network.model.layers if hasattr(x, "user_kernel"))
    vector = looked_up(network, features)
    logit = network.model.get_layer("net_logit")
    assert first.user_kernel.shape == (5, 5) and first.item_kernel.shape == (9, 5)
    for b in range(3):
        for place in range(4):
            sides = [vector(n, b, place) for n in ("age", "history")]
            sides += [vector(n, b, place) for n in ("item_id", "score", "seen")]
            kernel = np.concatenate([first.user_kernel, first.item_kernel])
            hidden = np.maximum(np.concatenate(sides) @ kernel + first.bias, 0)
            expected = hidden @ logit.kernel.numpy() + logit.bias.numpy()
            found = scored(network.part("net"), features)[b, place]
            np.testing.assert_allclose(found, expected[0], rtol=1e-4)


def test_coarse_ranking_reads_pairs_above_the_product():
    network, features = ranker(CoarseTwoTower((6,), dim=4, interaction=3)), batch()
    layers = {layer.name: layer for layer in network.model.layers}
    vector = looked_up(network, features)

    def dense(name, x):
        return x @ layers[name].kernel.numpy() + layers[name].bias.numpy()

    def tower(side, x):
        hidden = np.maximum(dense(f"net_tower_{side}_0", x), 0)
        return dense(f"net_tower_{side}_vector", hidden)

    for b in range(3):
        for place in range(4):
            users = np.concatenate([vector(n, b, place) for n in ("age", "history")])
            product = tower("query", users) * tower("item", vector("item_id", b, place))
            pairs = [vector(n, b, place) for n in ("score", "seen")]
            joined = np.concatenate([product, *pairs])
            hidden = np.maximum(dense("net_0", joined), 0)
            expected = dense("net_logit", np.concatenate([joined, hidden]))
            found = scored(network.part("net"), features)[b, place]
            np.testing.assert_allclose(found, expected[0], rtol=1e-4)


def test_the_towers_of_coarse_ranking_depend_on_their_sides_alone():
    network = ranker(CoarseTwoTower((6,), dim=4, interaction=3))
    for side in ("query", "item"):
        tensor = network.model.get_layer(f"net_tower_{side}_vector").output
        names = SPEC.scope("user" if side == "query" else "item")
        inputs = {f.name: network.model.input[f.name] for f in names}
        tf.keras.Model(inputs, tensor)  # raises if it needs another


def test_a_ranker_may_read_pairs_and_nothing_else():
    part = ranker(Dnn((4,)), ("score",)).part("net")
    assert scored(part, batch()).shape == (3, 4)


@pytest.mark.parametrize("task", ["recall", "ranking"])
def test_two_towers_refuse_pairs(task):
    net = Net(TwoTower((4,), dim=3), SPEC.names, task=task)
    with pytest.raises(ValueError, match=r"'net'.*\['score', 'seen'\].*no place"):
        joint_network(SPEC, {"net": net})


def test_a_student_without_pairs_needs_none_beside_a_teacher_that_reads_them():
    served = SPEC.non_privileged().names
    nets = {"teacher": Net(Dnn((5,)), SPEC.names), "fine": Net(Dnn((4,)), served)}
    network = joint_network(SPEC, nets)
    assert set(network.part("fine").input) == set(served)
    assert "score" in network.part("teacher").input
