"""Loaders of MovieLens-100K and MovieLens-1M, checked after reading."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.datasets.movielens_archives import (
    ARCHIVES,
    Archive,
    default_cache_dir,
    obtain,
)
from tfdistill.datasets.movielens_formats import (
    find_100k,
    read_1m,
    read_100k,
)
from tfdistill.files import read_as

__all__ = [
    "EXPECTED_100K",
    "EXPECTED_1M",
    "Expected",
    "MovieLens",
    "load_movielens",
    "load_movielens_100k",
    "load_movielens_1m",
]

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a data set must amount to after reading.

    Args:
        rows: Number of ratings.
        users: Number of users that are described.
        items: Number of items that are described.
        checksum: `MovieLens.checksum()`; empty where none is known.
    """

    rows: int
    users: int
    items: int
    checksum: str = ""

    def check(self, source: str, rows: int, users: int, items: int) -> None:
        """Refuses a data set of another size.

        Args:
            source: What was read, for the error.
            rows: How many there are.
            users: Likewise.
            items: Likewise.

        Raises:
            ValueError: If a number differs.
        """
        found, wanted = (rows, users, items), (self.rows, self.users, self.items)
        if found != wanted:
            raise ValueError(
                f"{source}: read {found} rows, users and items, expected {wanted}; a "
                "file is truncated or of another data set. Fetch it again."
            )


EXPECTED_100K = Expected(
    rows=100_000,
    users=943,
    items=1682,
    checksum="fe73efb5dce87f3ee82038b87c6a6e71e716cbfbc487b3e14814f027a945505c",
)
"""MovieLens-100K; the checksum is equal for the files of GroupLens and of RecBole."""

EXPECTED_1M = Expected(rows=1_000_209, users=6040, items=3883)
"""MovieLens-1M with the time of every rating."""


@dataclasses.dataclass(frozen=True, eq=False)
class MovieLens:
    """Ratings with time, users and items, the same whatever file format they came in.

    Args:
        name: `"MovieLens-100K"` or `"MovieLens-1M"`.
        ratings: Columns user_id, item_id, rating, timestamp (seconds), in time order.
            rating is float32; NaN says that the rating is known to be below 4 but not
            which it is.
        users: Columns user_id, age, gender, occupation, zip (its first 3 characters).
        items: Columns item_id, year (of the title; 0 is unknown), genres (tuple).
        source: Where the data came from and what is special about it, in sentences.
        test: bool `[N]`, the rows of `ratings` that the source sets aside as the test
            part; None where it sets none aside.

    Raises:
        ValueError: If a rating names a user or an item that is not described.

    Example:
        >>> data = MovieLens(
        ...     "mine",
        ...     ratings=pd.DataFrame(
        ...         {"user_id": [7], "item_id": [3], "rating": [5.0], "timestamp": [99]}
        ...     ),
        ...     users=pd.DataFrame({"user_id": [7]}),
        ...     items=pd.DataFrame({"item_id": [3], "genres": [("Crime",)]}),
        ...     source="Typed by hand.",
        ... )
        >>> data.verify(Expected(rows=1, users=1, items=1)) is data
        True
    """

    name: str
    ratings: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame
    source: str
    test: np.ndarray | None = None

    def __post_init__(self) -> None:
        for key, frame in (("user_id", self.users), ("item_id", self.items)):
            unknown = self.ratings[key][~self.ratings[key].isin(frame[key])]
            if len(unknown):
                raise ValueError(
                    f"{self.name}: a rating names {key} {unknown.iloc[0]}, which is "
                    "not described; a file is truncated or of another data set. "
                    f"{self.source}"
                )

    def checksum(self) -> str:
        """Returns the SHA-256 of all values, the same for every file format."""
        ratings = self.ratings[["user_id", "item_id", "rating", "timestamp"]]
        digest = hashlib.sha256(ratings.fillna(0).to_numpy("<i8").tobytes())
        for frame in (self.users, self.items):
            digest.update(repr(frame.to_numpy(dtype=object).tolist()).encode())
        return digest.hexdigest()

    def verify(self, expected: Expected) -> MovieLens:
        """Compares the data with what was expected.

        Args:
            expected: Numbers of rows and the checksum.

        Returns:
            The data itself.

        Raises:
            ValueError: If something differs.
        """
        source = f"{self.name} ({self.source})"
        expected.check(source, len(self.ratings), len(self.users), len(self.items))
        if expected.checksum and self.checksum() != expected.checksum:
            raise ValueError(
                f"{self.name}: the values have checksum {self.checksum()}, expected "
                f"{expected.checksum}; a file was changed. {self.source}"
            )
        return self


