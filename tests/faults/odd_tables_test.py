"""Issue 18, sections 2 and 8: odd tables give right values or one clear sentence."""

from __future__ import annotations

import datetime
import decimal
import gzip
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.impressions import Impressions

SPEC = FeatureSpec(
    (
        Feature("price", "numeric", "item"),
        Feature("age", "numeric", "user"),
        Feature("tags", "categorical", "item", table="tag", shape=(2,)),
    ),
    (Table("tag", 4, size=9),),
)
HEADER = "request,click,price,age,tags,at\n"
GOOD = "r1,1,2.5,31,1|2,2024-01-01\n"


def read(path, **options):
    given = {"request": "request", "label": "click", **options}
    return Impressions(path, SPEC, **given).read()[0]


def saved(folder, content, name="t.csv"):
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


BAD = {
    "label": "r2,2,2.5,31,1,2024-01-01",
    "grade": "r2,0.5,2.5,31,1,2024-01-01",
    "number": "r2,1,x,31,1,2024-01-01",
    "infinite": "r2,1,inf,31,1,2024-01-01",
    "missing": "r2,1,,31,1,2024-01-01",
    "list": "r2,1,2.5,31,1|x,2024-01-01",
    "huge id": f"r2,1,2.5,31,{2**63},2024-01-01",
    "key": ",1,2.5,31,1,2024-01-01",
    "time": "r2,1,2.5,31,1,soon",
    "no time": "r2,1,2.5,31,1,",
    "user feature": "r1,1,2.5,32,1,2024-01-01",
    "fields": "r2,1,2.5,31,1",
}
BEFORE = {
    "plain": (HEADER + GOOD, 3),
    "blank lines": ("\n" + HEADER + "\n\n" + GOOD + "\n", 7),
    "a cell of three lines": (HEADER + GOOD + '"r\n0\n3",1,2.5,31,1,2024-01-01\n', 6),
    "a header of two lines": (HEADER[:-1] + ',"a\nb"\n' + GOOD[:-1] + ",\n", 4),
    "lines of Windows": ((HEADER + GOOD + GOOD).replace("\n", "\r\n"), 4),
    "mixed lines": (HEADER + GOOD.replace("\n", "\r\n") + GOOD, 4),
}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("fault", BAD)
def test_a_fault_in_csv_is_told_by_its_line(tmp_path, fault, before):
    """As an editor counts: from 1, the header and blank lines too."""
    if (fault, before) == ("fields", "a header of two lines"):
        pytest.skip("the header has a field more")
    text, line = BEFORE[before]
    name = "t.csv.gz" if before == "plain" else "t.csv"
    more = "," if before == "a header of two lines" else ""
    path = saved(tmp_path, text + BAD[fault] + more + "\n", name)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}'.* line {line}\b") as e:
        read(path, time="at")
    assert "in row" not in str(e.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [("click", 2.0), ("price", float("inf")), ("age", 32.0), ("request", None)],
)
def test_a_fault_in_parquet_is_told_by_its_row_and_from_which_count(
    tmp_path, column, value
):
    frame = pd.DataFrame({"request": list("aab"), "click": 1.0, "price": 1.0})
    frame = frame.assign(age=31.0, tags=[[1]] * 3)
    frame[column] = frame[column].mask(frame.index == 1, value)
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"in row 1 \(counted from 0\)"):
        read(tmp_path / "t.parquet")


def table(**columns):
    """Ten requests of three impressions each, and other columns."""
    arrays = {
        "request": pa.array(np.repeat(np.arange(10), 3)),
        "click": pa.array(np.arange(30) % 2),
        "price": pa.array(np.linspace(0, 1, 30)),
        "age": pa.array(np.repeat(np.arange(10.0), 3)),
        "tags": pa.array([[1, 2]] * 30),
        "at": pa.array(np.arange(30)),
        **{
            n: a if isinstance(a, pa.Array) else pa.array(a) for n, a in columns.items()
        },
    }
    return pa.table(arrays)


def read_table(folder, made, **options):
    pyarrow.parquet.write_table(made, folder / "t.parquet")
    return read(folder / "t.parquet", **options)


def decimals(values, scale):
    return pa.array([decimal.Decimal(v) for v in values], pa.decimal128(20, scale))


