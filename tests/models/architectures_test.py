"""Architectures: named outputs of the right shape, and values from their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.models import (
    CoarseTwoTower,
    DcnV2,
    Dnn,
    NetInputs,
    SequenceTower,
    TwoTower,
)

USER, ITEM, SLOTS = 5, 6, 3
RANKER = {
    "net": (),
    "net_hidden": (3,),
    "net_hidden_0": (8,),
    "net_hidden_1": (3,),
}
# By architecture: the shape behind [B, L] of each output, "query" has no L.
CASES = {
    "dnn": (Dnn((8, 3), dropout=0.2, l2=0.1), RANKER),
    "dcn": (
        DcnV2(2, (8, 3), dropout=0.2, l2=0.1),
        RANKER,
    ),
    "two_tower": (
        TwoTower((8,), dim=4, l2=0.1),
        {"net": (), "net_query": (4,), "net_item": (4,)},
    ),
    "sequence": (
        SequenceTower((8,), dim=4, l2=0.1, blocks=2),
        {"net": (), "net_query": (4,), "net_item": (4,)},
    ),
    "coarse": (
        CoarseTwoTower((8,), dim=4, interaction=3, l2=0.1),
        {"net": (), "net_hidden": (3,), "net_hidden_0": (3,)},
    ),
}
EVERY = pytest.mark.parametrize("case", CASES)


def build(case: str) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(4)
    inputs = [tf.keras.Input([USER]), tf.keras.Input([None, ITEM])]
    sequence = [tf.keras.Input([SLOTS, 4]), tf.keras.Input([SLOTS], dtype=tf.bool)]
    read = NetInputs(
        {"user": inputs[0]}, {"item": inputs[1]}, unpooled=lambda name: tuple(sequence)
    )
    inputs += sequence  # which only a net of sequences reads
    model = tf.keras.Model(inputs, CASES[case][0](read, name="net"))
    for weight in model.trainable_weights:  # biases start at 0: give them a part
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.1))
    return model


def batch(size: int = 3, length: int = 4) -> list[tf.Tensor]:
    rng = np.random.default_rng(size)
    shapes = ([size, USER], [size, length, ITEM], [size, SLOTS, 4])
    sides = [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]
    return [*sides, tf.constant(rng.uniform(size=[size, SLOTS]) < 0.7)]


@EVERY
@pytest.mark.parametrize(("size", "length"), [(1, 1), (3, 7), (2, 0)])
def test_outputs_have_their_names_and_shapes(case, size, length):
    found = {k: tuple(v.shape) for k, v in build(case)(batch(size, length)).items()}
    expected = {
        name: (size, *last) if name == "net_query" else (size, length, *last)
        for name, last in CASES[case][1].items()
    }
    assert found == expected


class Weights:
    """The dense layers of a model by name, computed in numpy."""

    def __init__(self, model: tf.keras.Model) -> None:
        self.model = model

    def dense(self, name: str, x: np.ndarray, relu: bool = True) -> np.ndarray:
        *kernels, bias = (w.numpy() for w in self.model.get_layer(name).weights)
        out = x @ np.concatenate(kernels) + bias
        return np.maximum(out, 0) if relu else out

    def logit(self, x: np.ndarray) -> np.ndarray:
        return self.dense("net_logit", x, relu=False)[..., 0]

    def towers(self, user, item, prefix: str) -> tuple[np.ndarray, np.ndarray]:
        return tuple(
            self.dense(
                f"{prefix}_{side}_vector", self.dense(f"{prefix}_{side}_0", x), False
            )
            for side, x in (("query", user), ("item", item))
        )


def dnn(net: Weights, user, item, both) -> dict[str, np.ndarray]:
    hidden = net.dense("net_0", net.dense("net_folded", both))
    return {"net": net.logit(hidden), "net_hidden": hidden}


def dcn(net: Weights, user, item, both) -> dict[str, np.ndarray]:
    crossed = both
    for index in range(2):
        cross = net.dense(f"net_cross_{index}", crossed, relu=False)
        crossed = both * cross + crossed
    hidden = net.dense("net_0", net.dense("net_folded", both))
    logit = net.logit(np.concatenate([crossed, hidden], axis=-1))
    return {"net": logit, "net_hidden": hidden}


def two_tower(net: Weights, user, item, both) -> dict[str, np.ndarray]:
    query, vectors = net.towers(user, item, "net")
    scores = np.einsum("bd,bld->bl", query, vectors)
    return {"net": scores, "net_query": query, "net_item": vectors}


def coarse(net: Weights, user, item, both) -> dict[str, np.ndarray]:
    query, vectors = net.towers(user, item, "net_tower")
    product = query[:, None] * vectors
    hidden = net.dense("net_0", product)
    logit = net.logit(np.concatenate([product, hidden], axis=-1))
    return {"net": logit, "net_hidden": hidden}


@pytest.mark.parametrize("reference", [dnn, dcn, two_tower, coarse])
def test_outputs_equal_the_formula(reference):
    model, sides = build(reference.__name__), batch()
    user, item = (side.numpy() for side in sides[:2])
    tiled = np.repeat(user[:, None], item.shape[1], axis=1)
    both = np.concatenate([tiled, item], axis=-1)
    found = model(sides)
    for name, expected in reference(Weights(model), user, item, both).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)


@EVERY
def test_a_score_does_not_depend_on_the_rest_of_the_list(case):
    model, (user, item, *sequence) = build(case), batch()
    order = [2, 0, 3]
    part = model([user, tf.gather(item, order, axis=1), *sequence])["net"]
    whole = tf.gather(model(batch())["net"], order, axis=1)
    np.testing.assert_allclose(part, whole, atol=1e-5)


@EVERY
def test_kernels_are_regularised_and_other_weights_are_not(case):
    model = build(case)
    kernels = [w for w in model.trainable_weights if "kernel" in _keras.path_of(w)]
    regular = [w for w in kernels if "logit" not in _keras.path_of(w)]
    total = sum(0.1 * float(tf.reduce_sum(w**2)) for w in regular)
    assert float(tf.add_n(model.losses)) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("case", ["dnn", "dcn"])
def test_dropout_acts_in_training_alone(case):
    model = build(case)
    scores = [model(batch())["net"] for _ in range(2)]
    np.testing.assert_array_equal(*scores)
    assert np.abs(model(batch(), training=True)["net"] - scores[0]).max() > 0


@EVERY
def test_mixed_precision_keeps_scores_and_vectors_in_float32(case):
    full = build(case)
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        half = build(case)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    half.set_weights(full.get_weights())
    outputs = half(batch())
    for name in outputs:
        if "hidden" not in name:
            assert outputs[name].dtype == tf.float32
    np.testing.assert_allclose(outputs["net"], full(batch())["net"], atol=0.05)


@EVERY
def test_saved_models_score_as_before(case, tmp_path):
    model = build(case)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    for name, value in model(batch()).items():
        np.testing.assert_array_equal(loaded(batch())[name], value)


def test_a_ranker_without_hidden_layers_is_refused():
    user, item = tf.keras.Input([USER]), tf.keras.Input([None, ITEM])
    with pytest.raises(ValueError, match="at least one layer"):
        Dnn(units=())(NetInputs({"u": user}, {"i": item}), name="net")


def test_towers_without_layers_are_matrix_factorisation():
    user, item = tf.keras.Input([ITEM]), tf.keras.Input([None, ITEM])
    net = TwoTower((), dim=None, shared=2)
    outputs = net(NetInputs({"u": user}, {"i": item}), name="net")
    model = tf.keras.Model([user, item], outputs)
    assert not model.weights
    u, i = np.ones([3, ITEM], np.float32), np.ones([3, 5, ITEM], np.float32)
    found = model([u, i])
    assert found["net"].shape == (3, 3 + 3 * 2)
    assert (found["net"].numpy() == ITEM).all()
    assert found["net_item"].shape == (3, 5, ITEM)


@pytest.mark.skipif(_keras.VERSION == "3", reason="TFRS needs Keras 2")
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_cross_layers_are_those_of_tfrs(l2):
    """Values, gradients' penalties and the distribution of first weights."""
    import tensorflow_recommenders as tfrs

    user, item = tf.keras.Input([3]), tf.keras.Input([None, 2])
    net = DcnV2(cross_layers=3, units=(4,), l2=l2)
    out = net(NetInputs({"u": user}, {"i": item}), name="net")
    whole = tf.keras.Model([user, item], out)
    names = ("net_input", "net_cross_0_sum", "net_cross_1_sum", "net_cross_2_sum")
    model = tf.keras.Model(
        [user, item], [whole.get_layer(name).output for name in names]
    )
    rng = np.random.default_rng(0)
    sides = [tf.constant(rng.normal(size=s), tf.float32) for s in ((2, 3), (2, 4, 2))]
    start, *crossed = model(sides)
    for index in (1, 2):
        ours = whole.get_layer(f"net_cross_{index}")
        theirs = tfrs.layers.dcn.Cross(kernel_regularizer=ours.kernel_regularizer)
        theirs(start, crossed[0])
        ours.bias.assign(rng.normal(size=5))
        theirs.set_weights(ours.get_weights())
        start, *crossed = model(sides)
        np.testing.assert_allclose(
            crossed[index], theirs(start, crossed[index - 1]), rtol=1e-6, atol=1e-6
        )
        assert float(sum(theirs.losses)) == pytest.approx(float(sum(ours.losses)))
        kinds = [layer.kernel_initializer for layer in (ours, theirs._dense)]
        assert kinds[0].get_config() == kinds[1].get_config()


@pytest.mark.skipif(_keras.VERSION == "2", reason="keras-rs needs Keras 3")
def test_cross_layers_are_those_of_keras_rs():
    keras_rs = pytest.importorskip("keras_rs", reason="keras-rs is not installed")
    model, sides = build("dcn"), batch()
    names = ("net_input", "net_cross_0_sum", "net_cross_1_sum")
    part = tf.keras.Model(model.input, [model.get_layer(n).output for n in names])
    start, *crossed = part(sides)
    theirs = [keras_rs.layers.FeatureCross() for _ in crossed]
    found = start
    for index, layer in enumerate(theirs):
        layer(start, found)
        *kernels, bias = model.get_layer(f"net_cross_{index}").get_weights()
        layer.set_weights([np.concatenate(kernels), bias])
        found = layer(start, found)
        np.testing.assert_allclose(found, crossed[index], rtol=1e-5, atol=1e-5)
