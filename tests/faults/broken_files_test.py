"""Issue 18, section 8: whatever a broken file causes is one ValueError with its name.

Each case is a file as it may be met: cut, of another format, written by hand, or made
to harm.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfdistill.arrays import read_array, read_arrays
from tfdistill.data import read_tfrecords
from tfdistill.data.delimited import read_interactions
from tfdistill.data.implicit_sets import load_gowalla, load_online_retail
from tfdistill.data.movielens import Expected, load_movielens
from tfdistill.data.requests import Requests
from tfdistill.data.spec import Feature, FeatureSpec, Table
from tfdistill.documents import read
from tfdistill.files import plain_name
from tfdistill.report import from_json
from tfdistill.scores import ScoreStore, score_batches
from tfdistill.scores.manifest import Manifest
from tfdistill.teachers import GbdtTeacher, SavedModelTeacher
from tfdistill.trainers import fit

PRICE = {"name": "price", "kind": "numeric", "scope": "item"}
ITEM = {"name": "item", "kind": "categorical", "scope": "item", "table": "t"}
TABLE = {"name": "t", "dim": 4, "size": 9}
VOCABULARY = {**TABLE, "kind": "vocabulary", "size": 0}
SPEC = FeatureSpec((Feature("price", "numeric", "item"),))


def spec_text(feature=None, table=None, **more):
    features = [{**PRICE, **(feature or {})}, ITEM]
    return json.dumps({"features": features, "tables": [{**TABLE, **(table or {})}]})


SPECS = {
    "dim NaN": (spec_text(table={"dim": float("nan")}), r"tables\[0\].dim.*nan"),
    "dim 1.5": (spec_text(table={"dim": 1.5}), r"tables\[0\].dim.*integer, got 1.5"),
    "dim inf": (spec_text(table={"dim": float("inf")}), r"tables\[0\].dim.*inf"),
    "dim 1e999": (spec_text().replace('"dim": 4', '"dim": 1e999'), "dim.*inf"),
    "dim true": (spec_text(table={"dim": True}), "dim.*got True"),
    "dim a text": (spec_text(table={"dim": "4"}), "dim.*got '4'"),
    "dim huge": (spec_text(table={"dim": 10**30}), "dim.*less than"),
    "dim of 5000 digits": (
        spec_text().replace('"dim": 4', f'"dim": 1{"0" * 5000}'),
        "out of range",
    ),
    "mean a text": (spec_text({"mean": "x"}), r"features\[0\].mean.*number, got 'x'"),
    "mean NaN": (spec_text({"mean": float("nan")}), "mean.*finite"),
    "mean no float32": (spec_text({"mean": 1e300}), "mean.*got 1e.300"),
    "scale no float32": (spec_text({"scale": 1e-300}), "scale must not be 0"),
    "privileged null": (spec_text({"privileged": None}), "privileged.*got None"),
    "privileged 1": (spec_text({"privileged": 1}), "privileged.*boolean, got 1"),
    "shape a number": (spec_text({"shape": 3}), "shape.*got 3"),
    "shape too large": (spec_text({"shape": [2**40]}), r"shape\[0\].*less than"),
    "default a list": (spec_text({"default": [1]}), r"default.*got \[1\]"),
    "default beyond int64": (
        json.dumps({"features": [{**ITEM, "default": 2**63}], "tables": [TABLE]}),
        "default 9.2.* is no value of dtype .int64",
    ),
    "name a number": (spec_text({"name": 3}), r"name.*string, got 3"),
    "table a list": (spec_text({"table": ["t"]}), "table.*string"),
    "vocabulary a text": (
        json.dumps({"features": [ITEM], "tables": [{**VOCABULARY, "vocabulary": "x"}]}),
        "vocabulary.*array, got 'x'",
    ),
    "vocabulary beyond int64": (
        json.dumps(
            {"features": [ITEM], "tables": [{**VOCABULARY, "vocabulary": [2**63]}]}
        ),
        r"vocabulary\[0\]",
    ),
    "an unknown key": (spec_text({"means": 3}), "means is not known.*'mean'"),
    "a key twice": (
        spec_text().replace('"scope": "item"', '"scope": "user", "scope": "item"'),
        "the key 'scope' is there twice",
    ),
    "features an object": ('{"features": {"price": 1}}', "features must be"),
    "features null": ('{"features": null}', "features must be"),
    "a number": ("3", "it must be an object, got 3"),
    "nested 100,000 deep": ("[" * 100_000, "recursion limit"),
    "nested deep in a key": (
        spec_text().replace('"dim": 4', f'"dim": {"[" * 50_000}{"]" * 50_000}'),
        "recursion limit",
    ),
    "no JSON": ("features: []", "it is no JSON"),
    "cut": (spec_text()[:-9], "it is no JSON"),
    "half a character": ('{"features": "\\ud800"}', "it is no JSON"),
}


@pytest.mark.parametrize("name", SPECS)
def test_an_odd_spec_is_refused_with_file_place_and_value(tmp_path, name):
    text, message = SPECS[name]
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"mine\.json'.*{message}") as error:
        FeatureSpec.load(path)
    assert len(str(error.value)) < 1000 + len(str(tmp_path))
    with pytest.raises(ValueError, match=message):
        FeatureSpec.from_json(text)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "mine.json"
    for content in (b"\xff\xfe\x00", b'{"features": "\xc3\x28"}', gzip.compress(b"{}")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"mine\.json' is not a feature spec"):
            FeatureSpec.load(path)
    with pytest.raises(ValueError, match="can't be read as a feature spec"):
        FeatureSpec.load(tmp_path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(spec_text(), encoding="utf-8-sig")
    assert FeatureSpec.load(path).names == ("price", "item")


@pytest.mark.parametrize(
    ("kind", "change", "place"),
    [
        (Table, {"dim": 1.5}, "'t': dim"),
        (Table, {"dim": np.float64("nan")}, "'t': dim"),
        (Table, {"dim": float("inf")}, "'t': dim"),
        (Table, {"dim": np.bool_(True)}, "'t': dim"),
        (Table, {"size": "9"}, "'t': size"),
        (Table, {"kind": None}, "'t': kind"),
        (Table, {"name": None}, "Table: name"),
        (Table, {"size": 0, "kind": "vocabulary", "vocabulary": "x"}, "'t': voc"),
        (Table, {"size": 0, "kind": "vocabulary", "vocabulary": {"a": 1}}, "'t': voc"),
        (Table, {"size": 0, "kind": "vocabulary", "vocabulary": [None]}, "'t': voc"),
        (Feature, {"mean": "x"}, "'price': mean"),
        (Feature, {"mean": None}, "'price': mean"),
        (Feature, {"scale": float("nan")}, "'price': scale"),
        (Feature, {"privileged": None}, "'price': privileged"),
        (Feature, {"shape": 3}, "'price': shape"),
        (Feature, {"shape": (1.5,)}, r"'price': shape\[0\]"),
        (Feature, {"default": float("inf")}, "'price': default"),
        (Feature, {"dtype": 7}, "'price': dtype"),
    ],
)
def test_constructors_hold_the_same_rules(kind, change, place):
    given = {**(TABLE if kind is Table else PRICE), **change}
    with pytest.raises(ValueError, match=place):
        kind(**given)


@pytest.mark.parametrize("features", [None, 3, "price", [3], [None], {"price": 1}])
def test_a_spec_is_made_of_features(features):
    with pytest.raises(ValueError, match="FeatureSpec: features"):
        FeatureSpec(features)


def test_numpy_values_are_plain_values():
    table = Table("t", np.int64(4), "vocabulary", np.array(["a", "b"]), oov=np.int32(2))
    assert table == Table("t", 4, "vocabulary", ("a", "b"), oov=2)
    feature = Feature("f", "numeric", "user", mean=np.float32(0.5), shape=[np.int64(3)])
    assert feature == Feature("f", "numeric", "user", mean=0.5, shape=(3,))
    assert json.loads(FeatureSpec((feature,)).to_json())["features"][0]["mean"] == 0.5


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    batches = [{"item_id": np.array([3, 7]), "mask": np.array([True, True])}]
    score_batches(
        batches, lambda x: x["item_id"] / 2, folder, keys=["item_id"], teacher_name="t"
    )
    return folder


MANIFESTS = {
    "a name that leaves the folder": ("shards", 0, "name", "../../etc/passwd"),
    "an absolute name": ("shards", 0, "name", "/etc/passwd"),
    "a name of Windows": ("shards", 0, "name", "..\\secret"),
    "no name": ("shards", 0, "name", ""),
    "rows a text": ("shards", 0, "rows", "2"),
    "rows negative": ("shards", 0, "rows", -1),
    "rows NaN": ("shards", 0, "rows", float("nan")),
    "a checksum of another length": ("shards", 0, "sha256", "ab12"),
    "shards a number": ("shards", 3),
    "shards an object": ("shards", {}),
    "values a list": ("values", ["score"]),
    "values null": ("values", None),
    "a dtype of no kind": ("values", "score", "dtype", "float31"),
    "a shape of text": ("values", "score", "shape", "ab"),
    "a shape too large": ("values", "score", "shape", [2**62]),
    "keys empty": ("keys", {}),
    "a key of floats": ("keys", "item_id", "float32"),
    "a format of files": ("file_format", "pickle"),
    "finished a text": ("finished", "yes"),
    "another format": ("format", 9),
    "an unknown key": ("surprise", 1),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_an_odd_manifest_is_refused_with_its_file(store, tmp_path, name):
    *steps, last, value = MANIFESTS[name]
    content = json.loads((store / "manifest.json").read_text())
    place = content
    for step in steps:
        place = place[step]
    place[last] = value
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"manifest\.json' is not the manifest of a"):
        ScoreStore.open(tmp_path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", "null", '"x"', "", "\x00", '{"format": 1}']
)
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json'"):
        Manifest.load(tmp_path)


def test_a_damaged_record_of_a_shard_is_named(tmp_path):
    (tmp_path / "shard-00000.json").write_text('{"name": "shard-00000.parquet", "ro')
    with pytest.raises(ValueError, match=r"shard-00000\.json' is not the record of"):
        score_batches([], len, tmp_path, keys=["item_id"], teacher_name="t")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "C:x", "a\0", "/", " "])
def test_only_plain_names_stay_in_their_folder(name):
    with pytest.raises(ValueError, match="a plain one inside its folder"):
        plain_name(name)


def packed(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def header(shape, dtype="<f8"):
    """An array's file that promises more than it has."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + bytes(64)


