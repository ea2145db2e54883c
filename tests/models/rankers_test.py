"""Every ranker over a FeatureSpec: outputs, gradients, precision, saving, export."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.export import example_batch, ranker_servable
from tfdistill.layers import standalone
from tfdistill.models import (
    AutoInt,
    BehaviourTransformer,
    DeepFm,
    Din,
    FiBiNet,
    Fm,
    JointNetwork,
    Linear,
    Mmoe,
    Net,
    Representation,
    SeNetDnn,
    XDeepFm,
    joint_network,
)
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("user_id", "categorical", "user", table="user"),
        Feature("history", "categorical", "user", table="item", shape=(4,)),
        Feature("genres", "categorical", "user", table="genre", shape=(4,)),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("genre", "categorical", "item", table="genre"),
    ),
    tables=(
        Table("user", 4, size=7),
        Table("item", 4, size=9),
        Table("genre", 4, size=3),
    ),
)
PAIRS = (("history", "item_id"), ("genres", "genre"))
DEEP = {"units": (8, 3), "dropout": 0.2, "l2": 0.1}
TASKS = ("click", "like")
CASES = {
    "linear": Linear(l2=0.1),
    "fm": Fm(l2=0.1),
    "deep_fm": DeepFm(**DEEP),
    "x_deep_fm": XDeepFm(maps=(3, 2), **DEEP),
    "fibinet": FiBiNet(ratio=2, **DEEP),
    "auto_int": AutoInt(blocks=2, heads=2, dim=3, **DEEP),
    "se_net_dnn": SeNetDnn(**DEEP),
    "din": Din(PAIRS, attention=(6, 5), **DEEP),
    "transformer": BehaviourTransformer(PAIRS, blocks=2, heads=2, **DEEP),
    "mmoe": Mmoe(TASKS, experts=3, units=(5,), tower=(8, 3), dropout=0.2, l2=0.1),
}
EVERY = pytest.mark.parametrize("case", CASES)


def build(case: str) -> JointNetwork:
    tf.keras.utils.set_random_seed(1)
    made = joint_network(SPEC, {"net": Net(CASES[case], SPEC.names)})
    for weight in made.model.trainable_weights:  # biases start at 0: give them a part
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.1))
    return made


@functools.cache
def network(case: str) -> JointNetwork:
    """The network of one ranker; built once, as no test changes its weights."""
    return build(case)


def batch(size: int = 3, length: int = 4, seed: int = 1) -> dict[str, tf.Tensor]:
    drawn = example_batch(SPEC, batch_size=size, list_size=length, seed=seed)
    return {name: tf.constant(values) for name, values in drawn.items()}


def scores(case: str) -> list[str]:
    """Names of the outputs that are logits."""
    return list(network(case).nets["net"].scores("net"))


@EVERY
@pytest.mark.parametrize(("size", "length"), [(1, 1), (3, 7), (2, 0)])
def test_outputs_have_their_names_and_shapes(case, size, length):
    found = network(case).model(batch(size, length))
    layers = {"hidden_0": (8,), "hidden_1": (3,), "hidden": (3,)}
    expected = {score: (size, length) for score in scores(case)}
    if case not in ("linear", "fm"):
        expected |= {
            f"{score}_{layer}": (size, length, *width)
            for score in scores(case)
            for layer, width in layers.items()
        }
    if case == "se_net_dnn":
        expected["net_gates"] = (size, length, len(SPEC.features))
    assert {name: tuple(value.shape) for name, value in found.items()} == expected
    assert all(np.all(np.isfinite(value)) for value in found.values())


@EVERY
def test_a_score_does_not_depend_on_the_rest_of_the_list(case):
    x, order = batch(), [2, 0, 3]
    shuffled = {
        name: tf.gather(values, order, axis=1)
        if name in ("item_id", "genre")
        else values
        for name, values in x.items()
    }
    found, part = network(case).model(x), network(case).model(shuffled)
    for name in found:
        expected = tf.gather(found[name], order, axis=1)
        np.testing.assert_allclose(part[name], expected, atol=1e-5)


@EVERY
def test_a_score_depends_on_every_feature(case):
    before, other = network(case).model(batch()), batch(seed=2)
    for name in SPEC.names:
        after = network(case).model({**batch(), name: other[name]})
        for score in scores(case):
            assert np.abs(after[score] - before[score]).max() > 0, (name, score)


@EVERY
def test_an_empty_history_is_finite(case):
    x = {**batch(), "history": -tf.ones([3, 4], tf.int64)}
    x["genres"] = x["history"]
    for value in network(case).model(x).values():
        assert np.all(np.isfinite(value))


@EVERY
def test_gradient_reaches_the_tables_and_every_kernel(case):
    model = network(case).model
    with tf.GradientTape() as tape:
        outputs = model(batch())
        loss = tf.add_n([tf.reduce_sum(outputs[name] ** 2) for name in scores(case)])
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, model.trainable_weights)
    ):
        assert gradient is not None, _keras.path_of(weight)
        # A key's bias moves all scores of a query alike.
        assert np.any(tf.convert_to_tensor(gradient)) or "key/bias" in _keras.path_of(
            weight
        )


@EVERY
def test_kernels_are_regularised_and_other_weights_are_not(case):
    model = network(case).model
    kernels = [w for w in model.trainable_weights if "kernel" in _keras.path_of(w)]
    regular = [w for w in kernels if "logit" not in _keras.path_of(w)]
    total = sum(0.1 * float(tf.reduce_sum(w**2)) for w in regular)
    assert float(tf.add_n(model.losses)) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case not in ("linear", "fm")]
)
def test_dropout_acts_in_training_alone(case):
    model, score = build(case).model, scores(case)[0]
    found = [model(batch())[score] for _ in range(2)]
    np.testing.assert_array_equal(*found)
    assert np.abs(model(batch(), training=True)[score] - found[0]).max() > 0


@EVERY
def test_mixed_precision_keeps_logits_in_float32(case):
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        half = build(case).model
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    half.set_weights(network(case).model.get_weights())
    found, expected = half(batch()), network(case).model(batch())
    for name in scores(case):
        assert found[name].dtype == tf.float32
        np.testing.assert_allclose(found[name], expected[name], atol=0.05)


@EVERY
def test_saved_models_score_as_before(case, tmp_path):
    model = network(case).model
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    for name, value in model(batch()).items():
        np.testing.assert_array_equal(loaded(batch())[name], value)


@EVERY
def test_a_ranker_is_served_as_it_was_trained(case):
    """Alone, restricted to its rows, and through all signatures."""
    expected, columns = network(case).model(batch()), batch()
    part = network(case).part("net")
    alone = standalone(part)
    for name in scores(case):
        np.testing.assert_array_equal(alone(columns)[name], expected[name])
        servable = ranker_servable(part, SPEC, output=name, example=columns)
        answers = {}
        for signature, request in servable.requests.items():
            tensors = {key: tf.constant(values) for key, values in request.items()}
            served = servable.signatures[signature](**tensors)
            answers[signature] = {key: value.numpy() for key, value in served.items()}
        np.testing.assert_allclose(
            answers["packed"]["scores"], expected[name], atol=1e-5
        )
        assert servable.difference(answers) < 1e-5


@EVERY
def test_a_representation_gives_features_of_other_widths_one(case):
    tables = (*SPEC.tables[:2], Table("genre", 2, size=3))
    spec = FeatureSpec((*SPEC.features, Feature("age", "numeric", "user")), tables)
    made = joint_network(
        spec,
        {"net": Net(CASES[case], spec.names)},
        representation=Representation(6),
    )
    x = {**batch(), "age": tf.ones([3])}
    assert made.model(x)[scores(case)[0]].shape == (3, 4)


@pytest.mark.parametrize("case", ["fm", "deep_fm", "x_deep_fm", "fibinet", "auto_int"])
def test_fields_of_several_widths_are_refused_with_a_remedy(case):
    spec = FeatureSpec((*SPEC.features, Feature("age", "numeric", "user")), SPEC.tables)
    with pytest.raises(ValueError, match=r"widths \[1, 4\].*representation="):
        joint_network(spec, {"net": Net(CASES[case], spec.names)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AutoInt(blocks=0), "at least one attention layer, got blocks=0"),
        (lambda: SeNetDnn(()), "at least one layer"),
        (lambda: Din(()), r"pairs of a user sequence.*got \(\)"),
        (lambda: BehaviourTransformer((("a",),)), r"got \(\('a',\),\)"),
        (lambda: BehaviourTransformer(PAIRS, blocks=0), "one block, got blocks=0"),
        (lambda: Mmoe(()), r"different names, got tasks=\(\)"),
        (lambda: Mmoe(("a", "a")), "different names"),
        (lambda: Mmoe(TASKS, experts=0), "got experts=0"),
        (lambda: Mmoe(TASKS, tower=()), r"tower=\(\)"),
    ],
)
def test_settings_that_make_no_net_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
