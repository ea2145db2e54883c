"""Joins stored signals back to requests by key, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from tfdistill.data.requests import Requests
from tfdistill.scores.distinct import twice
from tfdistill.scores.keys import KeyIndex, identities, unique
from tfdistill.scores.manifest import Column
from tfdistill.scores.rows import ITEM, SCORE
from tfdistill.scores.shards import as_text
from tfdistill.scores.store import ScoreStore

__all__ = [
    "Coverage",
    "check_keys",
    "check_values",
    "find",
    "join_requests",
    "listed_rows",
]


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How many of the keys that were looked up a store has.

    Args:
        asked: How many keys were looked up.
        missing: How many of them the store does not have.

    Example:
        >>> print(Coverage(asked=200, missing=3))
        3 of 200 keys (1.5 %) have no stored score
    """

    asked: int
    missing: int

    def __str__(self) -> str:
        share = self.missing / max(self.asked, 1)
        return (
            f"{self.missing} of {self.asked} keys ({share:.1%}) have no stored score"
        ).replace("%", " %")


def find(
    store: ScoreStore, keys: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], Coverage]:
    """Looks up any keys in one pass over the store.

    Memory is that of the answer and one block, whatever the size of the store.

    Args:
        store: The store.
        keys: The key columns by name `[N]`; a key may come several times.

    Returns:
        The values by name `[N, *shape]`, floats as float32 and NaN where missing, ids
        of items -1 or `""` there; and how many are missing.

    Raises:
        ValueError: If the store has other key columns, or one key twice.

    Example:
        >>> import tempfile
        >>> from tfdistill.scores import score_batches
        >>> store = score_batches(
        ...     [{"item": np.array([3, 7])}], lambda x: x["item"] / 2,
        ...     tempfile.mkdtemp(), teacher_name="half", keys=["item"])
        >>> values, coverage = find(store, {"item": np.array([7, 8, 7])})
        >>> values["score"], coverage.missing
        (array([3.5, nan, 3.5], dtype=float32), 1)
    """
    check_keys(store, {name: Column.of(values).dtype for name, values in keys.items()})
    names = list(store.manifest.keys)
    ids = identities({name: keys[name] for name in names})
    # Every distinct key is looked up once; `at` brings the answers back to all places.
    order, first = unique(ids)
    index = KeyIndex(ids[order[first]])
    found = np.zeros(len(index.ids), bool)
    values = {
        name: _blank(column, len(found))
        for name, column in store.manifest.values.items()
    }
    for block in store.blocks():
        place = index.find(identities({name: block[name] for name in names}))
        row = np.flatnonzero(place >= 0)
        place = place[row]
        fresh = np.zeros(len(row), bool)
        fresh[np.unique(place, return_index=True)[1]] = True
        fresh &= ~found[place]
        if not fresh.all():
            at = row[np.argmin(fresh)]
            key = {name: block[name][at] for name in names}
            raise twice(f"The store in {str(store.directory)!r}", key)
        found[place] = True
        for name, array in values.items():
            array[place] = block[name][row]
    at = np.empty(len(ids), np.int64)  # of each asked key among the distinct ones
    at[order] = np.cumsum(first) - 1
    coverage = Coverage(len(ids), int(np.sum(~found[at])))
    return {name: array[at] for name, array in values.items()}, coverage


def join_requests(
    requests: Requests, store: ScoreStore, names: Mapping[str, str]
) -> tuple[Requests, Coverage]:
    """Returns the same requests with stored scores, NaN where the store has none.

    Args:
        requests: The requests.
        store: A store of kind `"scores"`. Each of its keys is `request_id`, the ids of
            the requests, `item_row`, their catalogue row, or one of their features.
        names: For each stored value, the name of the score: a `LoggedTeacher` finds the
            signal under it, and the `Distiller` leaves out what is missing.

    Returns:
        The requests, and how many of their candidates have no score.

    Raises:
        ValueError: If the store is of another kind, has other keys or not this value,
            or a key twice.

    Example:
        >>> import tempfile
        >>> from tfdistill.scores import score_batches
        >>> requests = Requests(
        ...     {}, {"item_id": np.array([10, 11, 12])},
        ...     np.array([[0, 2], [1, -1]], np.int32), np.zeros([2, 2], np.float32),
        ...     np.array([0, 1]), ids=np.array([70, 71]))
        >>> store = score_batches(
        ...     requests.select([0]), lambda x: -x["item_id"], tempfile.mkdtemp(),
        ...     teacher_name="newest")
        >>> scored, coverage = join_requests(requests, store, {"score": "newest"})
        >>> scored.scores["newest"]
        array([[-10., -12.],
               [ nan,  nan]], dtype=float32)
        >>> print(coverage)
        1 of 3 keys (33.3 %) have no stored score
    """
    check_kind(store, "scores")
    check_values(store, names)
    row, position = np.nonzero(requests.candidates >= 0)
    item = requests.candidates[row, position]
    columns = {"item_row": item.astype(np.int64)}
    if requests.ids is not None:
        columns["request_id"] = requests.ids[row]
    for name in store.manifest.keys:
        if name in requests.users:
            columns[name] = requests.users[name][row]
        elif name in requests.items:
            columns[name] = requests.items[name][item]
        elif name in requests.listed_pairs:
            columns[name] = requests.listed_pairs[name][row, position]
    asked = {n: columns[n] for n in store.manifest.keys if n in columns}
    values, coverage = find(store, asked)
    made = {}
    for value, name in names.items():
        made[name] = np.full(requests.candidates.shape, np.nan, np.float32)
        made[name][row, position] = values[value]
    return requests.with_scores(made), coverage