def load_movielens_100k(
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    *,
    archives: Sequence[Archive] = ARCHIVES,
    expected: Expected = EXPECTED_100K,
) -> MovieLens:
    """Loads MovieLens-100K from a folder, the cache, GroupLens or a wheel.

    GroupLens does not allow others to pass the data on, so no copy comes with this
    package. With `data_dir` nothing else is tried. Otherwise the sources are, in this
    order, the cache, GroupLens over HTTPS and the wheel `recbole==1.2.1`, which holds
    the same data in another format and is opened as a zip file, never imported. What is
    fetched is compared with its published digest before the cache takes it.

    Args:
        data_dir: Folder with `u.data`, `u.user` and `u.item`, or with the `ml-100k.*`
            files of RecBole, or with one of the two archives.
        cache_dir: Folder of fetched archives, by default `$XDG_CACHE_HOME/tfdistill`
            or `~/.cache/tfdistill`.
        archives: The archives to try; a mirror of your own goes here.
        expected: What must have been read.

    Returns:
        The data; `source` says where it came from.

    Raises:
        FileNotFoundError: If a file is not in `data_dir`, or no source can be had.
        ValueError: If an archive is corrupt, or a file is truncated or changed.

    Example:
        >>> load_movielens_100k("no/such/folder")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: MovieLens: data_dir 'no/such/folder' is no folder. Give ...

    Reference:
        Harper and Konstan, The MovieLens Datasets, 2015, doi 10.1145/2827872.
    """
    if data_dir is None:
        cache = default_cache_dir() if cache_dir is None else Path(cache_dir)
        path, origin = obtain(archives, cache)
    else:
        path = _given_folder(data_dir)
        zips = [path / a.filename for a in archives if (path / a.filename).is_file()]
        if zips and find_100k(path) is None:
            path = zips[0]
        origin = str(path)
    with _opened(path) as root:
        folder = find_100k(root)
        if folder is None:
            raise FileNotFoundError(
                f"MovieLens: {str(path)!r} has neither u.data nor ml-100k.inter. Give "
                "the folder with the files of MovieLens-100K or with ml-100k.zip."
            )
        frames = read_100k(folder)
    source = f"MovieLens-100K was read from {origin}."
    data = MovieLens("MovieLens-100K", *frames, source=source).verify(expected)
    _LOGGER.info(source)
    return data


def load_movielens_1m(
    data_dir: str | Path, *, expected: Expected = EXPECTED_1M
) -> MovieLens:
    """Loads MovieLens-1M from a folder that holds it.

    Args:
        data_dir: The folder, with `ratings.dat`, `users.dat` and `movies.dat`.
        expected: What must have been read.

    Returns:
        The data.

    Raises:
        FileNotFoundError: If the folder or a file is missing.
        ValueError: If a file is corrupt, truncated or of another data set.

    Example:
        >>> load_movielens_1m("no/such/folder")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: MovieLens: data_dir 'no/such/folder' is no folder. Give ...

    Reference:
        Harper and Konstan, The MovieLens Datasets, 2015, doi 10.1145/2827872.
    """
    folder = _given_folder(data_dir)
    source = f"MovieLens-1M was read from {folder}."
    data = MovieLens("MovieLens-1M", *read_1m(folder), source=source).verify(expected)
    _LOGGER.info(source)
    return data


def load_movielens(
    data_dir: str | Path | None = None, cache_dir: str | Path | None = None
) -> MovieLens:
    """Loads what `data_dir` holds: MovieLens-1M, or else MovieLens-100K.

    Args:
        data_dir: Folder with the files of either, or with the folder `ml-1m` or
            `ml-100k` of an unpacked archive; None fetches MovieLens-100K.
        cache_dir: As for `load_movielens_100k`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: If the files are missing.
        ValueError: If they are corrupt.

    Example:
        >>> load_movielens("no/such/folder")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: MovieLens: data_dir 'no/such/folder' is no folder. Give ...
    """
    if data_dir is not None:
        for folder in (Path(data_dir), Path(data_dir, "ml-1m")):
            if (folder / "movies.dat").is_file():
                return load_movielens_1m(folder)
    return load_movielens_100k(data_dir, cache_dir)


def _given_folder(data_dir: str | Path) -> Path:
    folder = Path(data_dir)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"MovieLens: data_dir {str(data_dir)!r} is no folder. Give the folder that "
            "holds the files."
        )
    return folder


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Gives a folder, or the root of a zip file, and says which archive is corrupt."""
    if path.is_dir():
        yield path
        return
    remedy = "Delete it and fetch it again."
    with read_as(path, "an archive of MovieLens", remedy=remedy):
        archive = zipfile.ZipFile(path)
    with archive:
        yield zipfile.Path(archive)
