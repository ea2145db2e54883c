"""Issue 18, section 8: whatever a broken file causes is one ValueError with its name.

Arrays, archives, tables, shards, models and backups: cut, of another format, or made to
harm.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from store_fixture import halves

from tfdistill.arrays import read_array, read_arrays
from tfdistill.data import read_frame, read_tfrecords
from tfdistill.data.requests import Requests
from tfdistill.datasets.movielens import load_movielens
from tfdistill.scores import ScoreStore
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.teachers import GbdtTeacher, SavedModelTeacher
from tfdistill.trainers import fit

SPEC = FeatureSpec((Feature("price", "numeric", "item"),))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return halves(tmp_path_factory.mktemp("store"))


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


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "record"),
    [
        (lambda whole, size: flipped(whole, 3 * size + 20), 3),  # its data
        (lambda whole, size: flipped(whole, 2 * size + 9), 2),  # of its length
        (lambda whole, size: flipped(whole, 4 * size - 1), 3),  # its checksum
        (lambda whole, size: flipped(whole, 4 * size), 4),  # its length
        (lambda whole, size: whole[: 3 * size + 40], 3),
        (lambda whole, size: whole[: 2 * size + 5], 2),
        (lambda whole, size: whole[:-1], 299),
        (lambda whole, size: whole + b"more", 300),
        (lambda whole, size: flipped(whole, 260 * size + 20), 260),
    ],
)
def test_damage_within_a_tfrecord_names_file_and_record(tmp_path, damage, record):
    """What comes before it is read; a file before it is whole."""
    values = {"price": [5.0, 3.0], "label": [1.0, 0.0]}
    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(float_list=tf.train.FloatList(value=numbers))
                for name, numbers in values.items()
            }
        )
    ).SerializeToString()
    for name, count in (("a", 3), ("b", 300)):
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            for _ in range(count):
                writer.write(example)
    files = [tmp_path / "a", tmp_path / "b"]
    options = {"batch_size": 4, "repeat": record % 2 == 1}
    whole = files[1].read_bytes()
    files[1].write_bytes(damage(whole, len(example) + 16))
    read = 0
    said = rf"b is damaged or cut in record {record} \(counted from 0\): write"
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        for x, _, _ in read_tfrecords(files, SPEC, **options):
            read += len(x["price"])
    assert 3 + record - 4 < read <= 3 + record


def test_a_tfrecord_file_without_a_record_is_no_damage(tmp_path):
    (tmp_path / "empty").touch()
    assert not list(read_tfrecords(tmp_path / "empty", SPEC, batch_size=2))


@pytest.mark.parametrize("damage", ["cut", "flipped", "none", "twice", "half"])
def test_damaged_gzip_of_a_table_is_named_with_what_to_do(tmp_path, damage):
    text = "request,click,price\n" + "a,1,2.5\n" * 9999
    whole = gzip.compress(text.encode())
    content = {
        "cut": whole[:-9],
        "half": whole[: len(whole) // 2],
        "flipped": flipped(whole, 40),
        "none": text.encode(),
        "twice": gzip.compress(whole),
    }[damage]
    path = tmp_path / "mine.csv.gz"
    path.write_bytes(content)
    do = "unpack it" if damage == "twice" else "copy or compress it again"
    with pytest.raises(ValueError, match=rf"mine\.csv\.gz' can't be read.*{do}"):
        read_frame(path, SPEC.names)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gzip.compress(b"request,click,price\na,1,2\n", mtime=0), "it is compressed"),
        ("request,click,price\na,1,2\n".encode("utf-16"), "UTF-16 or UTF-32; save it"),
        ("request,click,price\na,1,2\n".encode("utf-16-be"), "NUL.* no text of UTF-8"),
        (b"PK\x03\x04 and so on", "a zip archive or an Excel file"),
        (b"PAR1 and so on PAR1", "a Parquet file; name it .parquet"),
        (b"", "no header"),
        (
            b"request,click,price\n" + b"a,1,2\n" * 99_999 + b"\xe9,1,2\n",
            "line 100001 is not UTF-8",
        ),
        (b"request,click,price\na,1,2\n\xe9,1,2\n", "line 3 is not UTF-8"),
    ],
)
def test_what_is_no_csv_says_what_it_is(tmp_path, content, problem):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"mine\.csv' can't be read as CSV.*{problem}"
    ):
        read_frame(path, SPEC.names)


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


def test_a_shard_of_other_columns_is_named(store, tmp_path):
    """Its checksum may be right, and it is still not what the manifest says."""

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
