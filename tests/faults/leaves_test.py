"""What leaves the building: no row of the data, no weight of a teacher."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.export import (
    RankingStage,
    cascade_servable,
    example_batch,
    ranker_servable,
    recall_servable,
    reindexed,
)
from tfdistill.export.values import refuse_values
from tfdistill.layers import FeatureEmbeddings, standalone
from tfdistill.models import Dnn, Net, Representation, TwoTower, joint_network
from tfdistill.serving.models import warm_up_requests
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    (
        Feature("city", "categorical", "user", table="city", dtype="string"),
        Feature("user_id", "categorical", "user", table="user"),
        Feature("income", "numeric", "user", mean=50.0, scale=9.0),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("price", "numeric", "item"),
    ),
    (
        Table("city", 8, kind="vocabulary", vocabulary=("Bern", "Ulm")),
        Table("user", 8, size=2**10),
        Table("item", 8, size=40),
    ),
)
PERSON = {
    "city": ["a village of one house"],
    "user_id": [7_310_594_221_877],
    "income": [81_234.5],
}
ITEMS = 12


@pytest.fixture(scope="module")
def network():
    """Nets as they are after a training: no bias is zero."""
    tf.keras.utils.set_random_seed(3)
    nets = {
        "teacher": Net(Dnn((16, 16)), SPEC.names),
        "fine": Net(Dnn((16, 16)), SPEC.names),
        "recall": Net(TwoTower((8,), 8), SPEC.names, task="recall"),
    }
    joint = joint_network(SPEC, nets, representation=Representation(8))
    rng = np.random.default_rng(0)
    for weight in joint.model.trainable_weights:
        weight.assign(rng.normal(0, 0.3, weight.shape).astype(np.float32))
    return joint


@pytest.fixture(scope="module")
def example():
    """A person of the test set, and the candidates that were shown."""
    drawn = example_batch(SPEC, batch_size=1, list_size=6, seed=9)
    items = {name: drawn[name] for name in ("item_id", "price")}
    return {**items, **{name: np.array(value) for name, value in PERSON.items()}}


@pytest.fixture(scope="module")
def items():
    drawn = example_batch(SPEC, batch_size=1, list_size=ITEMS, seed=4)
    return {f.name: drawn[f.name][0] for f in SPEC.scope("item")}


def towers(network):
    return [
        network.part("recall", output=f"recall_{tower}", scope=scope)
        for tower, scope in (("query", "user"), ("item", "item"))
    ]


@pytest.fixture(scope="module")
def folders(network, example, items, tmp_path_factory):
    """Every kind of export, made with a real person's features."""
    base = tmp_path_factory.mktemp("models")
    pair, ids = towers(network), np.arange(ITEMS)
    stage = RankingStage("fine", network.part("fine"), 3)
    arguments = {"example": example}
    recall = recall_servable(*pair, SPEC, items, ids, k=3, **arguments)
    recall.save(base / "recall")
    made = {
        "ranker": ranker_servable(network.part("fine"), SPEC, **arguments),
        "cascade": cascade_servable(
            *pair, [stage], SPEC, items, ids, recall=6, **arguments
        ),
        "reindexed": reindexed(base / "recall", SPEC, items, ids, k=3, example=example),
    }
    for name, servable in made.items():
        servable.save(base / name)
    return {name: base / name for name in ("recall", *made)}


KINDS = ("ranker", "recall", "cascade", "reindexed")


@pytest.mark.parametrize("kind", KINDS)
def test_no_feature_of_a_person_is_in_any_file(folders, kind):
    content = b"".join(
        path.read_bytes() for path in folders[kind].rglob("*") if path.is_file()
    )
    assert b"a village of one house" not in content
    assert np.float32(PERSON["income"][0]).tobytes() not in content
    assert np.int64(PERSON["user_id"][0]).tobytes() not in content
    varint = tf.train.Int64List(value=PERSON["user_id"]).SerializeToString()[2:]
    assert varint not in content


@pytest.mark.parametrize("kind", KINDS)
def test_warm_up_requests_are_drawn_from_the_spec(folders, kind):
    requests = dict(warm_up_requests(folders[kind]))
    assert "serving_default" in requests
    _, _, cities = requests["serving_default"]["city"]
    known = {*SPEC.table_of(SPEC["city"]).vocabulary, "", "a value that no table lists"}
    assert {city.decode() for city in cities} <= known
    _, shape, ids = requests["serving_default"]["user_id"]
    assert shape == (1,)
    assert np.abs(np.frombuffer(ids, np.int64)).max() <= 2**10


def test_warm_up_requests_are_the_same_whoever_is_given(network, example):
    others = example_batch(SPEC, batch_size=1, list_size=6, seed=77)
    first, second = (
        ranker_servable(network.part("fine"), SPEC, example=given).warm_up
        for given in (example, others)
    )
    for name, inputs in first.items():
        for key, values in inputs.items():
            np.testing.assert_array_equal(values, second[name][key])


