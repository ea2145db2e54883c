"""Issue 18, section 8: an odd document is one ValueError: file, place and value.

Specs, manifests, records, results: cut, written by hand, or made to harm.
"""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from store_fixture import halves

from tfdistill.documents import read
from tfdistill.files import plain_name
from tfdistill.report import from_json
from tfdistill.scores import ScoreStore
from tfdistill.scores.manifest import Manifest, Shard
from tfdistill.spec import Feature, FeatureSpec, Table

PRICE = {"name": "price", "kind": "numeric", "scope": "item"}
ITEM = {"name": "item", "kind": "categorical", "scope": "item", "table": "t"}
TABLE = {"name": "t", "dim": 4, "size": 9}
VOCABULARY = {**TABLE, "kind": "vocabulary", "size": 0}


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
    "privileged text": (spec_text({"privileged": "no"}), "privileged.*got 'no'"),
    "privileged 1": (spec_text({"privileged": 1}), "privileged.*boolean, got 1"),
    "shape a number": (spec_text({"shape": 3}), "shape.*got 3"),
    "shape too large": (spec_text({"shape": [2**40]}), r"shape\[0\].*less than"),
    "default a list": (spec_text({"default": [1]}), r"default.*got \[1\]"),
    "default beyond int64": (
        json.dumps({"features": [{**ITEM, "default": 2**63}], "tables": [TABLE]}),
        "default.*9.2",  # pydantic 2.8 says it in its own words
    ),
    "name a number": (spec_text({"name": 3}), r"name.*text, got 3"),
    "table a list": (spec_text({"table": ["t"]}), "table.*text"),
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
        (Feature, {"privileged": "no"}, "'price': privileged"),
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
    return halves(tmp_path_factory.mktemp("store"))


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
    path = tmp_path / "shard-00000.json"
    for text in ('{"name": "shard-00000.parquet", "ro', "[]", '{"name": "../x"}'):
        path.write_text(text)
        with pytest.raises(
            ValueError, match=r"shard-00000\.json' is not the record of"
        ):
            Shard.load(path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "C:x", "a\0", "/", " "])
def test_only_plain_names_stay_in_their_folder(name):
    with pytest.raises(ValueError, match="a plain one inside its folder"):
        plain_name(name)


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