ALTERNATING = [k % 2 for k in range(30)]
TAGS = [k % 9 for k in range(30)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("click", decimals(ALTERNATING, 0)),
        ("click", decimals([f"{k}.0" for k in ALTERNATING], 1)),
        ("click", [bool(k) for k in ALTERNATING]),
        ("click", pa.array(ALTERNATING).dictionary_encode()),
        ("click", pa.array([str(k) for k in ALTERNATING])),
        ("click", pa.array(np.array(ALTERNATING, np.float16))),
        ("price", decimals([f"{k}.25" for k in TAGS], 2)),
        ("price", pa.array([float(k) for k in TAGS]).dictionary_encode()),
        ("price", pa.array(TAGS, pa.uint8())),
        ("tags", pa.array([[k] for k in TAGS], pa.large_list(pa.int32()))),
        ("tags", pa.array([[k, 1] for k in TAGS], pa.list_(pa.int64(), 2))),
        ("tags", [[k, None] for k in TAGS]),
    ],
)
def test_values_of_parquet_are_those_of_the_plain_types(tmp_path, name, values):
    found = read_table(tmp_path, table(**{name: values}))
    given = values if isinstance(values, pa.Array) else pa.array(values)
    if name == "tags":
        expected = [
            [cell[0], cell[1] if cell[1:] and cell[1] else -1]
            for cell in given.to_pylist()
        ]
        assert found.items["tags"].tolist() == expected
        return
    expected = np.array([float(v) for v in given.to_pylist()], np.float32)
    array = found.labels.ravel() if name == "click" else found.items[name]
    np.testing.assert_array_equal(array, expected)


def test_integers_and_booleans_beside_a_null_stay_exact(tmp_path):
    ids = [2**60 + k for k in range(29)] + [None]
    spec = FeatureSpec(
        (Feature("id", "categorical", "item", table="id"),),
        (Table("id", 4, "hash", size=9),),
    )
    made = table(id=ids, click=[None, True, False] * 10)
    pyarrow.parquet.write_table(made, tmp_path / "t.parquet")
    found, _ = Impressions(tmp_path / "t.parquet", spec, "request", "click").read()
    assert found.items["id"].tolist() == [*ids[:-1], -1]
    np.testing.assert_array_equal(found.labels, [[np.nan, 1, 0]] * 10)


