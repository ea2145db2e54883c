"""From a Parquet or CSV file with one row per impression to `Requests`."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from tfdistill.data.columns import (
    RowError,
    codes,
    feature_values,
    labels,
    numbers,
    one_each,
    require_columns,
)
from tfdistill.data.csv_files import csv_rows
from tfdistill.data.requests import Requests
from tfdistill.data.times import instants
from tfdistill.documents import shown
from tfdistill.files import read_as
from tfdistill.spec import FeatureSpec

__all__ = ["read_frame", "requests_from_frame", "rows_of"]

_CELLS = 10_000_000
"""Cells of padded lists that are never too many."""
_PADDING = 10
"""How many cells an impression may cost beyond that."""
_NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
"""What pandas has for what it would turn into floats or objects beside a null."""


def read_frame(
    path: str | Path, columns: Collection[str] = (), *, separator: str | None = None
) -> Any:
    """Reads a file that has some columns.

    Every cell of a CSV file stays the text that it is, so that the keys `007` and `7`
    are two; `requests_from_frame` parses what has to be a number, a list or a time, and
    checks all values.

    Args:
        path: A `.parquet`, `.csv` or `.csv.gz` file, or a folder of Parquet files.
        columns: Names that it must have, such as `spec.names`; others are read too.
        separator: Stands between the fields of a CSV file; by default it is found out,
            among comma, semicolon and tab.

    Returns:
        A pandas frame.

    Raises:
        ValueError: If the file is missing or damaged, lacks a column, or has a row of
            more or fewer fields than the header.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "mine.csv")
        >>> with open(path, "w") as file:
        ...     print("user,tags", "007,a|b", sep=os.linesep, file=file)
        >>> read_frame(path, ["user"]).values.tolist()
        [['007', 'a|b']]
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
            _parquet(path)
            if kind == "Parquet"
            else csv_rows(path, separator, columns).read()
        )
        if kind == "CSV" and frame.shape[1] == 1 < len(columns):
            raise ValueError(
                "no comma, semicolon or tab stands between the names of its header "
                f"{shown(frame.columns[0])}; give --separator (separator=)"
            )
        require_columns(frame, columns)
    return frame


@contextlib.contextmanager
def rows_of(
    table: Any, columns: Collection[str], what: str, *, separator: str | None = None
) -> Iterator[Any]:
    """Gives the rows of a table; errors within name the file, and the line of a row.

    Args:
        table: A file, for `read_frame`, or a frame, whose rows are counted from 0.
        columns: Names that it must have.
        what: What the file should be, for errors.
        separator: As for `read_frame`.

    Yields:
        A pandas frame.

    Raises:
        ValueError: As for `read_frame`, and in place of whatever is raised within.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "mine.csv")
        >>> with open(path, "w") as file:
        ...     print("age", "31", "", "x", sep=os.linesep, file=file)
        >>> with rows_of(path, ["age"], "ages") as frame:  # doctest: +ELLIPSIS
        ...     raise RowError("There is no number", 1, ".")
        Traceback (most recent call last):
        ValueError: '...mine.csv' can't be read as ages: There is no number in line 4.
    """
    if not isinstance(table, (str, Path)):
        yield table
        return
    frame = read_frame(table, columns, separator=separator)
    with read_as(table, what):
        try:
            yield frame
        except RowError as error:
            if Path(table).suffix == ".parquet":
                raise
            line = csv_rows(table, separator, columns).line(error.row)
            raise ValueError(error.in_line(line)) from error


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
            with the default to the feature's shape, and may be text with "|" between
            its values.
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
    # Impressions sorted by request: `start` is where each begins, so `position` is the
    # place in its list.
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
            f.name: one_each(feature_values(frame, f), code, keys, request, f.name)
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
        name: one_each(values, item_of, keys, item, name)
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
    users = one_each(user_keys[user_code], code, keys, request, user)
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


def _parquet(path: Path) -> Any:
    """The columns of a Parquet file, or of a folder of them; no value changes.

    Integers and booleans stay what they are beside a null, decimals become numbers,
    dictionaries and bytes of UTF-8 the text that they hold, and what was the index of a
    pandas frame is a column again.
    """
    try:
        table = _table(path)
    except (pa.ArrowInvalid, OSError) as error:
        if getattr(error, "errno", None):  # the file is not what is wrong
            raise
        raise ValueError(
            f"it is damaged, cut or of another format ({error})"
        ) from error
    names = table.schema.names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"it has the columns {repeated} more than once; rename them")
    return pd.DataFrame({name: _values(table.column(name)) for name in names})


def _table(path: Path) -> Any:
    if path.is_dir():  # as Spark writes it
        found = pyarrow.dataset.dataset(path, format="parquet", partitioning="hive")
        return found.to_table()
    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read()


def _values(column: Any) -> Any:
    """A column as a pandas series."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    # What does not fit stays as pandas has it, and is refused where it is used.
    with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if pa.types.is_fixed_size_binary(column.type):
            column = column.cast(pa.large_binary())
        column = column.cast(_plain(column.type))
    beside_null = column.null_count > 0
    return column.to_pandas(types_mapper=_NULLABLE.get if beside_null else None)


def _plain(kind: Any) -> Any:
    """The type that holds the same values, of those that features and labels have."""
    if pa.types.is_null(kind):
        return pa.float64()
    if pa.types.is_decimal(kind):
        return pa.float64() if kind.scale > 0 else pa.int64()
    if pa.types.is_signed_integer(kind):
        return pa.int64()
    if pa.types.is_unsigned_integer(kind):
        return pa.uint64()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.large_string()
    return kind
