"""Loaders of public sets of implicit feedback."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from tfdistill.arrays import read_arrays
from tfdistill.data.csv_files import opened
from tfdistill.data.delimited import check_file, check_size, read_columns
from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.data.movielens import Expected
from tfdistill.files import read_as

__all__ = [
    "EXPECTED_CITEULIKE",
    "EXPECTED_GOWALLA",
    "EXPECTED_POSITIVES",
    "EXPECTED_RETAIL",
    "load_citeulike",
    "load_gowalla",
    "load_movielens_positives",
    "load_online_retail",
]

EXPECTED_CITEULIKE = Expected(rows=125_580, users=5219, items=25_181)
"""CiteULike, split by leaving one item of each user for validation and one for test."""

EXPECTED_GOWALLA = Expected(rows=1_027_370, users=29_858, items=40_981)
"""Gowalla, the split of LightGCN with a validation part."""

EXPECTED_POSITIVES = Expected(rows=518_897, users=5398, items=3522)
"""The films of MovieLens-1M that were rated 4 or 5, as far as their times are known."""

EXPECTED_RETAIL = Expected(rows=396_337, users=4334, items=3659)
"""Online Retail: lines of invoices."""


def load_citeulike(
    folder: str | Path, *, expected: Expected = EXPECTED_CITEULIKE
) -> ImplicitFeedback:
    """Loads CiteULike: which scholar keeps which paper.

    Args:
        folder: Has `train.tsv`, `valid.tsv` and `test.tsv`: lines `user<TAB>item` under
            one header line.
        expected: What must have been read.

    Returns:
        The data; valid and test have one item of each user.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is corrupt, truncated or another one.

    Example:
        >>> load_citeulike("no/such")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: CiteULike: there is no file 'no/such/train.tsv'. Give the ...

    Reference:
        Kang et al., DE-RRD, CIKM 2020, arXiv:2012.04357, whose split it is.
    """
    parts = _read_each(
        "CiteULike", folder, ("train.tsv", "valid.tsv", "test.tsv"), _read_tsv
    )
    return _numbered("CiteULike", parts, str(folder), expected)


def load_gowalla(
    folder: str | Path, *, expected: Expected = EXPECTED_GOWALLA
) -> ImplicitFeedback:
    """Loads Gowalla: who checked in where.

    Args:
        folder: Has `train.txt.gz`, `valid.txt.gz` and `test.txt.gz`: lines `user item
            item ...`.
        expected: What must have been read.

    Returns:
        The data.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is corrupt, truncated or another one.

    Example:
        >>> load_gowalla("no/such")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: Gowalla: there is no file 'no/such/train.txt.gz'. Give the...

    Reference:
        He et al., LightGCN, SIGIR 2020, arXiv:2002.02126.
    """
    parts = _read_each(
        "Gowalla",
        folder,
        ("train.txt.gz", "valid.txt.gz", "test.txt.gz"),
        _read_adjacency,
    )
    return _numbered("Gowalla", parts, str(folder), expected)


def load_movielens_positives(
    folder: str | Path,
    *,
    expected: Expected = EXPECTED_POSITIVES,
    core: int = 5,
) -> ImplicitFeedback:
    """Loads the films of MovieLens-1M that users rated 4 or 5, with their times.

    Args:
        folder: Has `positives_train.parquet`, `positives_val.parquet` and
            `positives_test.parquet` with the columns user_id, movie_id and timestamp.
        expected: What must have been read, before the core is taken.
        core: Users and items with fewer positives are left out.

    Returns:
        The data, split per user in time order: 80 % train, 10 % valid, 10 % test.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is corrupt or another one.

    Example:
        >>> load_movielens_positives("no/such")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: MovieLens-1M: there is no file 'no/such/positives_train.pa...

    Reference:
        Harper and Konstan, The MovieLens Datasets, 2015, doi:10.1145/2827872.
    """
    names = tuple(f"positives_{part}.parquet" for part in ("train", "val", "test"))
    frames = _read_each("MovieLens-1M", folder, names, _read_positives)
    return _timed("MovieLens-1M", pd.concat(frames), str(folder), expected, core)


def load_online_retail(
    path: str | Path,
    *,
    expected: Expected = EXPECTED_RETAIL,
    core: int = 10,
) -> ImplicitFeedback:
    """Loads Online Retail: what the customers of a shop bought first.

    Args:
        path: The file `online_retail.npz` with the arrays `user`, `item`, `minute`.
        expected: What must have been read, before the core is taken.
        core: Users and items with fewer purchases are left out.

    Returns:
        The data, split per user in time order: 80 % train, 10 % valid, 10 % test. A
        pair counts once, when it was first bought.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is corrupt or another one.

    Example:
        >>> load_online_retail("no/such.npz")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: Online Retail: there is no file 'no/such.npz'. Give the pa...

    Reference:
        Chen, Sain and Guo, 2012, doi:10.1057/dbm.2012.17.
    """
    check_file(path, "Online Retail", "online_retail.npz")
    names = {"user_id": "user", "item_id": "item", "timestamp": "minute"}
    arrays = read_arrays(path, what="Online Retail", remedy=_REMEDY)
    with read_as(path, "Online Retail", remedy=_REMEDY):
        columns = {name: arrays[key].astype(int) for name, key in names.items()}
        frame = pd.DataFrame(columns)
    return _timed("Online Retail", frame, str(path), expected, core)


_REMEDY = "Fetch the file again."


def _read_each(
    name: str,
    folder: str | Path,
    files: tuple[str, ...],
    read: Callable[[Path], pd.DataFrame],
) -> list[pd.DataFrame]:
    """Reads the files of a data set: user_id and item_id of each, at least."""
    frames = []
    for file in files:
        path = Path(folder) / file
        check_file(path, name, file)
        with read_as(path, f"a file of {name}", remedy=_REMEDY):
            frames.append(read(path))
    return frames


def _read_tsv(path: Path) -> pd.DataFrame:
    columns = {"user_id": "int64", "item_id": "int64"}
    return read_columns(opened(path), columns, separator="\t", header=True)


def _read_adjacency(path: Path) -> pd.DataFrame:
    """Lines of a user and its items."""
    with gzip.open(path, "rt") as file:
        lines = [[int(number) for number in line.split()] for line in file]
    pairs = [(line[0], item) for line in lines for item in line[1:]]
    return pd.DataFrame(pairs, columns=["user_id", "item_id"])


def _read_positives(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path, columns=["user_id", "movie_id", "timestamp"])
    return frame.rename(columns={"movie_id": "item_id"})


def _timed(
    name: str, frame: pd.DataFrame, source: str, expected: Expected, core: int
) -> ImplicitFeedback:
    """Splits what has times, after leaving out rare users and items."""
    check_size(frame, source, expected)
    return _by_number(ImplicitFeedback.from_frame(name, frame, core=core))


def _numbered(
    name: str, parts: Sequence[pd.DataFrame], source: str, expected: Expected
) -> ImplicitFeedback:
    """Parts that came with the data, users and items by number."""
    check_size(pd.concat(parts), source, expected)
    return _by_number(ImplicitFeedback.from_parts(name, parts))


def _by_number(data: ImplicitFeedback) -> ImplicitFeedback:
    """Users and items go by their rows, as in the published experiments."""
    return dataclasses.replace(data, user_ids=None, item_ids=None)