@tf.keras.utils.register_keras_serializable(package="leaves")
class Smuggled(tf.keras.layers.Layer):
    """Adds to scores nothing of a tensor that a function gives."""

    def __init__(self, give, **kwargs):
        super().__init__(**kwargs)
        self.give = give
        self.kept = getattr(give, "kept", None)

    def call(self, scores):
        """The scores, made to depend on what is given."""
        given = tf.cast(tf.reshape(self.give(), [-1]), tf.float32)
        return scores + 1e-6 * tf.reduce_mean(given)


class Kept:
    """A function of things that a SavedModel must track."""

    def __init__(self, give, *kept):
        self.give, self.kept = give, kept

    def __call__(self):
        return self.give()


def constant(kernel):
    return lambda: tf.constant(kernel)


def captured(kernel):
    tensor = tf.constant(kernel)  # an eager tensor: becomes an input, then a constant
    return lambda: tensor


def clone(kernel):
    variable = tf.Variable(kernel, name="clone")
    return Kept(lambda: variable, variable)


def half(kernel):
    return lambda: tf.constant(kernel, tf.float16)


def brain_half(kernel):
    rounded = tf.cast(kernel, tf.bfloat16).numpy()
    return lambda: tf.constant(rounded)


def rounded_clone(kernel):
    variable = tf.Variable(kernel.astype(np.float16).astype(np.float32), name="clone")
    return Kept(lambda: variable, variable)


def double(kernel):
    return lambda: tf.constant(kernel.astype(np.float64))


def transposed(kernel):
    return lambda: tf.constant(kernel.T.copy())


def columns(kernel):
    return lambda: tf.constant(kernel[:, 3:5].copy())


def rows(kernel):
    return lambda: tf.constant(kernel[4:9].copy())


def negated(kernel):
    return lambda: tf.constant(-kernel)


def part_of_more(kernel):
    noise = np.random.default_rng(1).normal(size=[3000])
    return lambda: tf.constant(np.concatenate([noise, kernel.ravel(), noise]))


def nested(kernel):
    @tf.function
    def inner():
        return tf.constant(kernel)

    @tf.function
    def outer():
        return 2.0 * inner()

    return outer


def branch(kernel):
    return lambda: tf.cond(
        tf.random.uniform([]) < 2.0,
        lambda: tf.reduce_sum(tf.constant(kernel)),
        lambda: 0.0,
    )


def loop(kernel):
    return lambda: tf.while_loop(
        lambda i, _: i < 2,
        lambda i, x: (i + 1, x + tf.reduce_sum(tf.constant(kernel))),
        (0, 0.0),
    )[1]


def raw_bytes(kernel):
    return lambda: tf.io.decode_raw(tf.constant(kernel.tobytes()), tf.float32)


def bits(kernel):
    return lambda: tf.bitcast(tf.constant(kernel.view(np.int32)), tf.float32)


def lookup_table(kernel):
    keys = tf.range(kernel.size, dtype=tf.int64)
    values = tf.constant(kernel.ravel())
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(keys, values), 0.0
    )
    return Kept(lambda: table.lookup(keys), table)


def asset(kernel, folder):
    file = folder / "values.txt"
    file.write_text(
        "".join(f"{row}\t{x}\n" for row, x in enumerate(kernel.ravel().tolist()))
    )
    initializer = tf.lookup.TextFileInitializer(
        str(file), tf.int64, 0, tf.float32, 1, delimiter="\t"
    )
    table = tf.lookup.StaticHashTable(initializer, 0.0)
    keys = tf.range(kernel.size, dtype=tf.int64)
    return Kept(lambda: table.lookup(keys), table)


WAYS = (
    *(constant, captured, clone, half, brain_half, rounded_clone, double, transposed),
    *(columns, rows, negated, part_of_more, nested, branch, loop, raw_bytes, bits),
    *(lookup_table,),
)


PRICE = SPEC.select(["price"])


def smuggling(give) -> tf.keras.Model:
    """The least model that a server takes, with something more in its graph."""
    inputs = PRICE.keras_inputs()
    return tf.keras.Model(inputs, {"fine": Smuggled(give)(inputs["price"])})


def kernel_of(network) -> tf.Variable:
    return network.model.get_layer("teacher_0").kernel


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_teacher_s_weight_does_not_go_out(network, way):
    kernel = _keras.tf_variable(kernel_of(network))
    model = smuggling(way(kernel.numpy()))
    with pytest.raises(ValueError, match=f"forbidden model: .*{kernel.name!r}"):
        ranker_servable(model, PRICE, forbidden=[network.part("teacher")])


