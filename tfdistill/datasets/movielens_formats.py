"""The file formats of MovieLens, read into one form of frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.files import read_as

__all__ = ["find_100k", "read_100k", "read_1m"]

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
"""Ratings in time order, users and items by id."""

_RATINGS = ("user_id", "item_id", "rating", "timestamp")
_USERS = ("user_id", "age", "gender", "occupation", "zip")
_USERS_1M = ("user_id", "gender", "age", "occupation", "zip")
_GENRES_100K = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama "
    "Fantasy Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()
_ITEMS_ORIGINAL = ("item_id", "title", "released", "video", "url", *_GENRES_100K)
_FOLDERS_100K = ("", "ml-100k", "recbole/dataset_example/ml-100k")
_YEAR = re.compile(r"\((\d{4})\)")


def find_100k(root: Any) -> Any:
    """Finds the files of MovieLens-100K.

    Args:
        root: A `pathlib.Path` or a `zipfile.Path`.

    Returns:
        The folder at or below `root` that has `u.data` or `ml-100k.inter`, else None.

    Example:
        >>> find_100k(Path("no/such/folder")) is None
        True
    """
    for below in _FOLDERS_100K:
        folder = root / below if below else root
        if any((folder / name).exists() for name in ("u.data", "ml-100k.inter")):
            return folder
    return None


def read_100k(folder: Any) -> Frames:
    """Reads MovieLens-100K in the format of GroupLens or in RecBole's atomic files.

    Args:
        folder: What `find_100k` found.

    Returns:
        The same ratings, users and items for both formats.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file can't be parsed; the text names it.
    """
    if (folder / "u.data").exists():
        ratings = _table(folder / "u.data", "\t", _RATINGS)
        users = _table(folder / "u.user", "|", _USERS)
        items = _table(folder / "u.item", "|", _ITEMS_ORIGINAL)
        flags = items[_GENRES_100K].to_numpy() == "1"  # [I, 19]
        genres = [[g for g, flag in zip(_GENRES_100K, row) if flag] for row in flags]
        titles = items["title"]
    else:
        ratings = _table(folder / "ml-100k.inter", "\t", _RATINGS, header=True)
        users = _table(folder / "ml-100k.user", "\t", _USERS, header=True)
        columns = ("item_id", "title", "year", "genres")
        items = _table(folder / "ml-100k.item", "\t", columns, header=True)
        genres = [text.split(" ") for text in items["genres"]]
        # The last bracket of the title was cut off into a column of its own; it is no
        # year for "... (1995) (V)".
        titles = items["title"] + " (" + items["year"] + ")"
    return _ratings(ratings), _users(users), _items(items["item_id"], titles, genres)


def read_1m(folder: Path, ratings: pd.DataFrame | None = None) -> Frames:
    """Reads MovieLens-1M in the format of GroupLens.

    Args:
        folder: Folder with `ratings.dat`, `users.dat` and `movies.dat`.
        ratings: Ratings in place of those in the folder, with their columns.

    Returns:
        Ratings, users and items.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file can't be parsed; the text names it.
    """
    if ratings is None:
        ratings = _table(folder / "ratings.dat", "::", _RATINGS)
    users = _table(folder / "users.dat", "::", _USERS_1M)
    items = _table(folder / "movies.dat", "::", ("item_id", "title", "genres"))
    genres = [text.split("|") for text in items["genres"]]
    items = _items(items["item_id"], items["title"], genres)
    return _ratings(ratings), _users(users), items


def _table(
    path: Any, separator: str, columns: Sequence[str], header: bool = False
) -> pd.DataFrame:
    """Reads a text file into columns of strings, plus integers where they are ids."""
    if not path.exists():  # is_file of a zipfile.Path is always True in Python 3.9
        raise FileNotFoundError(f"MovieLens: the file {str(path)!r} is missing.")
    # latin-1 decodes any bytes; only the year of a title is used, never its letters.
    with read_as(path, "a file of MovieLens", remedy="Fetch it again."):
        text = path.read_bytes().decode("latin-1")
    lines = text.replace("\r", "").split("\n")
    rows = [line.split(separator) for line in lines[int(header) :] if line]
    wrong = next((row for row in rows if len(row) != len(columns)), None)
    if wrong is not None or not rows:
        raise ValueError(
            f"MovieLens: {str(path)!r} is truncated or of another format: expected "
            f"{len(columns)} fields a line, separated by {separator!r}, got "
            f"{'no line' if wrong is None else repr(separator.join(wrong)[:80])}."
        )
    frame = pd.DataFrame(rows, columns=list(columns), dtype=object)
    numbers = frame.columns.intersection(["user_id", "item_id", "rating", "age"])
    numbers = [*numbers, *frame.columns.intersection(["timestamp"])]
    try:
        return frame.astype(dict.fromkeys(numbers, np.int64))
    except ValueError as error:
        raise ValueError(
            f"MovieLens: {str(path)!r} has text where numbers belong, in one of "
            f"{numbers}: {error}."
        ) from error


def _ratings(frame: pd.DataFrame) -> pd.DataFrame:
    ordered = frame.sort_values(["timestamp", "user_id", "item_id"], ignore_index=True)
    return ordered.astype({"rating": np.float32})


def _users(frame: pd.DataFrame) -> pd.DataFrame:
    prefix = [re.sub("[^0-9A-Z]", "", text.upper())[:3] for text in frame["zip"]]
    frame = frame.assign(zip=prefix)[list(_USERS)]
    return frame.sort_values("user_id", ignore_index=True)


def _items(
    ids: pd.Series, titles: Iterable[str], genres: Iterable[Sequence[str]]
) -> pd.DataFrame:
    years = [int(([0, *_YEAR.findall(title)])[-1]) for title in titles]
    frame = pd.DataFrame({"item_id": ids, "year": np.array(years, np.int64)})
    frame["genres"] = [tuple(sorted(names)) for names in genres]
    return frame.sort_values("item_id", ignore_index=True)
