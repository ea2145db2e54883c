"""Loaders of the benchmarks' own extracts, on files that the test writes."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfdistill.datasets import movielens_requests, movielens_spec, movielens_split

ROOT = Path(__file__).parents[2]
EVENTS = pd.DataFrame(
    [(user, (7 * time + user) % 20, time) for user in range(3) for time in range(20)],
    columns=["user", "item", "minute"],
)


@pytest.fixture
def extracts(monkeypatch):
    """The module, which is no part of the package; it expects no size."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import extracts

    class Any:
        def check(self, source, rows, users, items):
            assert min(rows, users, items) > 0

    monkeypatch.setattr(extracts, "EXPECTED", dict.fromkeys(extracts.EXPECTED, Any()))
    return extracts


def pairs(part):
    return list(zip(part.user.tolist(), part.item.tolist()))


def test_another_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import extracts

    path = tmp_path / "exposures.csv.gz"
    path.write_bytes(gzip.compress(b"14,133,1.25\n"))
    with pytest.raises(ValueError, match=r"KuaiRec: read \(1, 1, 1\) .* \(117113, 14"):
        extracts.kuairec(path)


def test_kuairec(extracts, tmp_path):
    path = tmp_path / "exposures.csv.gz"
    path.write_bytes(gzip.compress(b"14,133,1.25\n14,148,0.5\n20,133,144.3\n"))
    frame = extracts.kuairec(path)
    assert frame.user_id.tolist() == [14, 14, 20]
    assert frame.item_id.tolist() == [133, 148, 133]
    assert frame.watch_ratio.tolist() == pytest.approx([1.25, 0.5, 144.3])
    assert frame.watch_ratio.dtype == "float32"


def test_parts_that_came_with_the_data(extracts, tmp_path):
    rows = {"train": [(0, 4), (0, 7), (1, 7)], "valid": [(0, 9)], "test": [(1, 4)]}
    for part, own in rows.items():
        lines = "\n".join(["user\titem", *(f"{user}\t{item}" for user, item in own)])
        (tmp_path / f"{part}.tsv").write_text(lines)
        users = sorted({user for user, _ in own})
        lines = [[user, *(i for u, i in own if u == user)] for user in users]
        text = "\n".join(" ".join(map(str, line)) for line in lines)
        (tmp_path / f"{part}.txt.gz").write_bytes(gzip.compress(text.encode()))
    for load in (extracts.citeulike, extracts.gowalla):
        data = load(tmp_path)
        assert pairs(data.train) == [(0, 0), (0, 1), (1, 1)]
        assert pairs(data.valid) == [(0, 2)] and pairs(data.test) == [(1, 0)]
        assert data.user_ids is data.item_ids is None


def test_parts_that_are_split_in_time(extracts, tmp_path):
    np.savez(tmp_path / "retail.npz", **{k: EVENTS[k].to_numpy() for k in EVENTS})
    names = {"user": "user_id", "item": "movie_id", "minute": "timestamp"}
    frame = EVENTS.rename(columns=names).assign(rating=5)
    for number, part in enumerate(("train", "val", "test")):
        frame[number::3].to_parquet(tmp_path / f"positives_{part}.parquet")
    retail = extracts.online_retail(tmp_path / "retail.npz", core=3)
    films = extracts.movielens_positives(tmp_path, core=3)
    for data in (retail, films):
        assert [len(part) for part in (data.train, data.valid, data.test)] == [48, 6, 6]
        assert data.last[1, :3].tolist() == [(7 * t + 1) % 20 for t in (15, 14, 13)]


def test_movielens_1m_without_the_times_of_negatives(extracts, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "datasets"))
    from movielens_fixture import RATINGS, write_1m

    held = {(1, 5), (2, 4)}
    (write_1m(tmp_path) / "ratings.dat").unlink()
    columns = ["user_id", "movie_id", "rating", "timestamp"]
    frame = pd.DataFrame(RATINGS, columns=columns)
    tested = pd.Series([pair in held for pair in zip(frame.user_id, frame.movie_id)])
    positives = frame[(frame.rating >= 4) & (frame.user_id != 3) & ~tested]
    positives[::2].to_parquet(tmp_path / "positives_train.parquet")
    positives[1::2].to_parquet(tmp_path / "positives_val.parquet")
    frame[tested].to_parquet(tmp_path / "test_ratings.parquet")
    every = frame[["user_id", "movie_id"]].astype(str)
    every.set_axis(["userID", "movieID"], axis=1).to_parquet(
        tmp_path / "ratings.parquet"
    )

    data = extracts.movielens_1m(tmp_path)
    rows = data.ratings
    assert set(zip(rows.user_id[data.test], rows.item_id[data.test])) == held
    # user 3 has no timed positive, so none of its pairs has a label
    truth = {(user, item): rating for user, item, rating, _ in RATINGS if user != 3}
    assert set(zip(rows.user_id, rows.item_id)) == set(truth)
    for row, test in zip(rows.itertuples(), data.test):
        rating = truth[row.user_id, row.item_id]
        if test or rating >= 4:
            assert row.rating == rating
        else:
            assert np.isnan(row.rating)
            timed = rows[(rows.user_id == row.user_id) & (rows.rating >= 4)]
            assert row.timestamp in set(timed.timestamp)
    assert data.users.user_id.tolist() == [1, 2]
    assert "users with timed positives only" in data.source
    assert extracts.movielens_1m(tmp_path).checksum() == data.checksum()


def test_real_movielens_1m(extracts):
    """Runs where TFDISTILL_DATA_DIR has the folder ml-1m."""
    folder = Path(os.environ.get("TFDISTILL_DATA_DIR", ""), "ml-1m")
    if "TFDISTILL_DATA_DIR" not in os.environ or not folder.is_dir():
        pytest.skip("set TFDISTILL_DATA_DIR to a folder that has ml-1m in it")
    data = extracts.movielens_1m(folder)
    spec = movielens_spec(movielens_requests(data, movielens_split(data)))
    assert len(spec.table_of(spec["genres"]).vocabulary) == 18
    if data.test is not None:
        assert len(data.ratings) == 904_579 and data.test.sum() == 80_298
        assert len(data.users) == 5_398