def listed_rows(
    store: ScoreStore, users: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, Coverage, Coverage]:
    """Returns stored lists as rows of a catalogue, for `TeacherLists`.

    Args:
        store: A store of kind `"lists"`, of one key.
        users: Ids of the users `[U]`, in the order that the student numbers them.
        items: Ids of the student's catalogue `[I]`.

    Returns:
        int32 `[U, K]` rows of `items`, best first; -1 where the list has ended, where
        its item is not in the catalogue, and for a user without a list. Then how many
        users have no list, and how many of the listed items the catalogue lacks.

    Raises:
        ValueError: If the store is of another kind, or its keys are.

    Example:
        >>> import tempfile
        >>> from tfdistill.scores import score_top_k
        >>> store = score_top_k(
        ...     lambda rows: np.float32([[1, 3, 2]]), np.array([70]),
        ...     np.array([5, 6, 7]), 2, tempfile.mkdtemp(), teacher_name="best")
        >>> head, by_user, by_item = listed_rows(
        ...     store, np.array([71, 70]), np.array([6, 5]))
        >>> head.tolist(), by_user.missing, by_item.missing
        ([[-1, -1], [0, -1]], 1, 1)
        >>> from tfdistill.data import TeacherLists
        >>> lists = TeacherLists(head, num_items=2)
    """
    check_kind(store, "lists")
    (key,) = store.manifest.keys
    values, by_user = find(store, {key: users})
    listed, present = values[ITEM], ~np.isnan(values[SCORE])
    if (items.dtype.kind in "iu") != (listed.dtype.kind in "iu"):
        raise ValueError(
            f"The lists of the store in {str(store.directory)!r} hold "
            f"{store.manifest.values[ITEM].dtype} items, but the catalogue's ids are "
            f"{items.dtype}."
        )
    catalogue = items if items.dtype.kind in "iu" else as_text(items)
    rows = pd.Index(catalogue).get_indexer(listed[present])
    head = np.full(listed.shape, -1, np.int32)
    head[present] = rows
    return head, by_user, Coverage(len(rows), int(np.sum(rows < 0)))


def check_keys(store: ScoreStore, keys: Mapping[str, str]) -> None:
    """Refuses keys that are not the store's, naming both.

    Args:
        store: The store.
        keys: Dtype of each key by name, `"int64"` or `"string"`.

    Raises:
        ValueError: If names or dtypes differ.
    """
    kinds = {n: "string" if d == "string" else "int64" for n, d in keys.items()}
    if kinds != dict(store.manifest.keys):
        raise ValueError(
            f"The store in {str(store.directory)!r} has the keys "
            f"{dict(store.manifest.keys)}, the data {dict(keys)}. Score again with "
            "keys that the data has, or give the data the store's."
        )


def check_kind(store: ScoreStore, kind: str) -> None:
    """Refuses a store that holds something else.

    Args:
        store: The store.
        kind: One of `KINDS`.

    Raises:
        ValueError: If it is of another kind.
    """
    if store.manifest.kind != kind:
        raise ValueError(
            f"The store in {str(store.directory)!r} holds {store.manifest.kind}, not "
            f"{kind}."
        )


def check_values(store: ScoreStore, names: Iterable[str]) -> None:
    """Refuses values that the store does not have, naming both.

    Args:
        store: The store.
        names: Names of values.

    Raises:
        ValueError: If one is missing.
    """
    missing = sorted(set(names) - set(store.manifest.values))
    if missing:
        raise ValueError(
            f"The store in {str(store.directory)!r} has no values {missing}; it has "
            f"{sorted(store.manifest.values)}."
        )


def _blank(column: Column, rows: int) -> np.ndarray:
    """What stands where nothing was found `[rows, *shape]`."""
    shape = (rows, *column.shape)
    if column.dtype == "string":
        return np.full(shape, "", object)
    if column.dtype == "int64":
        return np.full(shape, -1, np.int64)
    return np.full(shape, np.nan, np.float32)
