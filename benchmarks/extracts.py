"""Data sets of the benchmarks in forms that were repackaged for them.

Each loader says what its files hold, and refuses another number of rows, users or
items. Public sets in the form that their authors give are in `tfdistill.datasets`.
"""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tfdistill.data import ImplicitFeedback
from tfdistill.datasets import MovieLens, load_movielens_1m
from tfdistill.datasets.movielens import Expected
from tfdistill.datasets.movielens_formats import read_1m

EXPECTED = {
    "KuaiRec": Expected(rows=117_113, users=1411, items=2519),
    "CiteULike": Expected(rows=125_580, users=5219, items=25_181),
    "Gowalla": Expected(rows=1_027_370, users=29_858, items=40_981),
    "MovieLens-1M": Expected(rows=518_897, users=5398, items=3522),
    "Online Retail": Expected(rows=396_337, users=4334, items=3659),
}


def kuairec(path: Path) -> pd.DataFrame:
    """117,113 real exposures of short videos, 83 a user (arXiv:2202.10842).

    A watch ratio of 1 is a video watched to its end, 2 one watched twice over; the
    largest is 144, so clip it before regressing on it.

    Args:
        path: The file `exposures.csv.gz`: `user,video,watch_ratio`, no header.
    """
    names = ["user_id", "item_id", "watch_ratio"]
    frame = pd.read_csv(path, names=names, dtype={"watch_ratio": "float32"})
    return _checked("KuaiRec", frame)


def citeulike(folder: Path) -> ImplicitFeedback:
    """CiteULike: which scholar keeps which paper; the split of arXiv:2012.04357.

    Args:
        folder: Has `train.tsv`, `valid.tsv` and `test.tsv`: lines `user<TAB>item` under
            one header line; valid and test have one item of each user.
    """
    names = ["user_id", "item_id"]
    parts = [
        pd.read_csv(folder / f"{part}.tsv", sep="\t", header=0, names=names)
        for part in ("train", "valid", "test")
    ]
    return _split("CiteULike", parts)


def gowalla(folder: Path) -> ImplicitFeedback:
    """Gowalla: who checked in where; LightGCN's split with a validation part.

    Args:
        folder: Has `train.txt.gz`, `valid.txt.gz` and `test.txt.gz`: lines `user item
            item ...`.
    """
    parts = []
    for part in ("train", "valid", "test"):
        with gzip.open(folder / f"{part}.txt.gz", "rt") as file:
            lines = [[int(number) for number in line.split()] for line in file]
        pairs = [(line[0], item) for line in lines for item in line[1:]]
        parts.append(pd.DataFrame(pairs, columns=["user_id", "item_id"]))
    return _split("Gowalla", parts)


def movielens_positives(folder: Path, core: int = 5) -> ImplicitFeedback:
    """The films of MovieLens-1M that users rated 4 or 5, as far as times are known.

    Args:
        folder: Has `positives_train.parquet`, `positives_val.parquet` and
            `positives_test.parquet`.
        core: Users and items with fewer positives are left out.
    """
    files = [f"positives_{part}" for part in ("train", "val", "test")]
    return _timed("MovieLens-1M", _timed_ratings(folder, files), core)


def online_retail(path: Path, core: int = 10) -> ImplicitFeedback:
    """Online Retail: what the customers of a shop bought (doi:10.1057/dbm.2012.17).

    Args:
        path: The file `online_retail.npz` with the arrays `user`, `item`, `minute`.
        core: Users and items with fewer purchases are left out.
    """
    names = {"user_id": "user", "item_id": "item", "timestamp": "minute"}
    with np.load(path) as arrays:
        columns = {name: arrays[key].astype(int) for name, key in names.items()}
    return _timed("Online Retail", pd.DataFrame(columns), core)


def movielens_1m(folder: Path, seed: int = 0) -> MovieLens:
    """MovieLens-1M, or its extract that has the time of positives only.

    The users of the extract with timed positives before the test part are kept, and
    those of the test part. A pair of a kept user that is neither a positive nor in the
    test part was rated below 4 (rating NaN); its time is drawn among the times of the
    same user's positives before the test part.

    Args:
        folder: Folder of MovieLens-1M; the extract has `positives_train.parquet`,
            `positives_val.parquet`, `test_ratings.parquet` and `ratings.parquet` in the
            place of `ratings.dat`.
        seed: Seed of the drawn times.
    """
    if not (folder / "test_ratings.parquet").is_file():
        return load_movielens_1m(folder)
    files = ("positives_train", "positives_val", "test_ratings")
    timed = _timed_ratings(folder, files)
    pairs = pd.read_parquet(folder / "ratings.parquet", columns=["userID", "movieID"])
    rest = pairs.astype(np.int64).set_axis(["user_id", "item_id"], axis=1)
    keys = [frame["user_id"] * 10**6 + frame["item_id"] for frame in (timed, rest)]
    positives = timed[~timed["test"]].sort_values("user_id", kind="stable")
    owners, first, count = np.unique(
        positives["user_id"], return_index=True, return_counts=True
    )
    rest = rest[rest["user_id"].isin(owners) & ~keys[1].isin(keys[0])]
    owner = np.searchsorted(owners, rest["user_id"])
    draw = np.random.default_rng(seed).random(len(rest)) * count[owner]
    times = positives["timestamp"].to_numpy()[first[owner] + draw.astype(np.int64)]
    rest = rest.assign(rating=np.nan, timestamp=times, test=False)
    ratings, users, items = read_1m(folder, pd.concat([timed, rest], ignore_index=True))
    users = users[users["user_id"].isin(ratings["user_id"])].reset_index(drop=True)
    test = ratings.pop("test").to_numpy()
    source = (
        f"MovieLens-1M was read from {folder}. It has users with timed positives only. "
        "The times of ratings below 4 are unknown outside of the test part, which is "
        "the one of the source: they were drawn among the times of the same user's "
        "positives."
    )
    return MovieLens("MovieLens-1M", ratings, users, items, source=source, test=test)


def _timed_ratings(folder: Path, files: Sequence[str]) -> pd.DataFrame:
    """Ratings of several files, and whether they are of the last one, the test part."""
    columns = ["user_id", "movie_id", "rating", "timestamp"]
    parts = [pd.read_parquet(folder / f"{n}.parquet", columns=columns) for n in files]
    frame = pd.concat(parts, ignore_index=True).rename(columns={"movie_id": "item_id"})
    return frame.assign(test=np.arange(len(frame)) >= len(frame) - len(parts[-1]))


def _checked(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    users, items = (frame[key].nunique() for key in ("user_id", "item_id"))
    EXPECTED[name].check(name, len(frame), users, items)
    return frame


def _split(name: str, parts: Sequence[pd.DataFrame]) -> ImplicitFeedback:
    """Parts that came with the data."""
    _checked(name, pd.concat(parts))
    return _by_number(ImplicitFeedback.from_parts(name, parts))


def _timed(name: str, frame: pd.DataFrame, core: int) -> ImplicitFeedback:
    """Split per user in time order, 80 / 10 / 10 %; the first of equal pairs counts."""
    feedback = ImplicitFeedback.from_frame(name, _checked(name, frame), core=core)
    return _by_number(feedback)


def _by_number(data: ImplicitFeedback) -> ImplicitFeedback:
    """Users and items go by their rows, as in the published experiments."""
    return dataclasses.replace(data, user_ids=None, item_ids=None)