def test_an_array_takes_no_more_memory_than_its_file_has(tmp_path):
    for number, shape in enumerate([(10**15,), (2**40, 2**40), (-1,), (1,), ()]):
        path = tmp_path / f"{number}.npy"
        path.write_bytes(header(shape))
        with pytest.raises(ValueError, match=f"{number}.npy' can't be read as scores"):
            read_array(path, what="scores")


@pytest.mark.parametrize("name", ["bomb", "pickle", "member", "cut", "flipped", "text"])
def test_a_broken_archive_of_arrays_is_named(tmp_path, name):
    whole = packed(a=np.arange(1000), b=np.float32(1))
    member = io.BytesIO()
    with zipfile.ZipFile(member, "w") as archive:
        archive.writestr("../evil.txt", b"x")
    content = {
        "bomb": packed(a=np.zeros(1 << 24)),
        "pickle": packed(a=np.array([{}], object)),
        "member": member.getvalue(),
        "cut": whole[:-30],
        "flipped": whole[:80] + bytes([whole[80] ^ 255]) + whole[81:],
        "text": b"a,b\n1,2\n",
    }[name]
    path = tmp_path / "trees.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"trees\.npz' can't be read as trees"):
        read_arrays(path, what="trees")


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    rng = np.random.default_rng(0)
    spec = FeatureSpec(
        (
            Feature("item", "categorical", "item", table="t"),
            Feature("price", "numeric", "item"),
        ),
        (Table("t", 4, size=9),),
    )
    price = rng.normal(size=200).astype(np.float32)
    items = {"price": price, "item": rng.integers(9, size=200)}
    candidates = np.arange(200, dtype=np.int32).reshape(50, 4)
    labels = (price > 0).astype(np.float32).reshape(50, 4)
    requests = Requests({}, items, candidates, labels, np.arange(50))
    teacher = GbdtTeacher.fit(
        spec, requests.select(range(40)), requests.select(range(40, 50)), rounds=3
    )
    path = tmp_path_factory.mktemp("trees") / "trees.npz"
    teacher.save(path)
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"spec": np.array("{}")},
        {"spec": np.array(3)},
        {"encoded": np.array('[["item", 3]]')},
        {"encoded": np.array('[["item"]]')},
        {"encoded": np.array("[" * 99_999)},
        {"trees": np.array("tree")},
        {"trees": np.array(["a", "b"])},
        {"known/item": np.array([[1, 2]])},
        {"known/item": np.array([3, 2, 1])},
        {"known/item": np.array(["a"])},
        {"known/item": None},
    ],
)
def test_trees_of_other_arrays_are_refused(trees, tmp_path, change):
    arrays = {**read_arrays(trees, what="trees"), **change}
    path = tmp_path / "mine.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    assert GbdtTeacher.load(trees).booster.num_feature() == 2
    with pytest.raises(ValueError, match=r"mine\.npz' can't be read as what Gbdt"):
        GbdtTeacher.load(path)


