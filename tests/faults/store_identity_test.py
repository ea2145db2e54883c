"""A store goes on, or is given back, only under what it was begun with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from store_fixture import batches, dearer, dying, files, price, requests, store

from tfdistill.metrics import dot_scores
from tfdistill.pairs import Pairs
from tfdistill.scores import score_top_k
from tfdistill.teachers import Ease, PairTeacher, SavedModelTeacher, fused_scores
from tfdistill.trainers import EnsembleTeacher, FrozenTeacher, LoggedTeacher


@pytest.fixture(params=["finished", "killed"])
def begun(request, tmp_path):
    """The folder of a store that is finished, or has some of its shards."""
    if request.param == "finished":
        store(tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            store(tmp_path, teacher=dying(price))
        assert 0 < len(list(tmp_path.glob("shard-*.parquet"))) < 6
    return tmp_path


def refused(folder, changed, **settings):
    """It names what changed and what to do, and leaves the store as it was."""
    before = files(folder)
    with pytest.raises(ValueError, match=f"{changed} was .* and is .*another folder"):
        store(folder, **settings)
    assert files(folder) == before


@pytest.mark.parametrize(
    ("changed", "settings"),
    [
        ("teacher_fingerprint", {"teacher": dearer}),
        ("data.items.price", {"data": requests(price_seed=1)}),
        ("data.items.item_id", {"data": requests(first_id=1000)}),
        ("data.candidates", {"data": requests().select(np.arange(60)[::-1])}),
        ("data.ids", {"data": dataclasses.replace(requests(), ids=np.arange(60) + 1)}),
        ("dtype", {"dtype": "float16"}),
        ("signals", {"signals": ["hidden"]}),
        ("key_columns", {"keys": ["request_id", "item_row"]}),
    ],
)
def test_other_teachers_data_and_settings_are_refused(begun, changed, settings):
    refused(begun, changed, **settings)


def test_what_changes_no_score_is_no_other_data(begun):
    labelled = dataclasses.replace(requests(), labels=np.ones((60, 6), "f"))
    scored = np.concatenate([b["score"] for b in store(begun, labelled).blocks()])
    data = requests()
    wanted = data.items["price"][data.candidates].ravel()
    np.testing.assert_array_equal(scored, wanted)


def as_dataset(given):
    return tf.data.Dataset.from_tensor_slices(
        {name: np.stack([batch[name] for batch in given]) for name in given[0]}
    )


@pytest.mark.parametrize("kind", [list, iter, as_dataset])
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (batches(price_seed=1), "Shard 3 .* was scored from other batches"),
        (batches(order=[*range(6), 8, 7, 6, *range(9, 12)]), "Shard 3 .*another order"),
        (batches(order=range(11, -1, -1)), "data.first_batch was"),
        (batches(order=range(10)), "shard-00005.parquet'] beyond the 5 shards"),
        (batches(order=[*range(12), 0]), "Shard 6 .* is more than was scored"),
    ],
)
def test_a_stream_is_compared_shard_by_shard(tmp_path, kind, other, message):
    store(tmp_path, kind(batches()), keys=["item_id"])
    before = files(tmp_path)
    with pytest.raises(ValueError, match=f"{message}.*another folder"):
        store(tmp_path, kind(other), keys=["item_id"])
    assert files(tmp_path) == before
    (tmp_path / "shard-00001.parquet").unlink()
    store(tmp_path, kind(batches()), keys=["item_id"])
    assert files(tmp_path) == before


def keras_teacher(seed=0):
    tf.keras.utils.set_random_seed(seed)
    item = tf.keras.Input([None], dtype="int64", name="item_id")
    score = tf.keras.layers.Embedding(50, 1)(item)[..., 0]
    return tf.keras.Model({"item_id": item}, {"score": score})


class Subclassed(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = tf.keras.layers.Dense(1)

    def call(self, features):
        return {"score": self.dense(features["price"][..., None])[..., 0]}


def changed_row(model):
    """Changes the weight of one item that none of the asked requests has."""
    data = requests()
    asked = np.linspace(0, 59, 8).astype(int)
    (item,) = np.setdiff1d(np.arange(50), data.candidates[asked])[:1]
    (table,) = model.get_weights()
    table[item] += 1.0
    model.set_weights([table])


@pytest.mark.filterwarnings("ignore:Input dict contained keys")  # Keras 2
@pytest.mark.filterwarnings("ignore:The structure of .inputs. doesn.t match")
@pytest.mark.parametrize(
    "teacher_of",
    [
        lambda model: model,
        tf.function,
        FrozenTeacher,
        lambda model: tf.function(FrozenTeacher(model)),
        lambda model: EnsembleTeacher([FrozenTeacher(model)]),
        lambda model: EnsembleTeacher([FrozenTeacher(model), lambda x: model(x)]),
    ],
)
def test_a_changed_weight_that_few_rows_show_is_noticed(tmp_path, teacher_of):
    model, rebuilt = keras_teacher(), keras_teacher()
    store(tmp_path, teacher=teacher_of(model))
    store(tmp_path, teacher=teacher_of(rebuilt))  # the same, under other layer names
    changed_row(rebuilt)
    refused(tmp_path, "teacher_fingerprint", teacher=teacher_of(rebuilt))


def test_a_subclassed_model_of_other_weights_is_refused(tmp_path):
    model = Subclassed()
    store(tmp_path, teacher=model)
    store(tmp_path, teacher=model)
    model.set_weights([w * 1.0001 for w in model.get_weights()])
    refused(tmp_path, "teacher_fingerprint", teacher=model)


def exported(path, factor):
    module = tf.Module()
    module.factor = tf.Variable(factor)
    given = tf.TensorSpec([None, None], tf.float32, name="price")
    module.score = tf.function(lambda price: {"z": module.factor * price}, [given])
    tf.saved_model.save(module, str(path), {"serving_default": module.score})
    return SavedModelTeacher(path)


def test_another_savedmodel_in_the_same_place_is_refused(tmp_path):
    store(tmp_path / "store", teacher=exported(tmp_path / "model", 2.0))
    store(tmp_path / "store", teacher=SavedModelTeacher(tmp_path / "model"))
    other = exported(tmp_path / "model", 3.0)
    refused(tmp_path / "store", "teacher_fingerprint", teacher=other)


def test_another_booster_of_the_same_name_is_refused(tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    from tfdistill.spec import Feature, FeatureSpec
    from tfdistill.teachers import GbdtTeacher
    from tfdistill.teachers.columns import Columns

    def trees(rounds):
        x = np.random.default_rng(0).normal(size=(200, 1))
        data = lightgbm.Dataset(x, (x[:, 0] > 0).astype(float))
        settings = {"objective": "binary", "verbosity": -1}
        booster = lightgbm.train(settings, data, rounds)
        spec = FeatureSpec((Feature("price", "numeric", "item"),))
        made = GbdtTeacher(
            Columns(spec, {}), lightgbm.Booster(model_str=booster.model_to_string())
        )
        made.save(tmp_path / f"{rounds}.npz")
        return made

    def lists(scorer):
        return PairTeacher(scorer, users=[], items=["price"])

    store(tmp_path / "store", teacher=lists(trees(3)))
    store(tmp_path / "store", teacher=lists(GbdtTeacher.load(tmp_path / "3.npz")))
    refused(tmp_path / "store", "teacher_fingerprint", teacher=lists(trees(4)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LoggedTeacher({"score": "price"}), LoggedTeacher({"score": "item_id"})),
        (
            EnsembleTeacher([LoggedTeacher({"score": "price"})] * 2, [1.0, 3.0]),
            EnsembleTeacher([LoggedTeacher({"score": "price"})] * 2, [2.0, 3.0]),
        ),
        (
            PairTeacher(lambda x: x["price"], users=[], items=["price"]),
            PairTeacher(lambda x: -x["price"], users=[], items=["price"]),
        ),
    ],
)
def test_settings_of_teachers_count(tmp_path, one, other):
    store(tmp_path, teacher=one)
    refused(tmp_path, "teacher_fingerprint", teacher=other)


QUERIES, ITEMS = (np.random.default_rng(n).normal(size=(40, 4)) for n in range(2))
MOVED = QUERIES.copy()
MOVED[1] += 1e-3  # of a user that is not asked
SEEN = Pairs(np.arange(40), np.arange(40))


def lists(folder, **changed):
    given = {
        "score": dot_scores(QUERIES, ITEMS),
        "users": np.arange(40),
        "items": np.arange(40),
        "k": 3,
        "seen": SEEN,
        **changed,
    }
    return score_top_k(
        directory=folder, teacher_name="t", block=4, blocks_per_shard=2, **given
    )


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("teacher_fingerprint", {"score": dot_scores(MOVED, ITEMS)}),
        ("teacher_fingerprint", {"score": lambda rows: QUERIES[rows] @ -ITEMS.T}),
        ("teacher_fingerprint", {"score": fused_scores([dot_scores(MOVED, ITEMS)])}),
        ("data.users", {"users": np.arange(40) + 7}),
        ("data.items", {"items": np.arange(40)[::-1]}),
        ("data.seen", {"seen": Pairs(np.arange(40), np.arange(40)[::-1])}),
        ("data.seen", {"seen": None}),
        ("k", {"k": 4}),
    ],
)
def test_other_lists_are_refused(tmp_path, name, changed):
    lists(tmp_path)
    lists(tmp_path, score=dot_scores(QUERIES.copy(), ITEMS.copy()))
    with pytest.raises(ValueError, match=f"{name} was .* and is .*another folder"):
        lists(tmp_path, **changed)


def test_linear_models_tell_what_they_are_fitted_to():
    from tfdistill.pairs import Pairs

    pairs = [Pairs([0, 0, 1], items, num_items=9) for items in ([0, 1, 1], [0, 2, 1])]
    one, same, other, penalised = (
        Ease(p, 2, l2=l2).fingerprint
        for p, l2 in zip([*pairs[:1] * 2, *pairs[1:], *pairs[:1]], (1.0, 1.0, 1.0, 2.0))
    )
    assert one == same
    assert len({one, other, penalised}) == 3


def read_numbers(file):
    with open(file, encoding="utf-8") as lines:
        return [{"item": np.array([int(n) for n in line.split()])} for line in lines]


def make_half():
    return lambda x: x["item"] / 2


def make_third():
    return lambda x: x["item"] / 3


def test_files_and_teachers_of_a_pipeline_are_compared(tmp_path):
    pytest.importorskip("apache_beam")
    from tfdistill.scores.beam import score_files

    names = [tmp_path / "a", tmp_path / "b"]
    for name, text in zip(names, ("1 2\n3\n", "4 5\n")):
        name.write_text(text)

    def scored(make):
        return score_files(
            names, read_numbers, make, tmp_path / "s", teacher_name="t", keys=["item"]
        )

    assert scored(make_half).manifest.rows == scored(make_half).manifest.rows == 5
    with pytest.raises(ValueError, match="teacher_fingerprint was"):
        scored(make_third)
    names[1].write_text("4 6\n")
    with pytest.raises(Exception, match="Shard 1 .* was scored from other batches"):
        scored(make_half)


@pytest.mark.parametrize(
    ("teacher_of", "words"),
    [
        (lambda folder: exported(folder / "a", 2.0), r"the SavedModel in '.*/a'"),
        (lambda folder: price, "the function 'price'"),
        (lambda folder: tf.function(price), "the function 'price'"),
        (lambda folder: keras_teacher(), "the Keras model '.+'"),
        (lambda folder: FrozenTeacher(keras_teacher()), "the Keras model '.+'"),
        (
            lambda folder: LoggedTeacher({"score": "item_id"}),
            r"the stored scores \['item_id'\]",
        ),
        (
            lambda folder: PairTeacher(lambda x: x["price"], users=[], items=["price"]),
            "the function '.*lambda.*'",
        ),
        (
            lambda folder: EnsembleTeacher(
                [LoggedTeacher({"score": "price"}), FrozenTeacher(price)]
            ),
            r"an ensemble of the stored scores \['price'\], the function 'price'",
        ),
    ],
)
def test_the_error_says_in_words_which_teacher_it_was_and_is(
    tmp_path, teacher_of, words
):
    store(tmp_path / "store", teacher=dearer)
    said = rf"was '\w+' \(the function 'dearer'\) and is '\w+' \({words}\)\. Use"
    with pytest.raises(ValueError, match=said):
        store(tmp_path / "store", teacher=teacher_of(tmp_path))


def test_where_the_weights_lie_does_not_count(tmp_path):
    store(tmp_path / "store", teacher=exported(tmp_path / "a", 2.0))
    (tmp_path / "a").rename(tmp_path / "b")
    store(tmp_path / "store", teacher=SavedModelTeacher(tmp_path / "b"))
