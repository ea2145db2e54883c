"""Implicit feedback: loaders on files that the test writes, and what they refuse."""

import gzip

import numpy as np
import pandas as pd
import pytest

from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.data.implicit_sets import (
    load_citeulike,
    load_gowalla,
    load_movielens_positives,
    load_online_retail,
)
from tfdistill.data.movielens import Expected
from tfdistill.pairs import Pairs

TSV = {
    "train": "user\titem\n0\t0\n0\t3\n1\t3\n1\t2\n",
    "valid": "user\titem\n0\t2\n1\t0\n",
    "test": "user\titem\n0\t5\n1\t5\n",
}
CITEULIKE = Expected(rows=8, users=2, items=4)


def write_tsv(folder, **changed):
    for part, text in {**TSV, **changed}.items():
        (folder / f"{part}.tsv").write_text(text)
    return folder


def pairs(part: Pairs) -> list[tuple[int, int]]:
    return list(zip(part.user.tolist(), part.item.tolist()))


def test_citeulike_numbers_all_items_of_the_catalogue(tmp_path):
    data = load_citeulike(write_tsv(tmp_path), expected=CITEULIKE)
    assert (data.num_users, data.num_items) == (2, 4)  # items 0, 2, 3, 5
    assert pairs(data.train) == [(0, 0), (0, 2), (1, 1), (1, 2)]
    assert pairs(data.test) == [(0, 3), (1, 3)]
    assert pairs(data.seen("valid")) == pairs(data.train)
    assert len(data.seen("test")) == 6
    assert data.popularity.tolist() == [1, 1, 2, 0]
    assert data.last is None


def test_requests_hold_every_item_of_a_user(tmp_path):
    requests = load_citeulike(write_tsv(tmp_path), expected=CITEULIKE).requests("train")
    assert requests.candidates.tolist() == [[0, 2], [1, 2]]
    assert requests.group.tolist() == [0, 1]
    assert (requests.labels == 1).all()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"test": TSV["test"][:-4]}, "has 7 rows, 2 users and 4 items, expected 8"),
        ({"train": "user\titem\nx\t1\n"}, "train.tsv' can't be read as"),
        ({"train": "user item\n"}, "expected the 2 columns .*, got 1"),
    ],
)
def test_another_citeulike_is_named(tmp_path, changed, text):
    with pytest.raises(ValueError, match=text):
        load_citeulike(write_tsv(tmp_path, **changed), expected=CITEULIKE)


def write_gowalla(folder, train=b"0 4 7\n1 7\n2\n"):
    files = {"train": train, "valid": b"0 9\n2 4\n", "test": b"1 4 9\n"}
    for part, content in files.items():
        (folder / f"{part}.txt.gz").write_bytes(gzip.compress(content))
    return folder


def test_gowalla_drops_users_without_training(tmp_path):
    expected = Expected(rows=7, users=3, items=3)
    data = load_gowalla(write_gowalla(tmp_path), expected=expected)
    assert pairs(data.train) == [(0, 0), (0, 1), (1, 1)]
    assert pairs(data.valid) == [(0, 2)]  # user 2 has no training pair
    assert pairs(data.test) == [(1, 0), (1, 2)]


def test_a_cut_gowalla_is_named(tmp_path):
    path = write_gowalla(tmp_path) / "train.txt.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        ValueError, match="train.txt.gz' can't be read as.*Fetch the file"
    ):
        load_gowalla(tmp_path)
    with pytest.raises(ValueError, match="invalid literal"):
        load_gowalla(write_gowalla(tmp_path, b"0 x\n"))


def events(users=3, each=20):
    """Every user takes items in the order of its own time."""
    rng = np.random.default_rng(0)
    rows = [
        (user, item, 100 * user + time)
        for user in range(users)
        for time, item in enumerate(rng.permutation(each))
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


def test_movielens_positives_are_split_in_time(tmp_path):
    frame = events().rename(columns={"item_id": "movie_id"})
    for part, rows in zip(
        ("train", "val", "test"), (frame[::3], frame[1::3], frame[2::3])
    ):
        rows.to_parquet(tmp_path / f"positives_{part}.parquet")
    expected = Expected(rows=60, users=3, items=20)
    data = load_movielens_positives(tmp_path, expected=expected, core=2)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [48, 6, 6]
    order = frame[frame.user_id == 1].sort_values("timestamp").movie_id.tolist()
    assert data.last[1, :16].tolist() == order[:16][::-1]  # the newest first
    assert set(data.last[1, 16:]) == {-1}
    assert {item for user, item in pairs(data.test) if user == 1} == set(order[18:])
    with pytest.raises(ValueError, match="has 60 rows, 3 users and 20 items, expected"):
        load_movielens_positives(tmp_path)
    (tmp_path / "positives_val.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="positives_val.parquet' can't be read as"):
        load_movielens_positives(tmp_path)


def test_online_retail_counts_a_pair_once(tmp_path):
    frame = pd.concat([events(), events()[:5]])
    path = tmp_path / "retail.npz"
    np.savez(path, user=frame.user_id, item=frame.item_id, minute=frame.timestamp)
    expected = Expected(rows=65, users=3, items=20)
    data = load_online_retail(path, expected=expected, core=3)
    assert sum(len(part) for part in (data.train, data.valid, data.test)) == 60
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="retail.npz' can't be read as Online Retail"):
        load_online_retail(path)


def test_rare_items_are_left_out(tmp_path):
    rare = pd.DataFrame({"user_id": [0], "item_id": [99], "timestamp": [7]})
    frame = pd.concat([events(), rare])
    path = tmp_path / "retail.npz"
    np.savez(path, user=frame.user_id, item=frame.item_id, minute=frame.timestamp)
    expected = Expected(rows=61, users=3, items=21)
    assert load_online_retail(path, expected=expected, core=2).num_items == 20


def test_parts_must_fit_each_other():
    one, other = Pairs([0], [1], 4), Pairs([0], [1], 5)
    with pytest.raises(ValueError, match=r"mine: train, valid .* got \[4, 5, 4\]"):
        ImplicitFeedback("mine", 1, one, other, one)
    with pytest.raises(ValueError, match="users 0 .. 1 must all have training pairs"):
        ImplicitFeedback("mine", 2, one, one, one)


def test_next_items_are_examples_of_a_sequence_model():
    pairs = Pairs([0, 0, 0, 1], [3, 1, 2, 0], 4)
    last = np.array([[2, 3, 1], [0, -1, -1]])  # the newest first
    data = ImplicitFeedback("mine", 2, pairs, pairs, pairs, last)
    histories, after = data.next_items()
    assert histories.tolist() == [[3, 1, -1], [1, -1, -1]]
    assert after.item.tolist() == [2, 3]
    with pytest.raises(ValueError, match="mine has no order in time"):
        ImplicitFeedback("mine", 2, pairs, pairs, pairs).next_items()