def test_a_damaged_gzip_is_named(tmp_path):
    whole = gzip.compress(b"0 1 2\n1 2 3\n" * 999)
    damaged = bytearray(whole)
    damaged[20] ^= 0xFF  # zlib.error, which is no OSError
    for content in (bytes(damaged), whole[:-5], b"no gzip", gzip.compress(b"\xff\n")):
        (tmp_path / "train.txt.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"train\.txt\.gz' can't be read as"):
            load_gowalla(tmp_path)


def test_a_damaged_table_of_interactions_is_named():
    columns, expected = {"user_id": "int64", "item_id": "int64"}, Expected(1, 1, 1)
    for content in (b"", b"1\n", b"1,x\n", b"\xff\xfe,1\n", b"1,9999999999999999999\n"):
        with pytest.raises(ValueError, match=r"'mine\.csv'"):
            read_interactions(
                io.BytesIO(content), "mine.csv", columns, expected,
                separator=",", header=False,
            )  # fmt: skip


@pytest.mark.parametrize("arrays", [{}, {"user": 1}, {"user": ["a"], "item": [1]}])
def test_other_arrays_of_online_retail_are_named(tmp_path, arrays):
    np.savez(tmp_path / "retail.npz", minute=[1], **arrays)
    with pytest.raises(ValueError, match=r"retail\.npz' can't be read as Online"):
        load_online_retail(tmp_path / "retail.npz")


def test_a_damaged_archive_of_movielens_is_named(tmp_path):
    path = tmp_path / "ml-100k.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("u.data", "u.user", "u.item"):
            archive.writestr(f"ml-100k/{name}", "1\t2\t3\t4\n" * 999)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\x01\x02") + 8] |= 1
    for content in (whole[:99], b"PK", bytes(flipped), bytes(encrypted)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"ml-100k\.zip"):
            load_movielens(tmp_path)


def test_a_file_that_is_no_tfrecord_is_named(tmp_path):
    path = tmp_path / "mine.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"a" * 50)
    whole = path.read_bytes()
    for content in (gzip.compress(whole), b"request,item\n1,2\n", whole[:40], b"ab"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"mine\.tfrecord' can't be read as a TF"):
            read_tfrecords(path, SPEC, batch_size=2)


def test_a_damaged_saved_model_is_named(tmp_path):
    module = tf.Module()
    module.weight = tf.Variable([2.0])
    signature = tf.function(
        lambda x: {"y": x * module.weight}, [tf.TensorSpec([None], tf.float32)]
    )
    tf.saved_model.save(module, tmp_path, {"serving_default": signature})
    graph = tmp_path / "saved_model.pb"
    whole = graph.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no model", whole[9:]):
        graph.write_bytes(content)
        with pytest.raises(ValueError, match="can't be read as a SavedModel"):
            SavedModelTeacher(tmp_path)
    graph.write_bytes(whole)
    (tmp_path / "variables" / "variables.index").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="can't be read as a SavedModel"):
        SavedModelTeacher(tmp_path)


