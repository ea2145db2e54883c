"""From a Parquet or CSV file with one row per impression to `Requests`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.data.columns import (
    codes,
    feature_values,
    labels,
    numbers,
    require_columns,
)
from tfdistill.data.csv_files import read_csv
from tfdistill.data.parquet_files import read_parquet
from tfdistill.data.requests import Requests
from tfdistill.data.row_errors import RowError
from tfdistill.data.spec import FeatureSpec
from tfdistill.data.times import instants
from tfdistill.documents import shown
from tfdistill.files import read_as

__all__ = ["read_frame", "read_table", "requests_from_frame", "split_requests"]

_CELLS = 10_000_000
"""Cells of padded lists that are never too many."""
_PADDING = 10
"""How many cells an impression may cost beyond that."""


def read_frame(
    path: str | Path,
    spec: FeatureSpec,
    *,
    separator: str | None = None,
    value_separator: str = "|",
) -> Any:
    r"""Reads a file that has a column for each feature.

    Every cell of a CSV file stays the text that it is, so that the keys `007` and `7`
    are two; `requests_from_frame` parses what has to be a number or a time, and checks
    all values.

    Args:
        path: A `.parquet`, `.csv` or `.csv.gz` file.
        spec: The features; other columns are read too.
        separator: Stands between the fields of a CSV file; by default it is found out,
            among comma, semicolon and tab.
        value_separator: Stands between the values of one cell, in a CSV file, where the
            feature has shape `(n,)`. Parquet has lists.

    Returns:
        A pandas frame; features of shape `(n,)` are columns of lists.

    Raises:
        ValueError: If the file is missing or damaged, lacks a column, or has a row of
            more or fewer fields than the header.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> _ = path.write_text("zip,tags\n0170,a|b\n2011,\n")
        >>> spec = FeatureSpec.from_json('''{"tables": [
        ...     {"name": "any", "dim": 4, "kind": "hash", "size": 9}], "features": [
        ...     {"name": "zip", "kind": "categorical", "scope": "user",
        ...      "table": "any", "dtype": "string"},
        ...     {"name": "tags", "kind": "categorical", "scope": "item",
        ...      "table": "any", "dtype": "string", "shape": [3]}]}''')
        >>> read_frame(path, spec).to_numpy().tolist()
        [['0170', ['a', 'b']], ['2011', []]]
    """
    frame = read_table(path, spec.names, separator=separator)
    for feature in spec.features if Path(path).suffix != ".parquet" else ():
        if feature.shape:
            frame[feature.name] = _split(frame[feature.name], value_separator)
    return frame


def read_table(
    path: str | Path, columns: Sequence[str], *, separator: str | None = None
) -> Any:
    """Reads a file that has some columns; every cell of a CSV file stays text.

    Args:
        path: A `.parquet`, `.csv` or `.csv.gz` file.
        columns: Names that it must have; other columns are read too.
        separator: As for `read_frame`.

    Returns:
        A pandas frame.

    Raises:
        ValueError: As for `read_frame`.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "scores.csv")
        >>> with open(path, "w") as file:
        ...     print("user,logit", "007,0.5", sep=os.linesep, file=file)
        >>> read_table(path, ["user", "logit"]).values.tolist()
        [['007', '0.5']]
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(
            f"There is no data file at {str(path)!r}. Give the path of a .parquet, "
            ".csv or .csv.gz file."
        )
    kind = "Parquet" if path.suffix == ".parquet" else "CSV"
    if kind == "CSV" and not path.name.endswith((".csv", ".csv.gz")):
        raise ValueError(
            f"{path.name!r} is neither .parquet nor .csv nor .csv.gz; convert it, or "
            "read it with pandas and go on with requests_from_frame."
        )
    with read_as(path, kind):
        frame = (
            read_parquet(path)
            if kind == "Parquet"
            else read_csv(path, separator=separator, wanted=columns)
        )
        if kind == "CSV" and frame.shape[1] == 1 < len(columns):
            raise ValueError(
                "no comma, semicolon or tab stands between the names of its header "
                f"{shown(frame.columns[0])}; give --separator (separator=)"
            )
        require_columns(frame, columns)
    return frame