def test_a_table_of_an_asset_file_does_not_go_out(network, tmp_path):
    model = smuggling(asset(kernel_of(network).numpy(), tmp_path))
    with pytest.raises(ValueError, match="forbidden model: lookup table"):
        ranker_servable(model, PRICE, forbidden=[network.part("teacher")])


def test_what_holds_it_is_named(network):
    kernel, teacher = kernel_of(network).numpy(), network.part("teacher")
    for way, message in (
        (clone, "variable 'clone:0' has those of the weight"),
        (constant, "constant '.*' of signature 'serving_default'"),
    ):
        with pytest.raises(ValueError, match=message):
            ranker_servable(smuggling(way(kernel)), PRICE, forbidden=[teacher])


def test_towers_and_stages_are_looked_through_as_well(network, items):
    pair, ids = towers(network), np.arange(ITEMS)
    kernel, teacher = kernel_of(network).numpy(), network.part("teacher")
    query = tf.keras.Model(pair[0].input, Smuggled(clone(kernel))(pair[0].outputs[0]))
    with pytest.raises(ValueError, match="forbidden model: variable 'clone:0'"):
        recall_servable(query, pair[1], SPEC, items, ids, k=3, forbidden=[teacher])
    stage = RankingStage("fine", smuggling(constant(kernel)), 3)
    with pytest.raises(ValueError, match="forbidden model: constant"):
        cascade_servable(
            *pair, [stage], SPEC, items, ids, recall=6, forbidden=[teacher]
        )


@pytest.mark.parametrize("copy", [lambda model: model, standalone])
def test_what_nets_share_by_design_is_no_secret(network, items, copy):
    """The tables, cut or whole, and the representation; also of copies of both nets."""
    teacher = copy(network.part("teacher"))
    ranker_servable(copy(network.part("fine")), SPEC, forbidden=[teacher])
    pair = [copy(tower) for tower in towers(network)]
    recall_servable(*pair, SPEC, items, np.arange(ITEMS), k=3, forbidden=[teacher])


def test_an_index_of_a_shared_table_is_no_secret(items):
    """Here the vectors of the items are rows of a table that a teacher reads, too."""
    inputs = SPEC.keras_inputs()
    embeddings = FeatureEmbeddings(SPEC, initializer="glorot_normal")
    user, item = (
        embeddings({name: inputs[name]})[name] for name in ("user_id", "item_id")
    )
    teacher = tf.keras.Model(
        {name: inputs[name] for name in ("user_id", "item_id")}, user[:, None] * item
    )
    query = tf.keras.Model({"user_id": inputs["user_id"]}, user)
    item = tf.keras.Model({"item_id": inputs["item_id"]}, item)
    given = {"item_id": np.arange(ITEMS)}
    recall_servable(
        query, item, SPEC, given, np.arange(ITEMS), k=3, forbidden=[teacher]
    )


@pytest.mark.parametrize(
    "values",
    [
        np.zeros([64, 64], np.float32),
        np.ones([64], np.float32),
        np.eye(64, dtype=np.float32),
        np.full([16, 16], 0.5, np.float32),
        np.array([0.1, 0.2, 0.3, 0.4], np.float32),
    ],
    ids=["zeros", "ones", "identity", "fill", "tiny"],
)
def test_what_every_model_begins_with_is_no_secret(values):
    refuse_values([("a constant", values)], [tf.Variable(values)], shared=())


def test_statistics_of_the_same_data_are_no_secret(network):
    """Teacher and student normalise the same inputs: their means are equal."""

    def normalising(name):
        part = network.part(name)
        scores = part.output[name]
        layer = tf.keras.layers.BatchNormalization(axis=-1, name=f"{name}_norm")
        wide = layer(tf.keras.layers.Concatenate()([scores[..., tf.newaxis]] * 32))
        layer.moving_mean.assign(np.linspace(0.1, 3.3, 32))
        return tf.keras.Model(part.input, {name: wide[..., 0]})

    teacher, fine = normalising("teacher"), normalising("fine")
    ranker_servable(fine, SPEC, forbidden=[teacher])


def test_other_drawn_weights_are_not_taken_for_the_teacher_s():
    """A million values of each, drawn alike, have no windows in common by chance."""
    rng = np.random.default_rng(5)
    weight = tf.Variable(rng.uniform(-0.05, 0.05, [2**10, 2**10]).astype(np.float32))
    other = rng.uniform(-0.05, 0.05, [2**10, 2**10]).astype(np.float32)
    refuse_values([("a variable", other)], [weight], shared=())
    other[500] = weight.numpy()[7]  # one row in a thousand
    with pytest.raises(ValueError, match="a variable has those of the weight"):
        refuse_values([("a variable", other)], [weight], shared=())