@pytest.mark.parametrize("name", ["checkpoint", "step-4.index", "step-4.data", "out"])
def test_a_damaged_backup_is_named_and_does_not_begin_anew(tmp_path, name):
    def batches(step):
        data = tf.data.Dataset.from_tensors((tf.ones([4, 2]), tf.ones([4, 1])))
        return data.repeat()

    def train(epochs):
        model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        fit(model, batches, steps_per_epoch=2, epochs=epochs, backup_dir=str(tmp_path),
            verbose=0)  # fmt: skip

    train(2)
    if name == "out":
        text = 'model_checkpoint_path: "../elsewhere/step-4"\n'
        (tmp_path / "checkpoint").write_text(text)
    for path in tmp_path.glob(f"{name}*"):
        path.write_bytes(b"\xff" * 40)
    with pytest.raises(ValueError, match="can't be read as the backup of a run"):
        train(3)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "null",
        '{"title": 3}',
        '{"title": "a", "command": "b", "data": {}, "seeds": [0]}',
        '{"title": "a", "command": "b", "data": null, "seeds": "0"}',
        '{"title": "a", "title": "b"}',
    ],
)
def test_odd_results_are_refused(text):
    with pytest.raises(ValueError, match="The text is not a run's results"):
        from_json(text)


def test_an_error_is_never_long():
    text = json.dumps({"features": [{**PRICE, "mean": "x" * 10**4}] * 1000})
    with pytest.raises(ValueError, match="mean.* and 997 more") as error:
        FeatureSpec.from_json(text)
    assert len(str(error.value)) < 1000


