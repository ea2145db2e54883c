"""Issue 18, sections 2 and 8: odd tables give right values or one clear sentence."""

from __future__ import annotations

import gzip
import re

import pandas as pd
import pytest

from tfdistill.data import Feature, FeatureSpec, Table
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