def requests_from_frame(
    frame: Any,
    spec: FeatureSpec,
    *,
    request: str,
    label: str,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    time_format: str | None = None,
    list_size: int | None = None,
    graded: bool = False,
    tasks: Sequence[str] = (),
    scores: Sequence[str] = (),
    weight: str | None = None,
) -> Requests:
    """Groups the impressions of a frame into requests.

    Args:
        frame: A pandas frame with one row per impression.
        spec: The features. A missing value becomes the feature's default if the feature
            is categorical and is an error if it is numeric; a list is cut or padded
            with the default to the feature's shape.
        request: Column that tells the requests apart; their `ids` are its values,
            those that are no integers as text, and so all of a CSV file.
        label: Column of the labels, from 0 to 1; missing means unlabelled.
        user: Column of the user, for per-user metrics and known positives; users are
            numbered by their first request. By default every request is another user's.
        item: Column of the item. It makes the catalogue the items of the frame, which
            retrieval and the drawing of negatives need. By default each impression is
            a catalogue row of its own, so that item features may differ between
            impressions of one item, and what needs a catalogue refuses the requests.
        time: Column to order the requests by, for a split in time; by default they keep
            the order in which they appear. Numbers, dates, or text of ISO 8601.
        time_format: Format of a time that is other text, as by `strptime`.
        list_size: How many candidates of a request to keep at most, the first ones; all
            by default. Shorter lists are padded to the longest one.
        graded: Whether labels may be above 1, as for learning to rank.
        tasks: Columns of the labels of further tasks; missing means unlabelled.
        scores: Columns of a teacher's logged scores; missing means not scored.
        weight: Column of the weights of the labels; 1 by default.

    Returns:
        The requests.

    Raises:
        ValueError: If a column is missing, a value does not fit its feature, a label is
            out of range, a time can't be told, a user feature changes within a request
            (an item feature within an item; a pair feature may in both), or a few very
            long requests would make the padding of the others too large.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({
        ...     "request": [7, 7, 8], "age": [31.0, 31.0, 47.0],
        ...     "item_id": [10, 11, 10], "click": [1, 0, 0],
        ...     "like": [True, False, False], "logit": [2.5, -1.0, None]})
        >>> spec = FeatureSpec.from_json('''{
        ...   "features": [
        ...     {"name": "age", "kind": "numeric", "scope": "user"},
        ...     {"name": "item_id", "kind": "categorical", "scope": "item",
        ...      "table": "item_id"}],
        ...   "tables": [{"name": "item_id", "dim": 8, "size": 100}]}''')
        >>> requests = requests_from_frame(
        ...     frame, spec, request="request", label="click", item="item_id",
        ...     tasks=["like"], scores=["logit"])
        >>> requests.candidates.tolist(), requests.items["item_id"].tolist()
        ([[0, 1], [0, -1]], [10, 11])
        >>> requests.tasks["like"].tolist(), requests.scores["logit"].tolist()
        ([[1.0, 0.0], [0.0, nan]], [[2.5, -1.0], [nan, nan]])
    """
    single = [n for n in (request, label, user, item, time, weight) if n is not None]
    require_columns(frame, (*spec.names, *single, *tasks, *scores))
    if frame.empty:
        raise ValueError("The frame has no row, so there is no request.")
    if list_size is not None and list_size < 1:
        raise ValueError(f"list_size must be at least 1, got {list_size}.")
    code, keys = codes(frame, request)
    if time is not None:
        when = instants(frame[time], time, time_format)
        code, keys = _in_time_order(when, code, keys)
    row = np.argsort(code, kind="stable")  # impressions, request by request
    start = np.searchsorted(code[row], np.arange(len(keys)))
    position = np.arange(len(row)) - start[code[row]]
    size = _list_size(position, code[row], keys, list_size)
    row, position = row[position < size], position[position < size]
    items, item_of = _catalogue(frame, spec, item, row)
    candidates = np.full((len(keys), size), -1, np.int32)
    candidates[code[row], position] = item_of[row]

    def listed(values: np.ndarray, padding: Any = np.nan) -> np.ndarray:
        lists = np.full((*candidates.shape, *values.shape[1:]), padding, values.dtype)
        lists[code[row], position] = values[row]
        return lists

    return Requests(
        users={
            f.name: _one_each(feature_values(frame, f), code, keys, request, f.name)
            for f in spec.scope("user")
        },
        items=items,
        candidates=candidates,
        labels=listed(labels(frame, label, graded=graded)),
        group=_groups(frame, user, code, keys, request),
        tasks={n: listed(labels(frame, n, graded=graded)) for n in tasks},
        scores={name: listed(numbers(frame, name)) for name in scores},
        weights=None if weight is None else listed(numbers(frame, weight)),
        ids=_ids(keys, request),
        catalogue=item is not None,
        pair_features={
            f.name: listed(feature_values(frame, f), f.default)
            for f in spec.scope("pair")
        },
    )