def test_a_line_of_results_is_named(tmp_path, monkeypatch):
    from benchmarks import store

    monkeypatch.setattr(store, "RESULTS", tmp_path)
    for line in (b'{"run": "b", "val', b"[]", b'{"value": 1}', b"\xff"):
        (tmp_path / "mine.jsonl").write_bytes(b'{"run": "a"}\n' + line + b"\n")
        with pytest.raises(ValueError, match=r"mine\.jsonl, line 2"):
            store.finished("mine")


def test_a_document_may_be_any_type_that_pydantic_knows():
    assert read('{"a": [1]}', dict[str, list[int]], what="a table") == {"a": [1]}
    with pytest.raises(ValueError, match=r"a\[0\] must be a valid integer, got None"):
        read('{"a": [null]}', dict[str, list[int]], what="a table")


def test_a_shard_of_other_columns_is_named(store, tmp_path):
    """Its checksum may be right, and it is still not what the manifest says."""
    import hashlib

    for number, frame in enumerate(
        [
            pd.DataFrame({"item_id": [3, 7], "score": [1.0, 2.0]}),  # float64
            pd.DataFrame({"item_id": [3, 7]}),
            pd.DataFrame({"item_id": ["3", "7"], "score": np.float32([1, 2])}),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        frame.to_parquet(folder / "shard-00000.parquet")
        manifest = json.loads((store / "manifest.json").read_text())
        content = (folder / "shard-00000.parquet").read_bytes()
        manifest["shards"][0]["sha256"] = hashlib.sha256(content).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=r"shard-00000\.parquet' can't be read as"):
            list(ScoreStore.open(folder).blocks())
