"""Times are compared as instants, or refused where text could mean several."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from tfdistill.data import read_frame, requests_from_frame, split_requests
from tfdistill.spec import Feature, FeatureSpec

SPEC = FeatureSpec((Feature("price", "numeric", "item"),))


def ordered(times, time_format=None, tmp_path=None):
    """The requests 0, 1, ... in the order of their times."""
    frame = pd.DataFrame({"request": range(len(times)), "price": 1.0, "click": 0})
    frame["t"] = times
    if tmp_path is not None:
        frame.to_csv(tmp_path / "t.csv", index=False)
        frame = read_frame(tmp_path / "t.csv", SPEC.names)
    found = requests_from_frame(
        frame,
        SPEC,
        request="request",
        label="click",
        time="t",
        time_format=time_format,
    )
    return [int(key) for key in found.ids]


DAYS = pd.date_range("2023-09-01", periods=100)


def test_the_last_tenth_of_a_split_in_time_is_the_latest(tmp_path):
    frame = pd.DataFrame({"request": range(100), "price": 1.0, "click": 0})
    frame["t"] = DAYS.strftime("%d/%m/%Y")
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "t.csv", index=False)
    parts = split_requests(
        requests_from_frame(
            read_frame(tmp_path / "t.csv", SPEC.names),
            SPEC,
            request="request",
            label="click",
            time="t",
            time_format="%d/%m/%Y",
        ),
        (0.8, 0.1, 0.1),
    )
    assert parts[2].ids.tolist() == [str(day) for day in range(90, 100)]


@pytest.mark.parametrize(
    "text",
    [
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%Y %H:%M",
        "%d%m%Y",
        "%d%m%y",
        "%d %b %Y",
        "%H:%M %Y-%m-%d",
        "%Y-%m-%d %I:%M %p",
    ],
)
def test_a_format_is_needed_where_text_does_not_tell(tmp_path, text):
    shuffled = np.random.default_rng(0).permutation(100)
    times = DAYS[shuffled].strftime(text)
    with pytest.raises(ValueError, match=r"'t' holds '.*' in row \d+ .*--time-format"):
        ordered(times, tmp_path=tmp_path)
    assert ordered(times, text, tmp_path) == np.argsort(shuffled).tolist()


@pytest.mark.parametrize(
    "times",
    [
        ["2023-12-01", "2023-09-30", "2024-01-02"],
        ["2023-12-01T10", "2023-09-30T11:30", "2024-01-02 09:00:00.5"],
        ["2023/12/01", "2023/09/30", "2024/01/02"],
        ["20231201", "20230930", "20240102"],
        ["20231201T1000Z", "20230930T1000Z", "20240102T1000Z"],
        ["10", "9", "100"],
        ["1e3", "-1", "1000.5"],
        [" 2023-12-01", "2023-09-30 ", "2024-01-02"],
        # 21:30, 21:00 and 22:00 in UTC:
        ["2023-09-01T23:30+02:00", "2023-09-01T21:00Z", "2023-09-01T18:00-04:00"],
        ["2023-09-01 23:30:00 UTC", "2023-09-01 23:00:00 UTC", "2023-09-02 0:00 UTC"],
    ],
)
def test_iso_8601_and_numbers_need_none(tmp_path, times):
    assert ordered(times) == ordered(times, tmp_path=tmp_path) == [1, 0, 2]


@pytest.mark.parametrize(
    "times",
    [
        [2**60 + 1, 2**60, 2**60 + 2],
        np.array([2**63 + 1, 2**63, 2**63 + 2], np.uint64),
        pd.to_datetime(["2023-12-01", "2023-09-30", "2024-01-02"]),
        pd.to_datetime(["2023-12-01", "2023-09-30", "2024-01-02"], utc=True),
        [
            datetime.date(2023, 12, 1),
            datetime.date(2023, 9, 30),
            datetime.date(2024, 1, 2),
        ],
        [
            datetime.datetime.fromisoformat(f"2023-09-01T{text}")
            for text in ("23:30+02:00", "21:00+00:00", "18:00-04:00")
        ],
    ],
)
def test_other_types_are_compared_as_they_are(times, tmp_path):
    times = pd.Series(times, dtype=object if isinstance(times, list) else None)
    if isinstance(times[0], int):
        times = times.astype("int64")
    assert ordered(times) == [1, 0, 2]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2023-09-01", "soon"], "'soon' in row 1.*, which could be"),
        (["2023-09-01", "now"], "'now' in row 1"),
        (["2023-09-01", "NaT"], "'NaT' in row 1"),
        (["2023-09-01", "2023-13-01"], "'2023-13-01' in row 1.*, which is no date"),
        (["2023-09-01", "2023-02-30"], "'2023-02-30' in row 1.*, which is no date"),
        (["2023-09-01", "1693526400"], "'1693526400' in row 1"),
        (["2023-09-01T10:00Z", "2023-09-01T10:00"], "in row 1.*, without a zone"),
        (["2023-09-01T10:00+02:00", "2023-09-01"], "in row 1.*, without a zone"),
        (["01092023", "31122023"], "'01092023' in row 0.*, which could be several"),
        (["31122023", "10112023"], "'31122023' in row 0.*, which could be several"),
        (["10:30", "11:00"], "'10:30' in row 0"),
        (["2023-09-01", None], "'t' has no value in row 1"),
        ([1.0, np.inf], "'t' holds inf in row 1"),
        ([datetime.date(2023, 9, 1), 7], "holds 7 in row 1"),
    ],
)
def test_what_is_no_time_is_refused_with_its_row(times, message):
    with pytest.raises(ValueError, match=message):
        ordered(times)


@pytest.mark.parametrize(
    ("times", "time_format", "message"),
    [
        (["31/12/2023", "12/31/2023"], "%d/%m/%Y", "'12/31/2023' in row 1.*%d/%m/%Y"),
        (["31/12/2023 10:30"], "%d/%m/%Y", "add what follows, as %H:%M"),
        (["31/12/2023"], "dd/mm/yyyy", "has directives such as"),
        (["31/12/2023"], "%Q", "time format '%Q'"),
        ([20231231], "%Y%m%d", "A time format is for text.*'t' holds int64"),
    ],
)
def test_a_format_that_does_not_fit_is_refused(times, time_format, message):
    with pytest.raises(ValueError, match=message):
        ordered(times, time_format)


def test_a_format_may_have_a_zone():
    times = [
        "01.09.2023 23:30 +0200",
        "01.09.2023 21:00 +0000",
        "01.09.2023 18:00 -04:00",
    ]
    assert ordered(times, "%d.%m.%Y %H:%M %z") == [1, 0, 2]