def split_requests(
    requests: Requests, fractions: Sequence[float], *, seed: int | None = None
) -> list[Requests]:
    """Splits requests into parts that share the catalogue.

    Args:
        requests: The requests, R of them, in time order for a split in time.
        fractions: Share of each part; they add up to 1.
        seed: Splits at random with this seed; by default the first part is the first
            requests, and so on.

    Returns:
        One `Requests` per fraction.

    Raises:
        ValueError: If the fractions are not positive, don't add up to 1, or leave a
            part empty.

    Example:
        >>> requests = Requests({}, {"item_id": np.arange(3)},
        ...     candidates=np.zeros([10, 1], np.int32),
        ...     labels=np.zeros([10, 1], np.float32), group=np.arange(10))
        >>> [part.num_requests for part in split_requests(requests, (.8, .1, .1))]
        [8, 1, 1]
    """
    if min(fractions, default=0) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"fractions must be positive and add up to 1, got {tuple(fractions)}."
        )
    rows = np.arange(requests.num_requests)
    if seed is not None:
        rows = np.random.default_rng(seed).permutation(rows)
    borders = np.rint(np.cumsum(fractions)[:-1] * len(rows)).astype(np.int64)
    parts = np.split(rows, borders)
    if min(map(len, parts)) == 0:
        raise ValueError(
            f"{len(rows)} requests are too few for the fractions {tuple(fractions)}: "
            f"the parts would have {[len(part) for part in parts]} requests."
        )
    return [requests.select(part) for part in parts]


def _split(cells: Any, separator: str) -> list[list[str]]:
    """The values of each cell; equal cells share one list."""
    code, distinct = pd.factorize(cells.fillna(""))
    lists = [[value for value in cell.split(separator) if value] for cell in distinct]
    return [lists[place] for place in code]


def _list_size(
    position: np.ndarray, code: np.ndarray, keys: np.ndarray, wanted: int | None
) -> int:
    """L, unless padding all lists to it would cost far more than there is."""
    longest = int(position.max()) + 1
    size = min(wanted or longest, longest)
    cells = len(keys) * size
    if wanted is None and cells > max(_CELLS, _PADDING * len(position)):
        most = int(np.percentile(np.bincount(code), 99))
        request = shown(keys[code[np.argmax(position)]])
        raise ValueError(
            f"Request {request} has {longest} impressions, "
            f"and {len(keys)} lists padded to its length would have {cells} places for "
            f"{len(position)} impressions. Give --list-size (list_size=): 99 % of the "
            f"requests have at most {most}, and of a longer one the first are kept."
        )
    return size


def _catalogue(
    frame: Any, spec: FeatureSpec, item: str | None, row: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Item features by catalogue row, and the catalogue row of each impression."""
    columns = {f.name: feature_values(frame, f) for f in spec.scope("item")}
    if item is None:
        item_of = np.full(len(frame), -1, np.int64)
        item_of[row] = np.arange(len(row))
        return {name: values[row] for name, values in columns.items()}, item_of
    item_of, keys = codes(frame, item)
    items = {
        name: _one_each(values, item_of, keys, item, name)
        for name, values in columns.items()
    }
    return items, item_of


def _in_time_order(
    when: np.ndarray, code: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Renumbers the requests by their first time; equal times keep their order."""
    first = pd.Series(when).groupby(code).min().to_numpy()
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[code], keys[order]


def _groups(
    frame: Any, user: str | None, code: np.ndarray, keys: np.ndarray, request: str
) -> np.ndarray:
    """Users int64 `[R]` of the requests, numbered by their first request."""
    if user is None:
        return np.arange(len(keys))
    user_code, user_keys = codes(frame, user)
    users = _one_each(user_keys[user_code], code, keys, request, user)
    return np.asarray(pd.factorize(users)[0], np.int64)


def _ids(keys: np.ndarray, request: str) -> np.ndarray:
    """Keys of requests as int64, or else as text."""
    if keys.dtype.kind in "iu":
        return keys.astype(np.int64)
    undecoded = [key for key in keys if isinstance(key, bytes)]
    if undecoded:
        raise ValueError(
            f"Column {request!r} holds {shown(undecoded[0])}, which is no text of "
            "UTF-8; store it as hexadecimal text."
        )
    ids = keys.astype(np.str_)
    if not pd.Index(ids).is_unique:
        twice = pd.Index(ids)[pd.Index(ids).duplicated()][0]
        raise ValueError(
            f"Column {request!r} has keys of several types that are one as text, such "
            f"as {shown(twice)}; give it one type."
        )
    return ids


def _one_each(
    values: np.ndarray, code: np.ndarray, keys: np.ndarray, what: str, name: str
) -> np.ndarray:
    """The value of each code `[K, *shape]`, of values `[N, *shape]` that agree."""
    result = values[np.unique(code, return_index=True)[1]]
    differs = values != result[code]
    if differs.any():
        row = int(np.argwhere(differs)[0][0])
        first, second = (
            np.asarray(v).tolist() for v in (result[code[row]], values[row])
        )
        raise RowError(
            f"{name!r} must have one value for each {what!r}, but {what!r} = "
            f"{shown(keys[code[row]])} has {shown(first)} and,",
            row,
            f", {shown(second)}.",
        )
    return result