@pytest.mark.parametrize(
    ("keys", "ids"),
    [
        (decimals(np.repeat(np.arange(10), 3).tolist(), 0), list(range(10))),
        (pa.array([f"r{k // 3}" for k in range(30)]).dictionary_encode(), None),
        (pa.array([b"r\xc3\xa9%d" % (k // 3) for k in range(30)]), None),
        (pa.array([b"%015d" % (k // 3) for k in range(30)], pa.binary(15)), None),
    ],
)
def test_keys_of_any_type_are_what_they_say(tmp_path, keys, ids):
    found = read_table(tmp_path, table(request=keys))
    if ids is None:
        cells = [v.decode() if isinstance(v, bytes) else v for v in keys.to_pylist()]
        ids = cells[::3]
    assert found.ids.tolist() == ids


def test_the_index_of_a_pandas_frame_is_a_column(tmp_path):
    frame = table().to_pandas().set_index("request")
    frame.to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").ids.tolist() == list(range(10))


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    (tmp_path / "t.parquet").mkdir()
    (tmp_path / "t.parquet" / "_SUCCESS").touch()
    for part in range(2):
        rows = table().slice(15 * part, 15)
        pyarrow.parquet.write_table(
            rows, tmp_path / "t.parquet" / f"part-{part}.parquet"
        )
    assert read(tmp_path / "t.parquet").ids.tolist() == list(range(10))


@pytest.mark.parametrize(
    "times",
    [
        pa.array([f"2024-01-{k + 1:02}" for k in range(30)]).dictionary_encode(),
        decimals(range(30), 0),
        pa.array(
            [
                datetime.datetime(2024, 3, 31) + datetime.timedelta(hours=k)
                for k in range(30)
            ],
            pa.timestamp("ms", "Europe/Berlin"),
        ),
        pa.array([datetime.date(9000, 1, k + 1) for k in range(30)]),
    ],
)
def test_times_of_any_type_order_the_requests(tmp_path, times):
    made = table(at=times)
    back = made.take(np.arange(30)[::-1])
    for given in (made, back):
        assert read_table(tmp_path, given, time="at").ids.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"request": [{"a": k // 3} for k in range(30)]}, "holds {'a': 0}; a key is"),
        ({"request": [[k // 3] for k in range(30)]}, "'request' holds .*; a key is"),
        (
            {"request": [b"\xff%d" % (k // 3) for k in range(30)]},
            r"holds b'.xff0', which is no text",
        ),
        ({"request": pa.nulls(30)}, "'request' has no value in row 0"),
        ({"click": pa.nulls(30)}, "No impression has a label"),
        ({"click": [[1.0]] * 30}, "'click' must hold numbers, but holds .* in row 0"),
        ({"click": [datetime.timedelta(1)] * 30}, "'click' must hold numbers"),
        ({"price": [{"a": 1}] * 30}, "'price' holds {'a': 1} in row 0"),
        ({"price": pa.nulls(30)}, "'price' is nan in row 0"),
        ({"price": [datetime.date(2024, 1, 1)] * 30}, "'price' holds datetime.date"),
        ({"tags": [[[1]]] * 30}, "'tags' holds .* in row 0"),
        ({"tags": pa.nulls(30)}, "All values of feature 'tags' are missing"),
        ({"tags": [["x" * 10**6]] * 30}, "'tags' holds 'x+...x+' in row 0"),
        ({"at": [{"a": 1}] * 30}, "'at' holds {'a': 1} in row 0"),
        ({"at": pa.nulls(30)}, "'at' has no value in row 0"),
        ({"at": [datetime.time(1)] * 30}, "'at' holds datetime.time"),
    ],
)
def test_what_no_column_may_hold_is_one_sentence(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message) as found:
        read_table(tmp_path, table(**columns), time="at")
    assert len(str(found.value)) < 700


def test_parquet_that_is_none_or_repeats_a_name_is_refused(tmp_path):
    made = table()
    names = [*made.column_names, "age"]
    twice = pa.Table.from_arrays([*made.columns, made.column("age")], names=names)
    with pytest.raises(ValueError, match=r"t\.parquet'.*columns \['age'\] more than"):
        read_table(tmp_path, twice)
    whole = (tmp_path / "t.parquet").read_bytes()
    for content in (b"", b"a,b\n1,2\n", whole[:-9], whole[: len(whole) // 2], b"PAR1"):
        (tmp_path / "t.parquet").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"t\.parquet'.*damaged, cut or of another"
        ):
            read(tmp_path / "t.parquet")


ROWS = "".join(f"r{k // 3},{k % 2},{k}.5,{k // 3},1|2,{k}\n" for k in range(30))
PLAIN = HEADER + ROWS


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\r\n", 7),
        PLAIN.replace("\n", "\n\n", 3),
        PLAIN.rstrip("\n"),
        "\n".join(f"{line}," for line in PLAIN.splitlines()),
        re.sub(r"\b(r\d)\b", r'"\1"', PLAIN),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ";"),
        re.sub(r",(\d),", r", \1 ,", PLAIN),
    ],
)
def test_the_same_table_however_it_is_written(tmp_path, content):
    found, plain = (
        read(saved(tmp_path, text, name), time="at")
        for text, name in ((content, "a.csv"), (PLAIN, "b.csv.gz"))
    )
    assert found.fingerprint == plain.fingerprint
    assert found.ids.tolist() == [f"r{k}" for k in range(10)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER, "has no row"),
        (HEADER.rstrip("\n"), "has no row"),
        (ROWS, "its first line, the header, has .* more than once"),
        ("# exported\n" + PLAIN, "line 2 has 6 fields and the header 1"),
        (PLAIN.replace(",", ":"), "no comma.*'request:click.*give --separator"),
        (PLAIN.replace("r1,", '"r\\"1",', 1), "line 5 is malformed"),
        (PLAIN.replace("r1,", '"r"1,', 1), "line 5 is malformed"),
        (PLAIN.replace("r1,", '"r1,', 1), "line 5 is malformed"),
        (PLAIN + "\x1a", "line 32 has 1 fields"),
        (
            PLAIN.replace(",1|2,", f",{'x' * (1 << 18)},", 1),
            "'tags' holds 'x+...x+' in line 2",
        ),
        (PLAIN.replace("click", " click", 1), r"no column \['click'\].*' click'"),
    ],
)
def test_what_is_odd_in_csv_is_one_sentence(tmp_path, content, message):
    path = saved(tmp_path, content)
    with pytest.raises(ValueError, match=rf"t\.csv' can't be read as .*{message}") as e:
        read(path)
    assert len(str(e.value)) < 700


def test_quotes_within_cells_are_text(tmp_path):
    text = (
        'request,click,price,age,tags\nr"1,1,1,1,1\n"r""2",0,1,2,1\n"a,\n""b",1,1,3,1\n'
    )
    assert read(saved(tmp_path, text)).ids.tolist() == ['r"1', 'r"2', 'a,\n"b']
