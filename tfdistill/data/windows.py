"""Turns a split's interactions into requests: lists per user with history."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tfdistill.data.columns import numbers, require_columns
from tfdistill.data.interactions import InteractionLog, places
from tfdistill.data.requests import Requests
from tfdistill.data.splits import Order, Split
from tfdistill.pairs import Pairs

__all__ = ["RequestParts", "windows"]

_BLOCK = 1024  # requests whose negatives are drawn at once


@dataclasses.dataclass(frozen=True, eq=False)
class RequestParts:
    """The requests of train, valid and test over one catalogue.

    Args:
        split: The split they were made from.
        train: Requests made of the training interactions.
        valid: Likewise.
        test: Likewise.
        interactions: All (user, item) pairs of each part by its name, whatever their
            label; users by `Requests.group`, items by catalogue row.
        log: All interactions, on the clock of the split; the value is the rating.
    """

    split: Split
    train: Requests
    valid: Requests
    test: Requests
    interactions: Mapping[str, Pairs]
    log: InteractionLog

    @property
    def known(self) -> Pairs:
        """Pairs of the training part, for `RequestBatches(known=)`."""
        return self.interactions["train"]

    def before(self, part: str) -> Pairs:
        """Returns the pairs of the parts before this one.

        Args:
            part: `"valid"` or `"test"`.

        Returns:
            The pairs to leave out when the whole catalogue is ranked for that part.

        Raises:
            ValueError: If there is no such part, or nothing before it.
        """
        names = list(self.interactions)
        if part not in names[1:]:
            raise ValueError(f"part must be one of {names[1:]}, got {part!r}.")
        first, *others = (self.interactions[n] for n in names[: names.index(part)])
        return first.union(*others)


def windows(
    split: Split,
    users: Mapping[str, np.ndarray],
    items: Mapping[str, np.ndarray],
    *,
    list_size: int = 20,
    history: int = 20,
    negatives: int = 0,
    positive_from: float = 4.0,
    tasks: Sequence[str] = (),
    scores: Sequence[str] = (),
    weight: str | None = None,
    seed: int = 0,
) -> RequestParts:
    """Makes requests of a split: each user's interactions, cut into lists.

    The interactions of a user in one part, in time order, are cut into the fewest lists
    of at most `list_size`, of equal size give or take one. With t the time of the first
    interaction of a list, the user feature `history` holds the items of the user's
    last `history` interactions at times strictly below t, most recent first, padded
    with -1. They come from the same part and those before it, never from a later one.
    A label is 1 if rating >= `positive_from`, else 0.

    The lists of valid and test get `negatives` more items each (label 0): drawn
    uniformly, without replacement and with a fixed seed from the items that the user
    has not interacted with up to the end of that part, and mixed with the interactions.
    They make the task easier than the interactions alone and closer to a stage that
    sees many candidates. For train, `RequestBatches` draws negatives of its own.

    Args:
        split: The interactions, with the columns user_id, item_id, rating, timestamp.
        users: User features by name `[U, *shape]`; `user_id` int64 `[U]` is one.
        items: Item features by name `[I, *shape]`, the catalogue; `item_id` int64 `[I]`
            is one.
        list_size: The most interactions in a list.
        history: Length of the history.
        negatives: Items to add to each list of valid and test.
        positive_from: The least rating of a positive.
        tasks: Columns of the split with the labels of further tasks, NaN where
            unlabelled; an added negative has 0.
        scores: Columns with a teacher's scores; an added negative has none.
        weight: Column with the weights of the labels, by default 1; an added negative
            has 1.
        seed: Seed of the negatives.

    Returns:
        The requests. `group` is the row of the user in `users`.

    Raises:
        ValueError: If a number is out of range, a column is missing, or an interaction
            names a user or item that has no features.

    Example:
        >>> ratings = pd.DataFrame(
        ...     {"user_id": 7, "item_id": [5, 6, 7, 8], "rating": [4, 5, 1, 4],
        ...      "timestamp": [10, 20, 30, 30]}
        ... )
        >>> split = Split("by hand", "", ratings[:1], ratings[1:2], ratings[2:])
        >>> parts = windows(
        ...     split,
        ...     {"user_id": np.array([7])},
        ...     {"item_id": np.array([5, 6, 7, 8])},
        ...     list_size=2,
        ...     history=3,
        ... )
        >>> parts.test.candidates.tolist(), parts.test.labels.tolist()
        ([[2, 3]], [[0.0, 1.0]])
        >>> parts.test.users["history"].tolist()
        [[6, 5, -1]]
    """
    num_items = len(items["item_id"])
    _check(list_size, history, negatives, num_items)
    frames = list(split.parts.values())
    columns = (*tasks, *scores, *([] if weight is None else [weight]))
    for frame in frames:
        require_columns(frame, columns)
    tables = [_table(f, users["user_id"], items["item_id"]) for f in frames]
    interactions = [Pairs(t["user"], t["item"], num_items) for t in tables]
    clocks = [_clock(split.order, t, n, list_size, seed) for n, t in enumerate(tables)]
    made: list[Requests] = []
    for number, (frame, table) in enumerate(zip(frames, tables)):
        candidates, source, first = _lists(table, list_size)
        owner, time = (table[name].to_numpy()[first] for name in ("user", "time"))
        if number and negatives:
            candidates, source = _add_negatives(
                candidates,
                source,
                owner,
                interactions[0].union(*interactions[1 : number + 1]),
                negatives,
                np.random.default_rng((seed, number)),
            )
        features = {name: values[owner] for name, values in users.items()}
        past = _ordered(pd.concat(tables[: number + 1]))
        features["history"] = _history(past, owner, time, history, items["item_id"])
        listed = functools.partial(_listed, candidates, source)
        requests = Requests(
            features,
            items,
            candidates,
            labels=listed(frame["rating"].to_numpy() >= positive_from, 0),
            group=owner,
            tasks={name: listed(numbers(frame, name), 0) for name in tasks},
            scores={name: listed(numbers(frame, name), np.nan) for name in scores},
            weights=None if weight is None else listed(numbers(frame, weight), 1),
            clock=clocks[number][first],
            time=None if split.order == "drawn" else time.astype(np.float64),
        )
        made.append(requests)
    sizes = len(users["user_id"]), num_items
    log = _log(split, tables, clocks, sizes, positive_from)
    train, valid, test = made
    pairs = dict(zip(split.parts, interactions))
    return RequestParts(split, train, valid, test, pairs, log)


def _check(list_size: int, history: int, negatives: int, num_items: int) -> None:
    if list_size < 1 or history < 1 or negatives < 0:
        raise ValueError(
            "windows: list_size and history must be >= 1 and negatives >= 0, got "
            f"{list_size}, {history} and {negatives}."
        )
    if negatives > num_items:
        raise ValueError(
            f"windows: {negatives} negatives can't be drawn from {num_items} items."
        )


def _table(
    frame: pd.DataFrame, user_ids: np.ndarray, item_ids: np.ndarray
) -> pd.DataFrame:
    """Interactions as rows of the feature tables, by user and time."""
    table = {
        "user": _rows("user_id", frame["user_id"].to_numpy(), user_ids),
        "time": frame["timestamp"].to_numpy(),
        "item": _rows("item_id", frame["item_id"].to_numpy(), item_ids),
        "source": np.arange(len(frame)),
    }
    return _ordered(pd.DataFrame(table))


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["user", "time", "item"], ignore_index=True)


def _rows(name: str, values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Rows `[N]` of `values` `[N]` in the feature table with these ids."""
    order = np.argsort(ids, kind="stable")
    row = order[np.searchsorted(ids[order], values).clip(max=len(ids) - 1)]
    unknown = values[ids[row] != values]
    if len(unknown):
        raise ValueError(
            f"windows: an interaction names {name} {unknown[0]}, which has no features."
        )
    return row.astype(np.int64)


def _lists(
    table: pd.DataFrame, list_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates and their rows in the frame `[R, L]`, -1 where padded.

    And the first interaction `[R]` of each list.
    """
    user = table["user"].to_numpy()
    _, start, size = np.unique(user, return_index=True, return_counts=True)
    lists = -(-size // list_size)  # of each user
    place = np.arange(len(user)) - np.repeat(start, size)
    request = np.repeat(np.cumsum(lists) - lists, size)
    # A user's interactions in equally long lists instead of full ones and a short rest.
    request += place * np.repeat(lists, size) // np.repeat(size, size)
    _, first = np.unique(request, return_index=True)
    slot = np.arange(len(user)) - first[request]
    candidates = np.full((len(first), list_size), -1, np.int32)
    source = np.full((len(first), list_size), -1)
    candidates[request, slot] = table["item"]
    source[request, slot] = table["source"]
    return candidates, source, first


def _listed(
    candidates: np.ndarray, source: np.ndarray, values: np.ndarray, of_negative: float
) -> np.ndarray:
    """Values of interactions `[N]` as lists `[R, L]`, NaN where padded."""
    others = np.where(candidates >= 0, of_negative, np.nan)
    return np.where(source >= 0, values[source], others).astype(np.float32)


def _clock(
    order: Order, table: pd.DataFrame, number: int, list_size: int, seed: int
) -> np.ndarray:
    """When each interaction of a part becomes known `[N]`: its part, and its place.

    Where chance decides, the interactions of one list are known together, so that a
    list knows other lists of its user.
    """
    user = table["user"].to_numpy()
    place = places(order, user, table["time"].to_numpy(), (seed, number))
    if order == "drawn":
        _, _, first = _lists(table, list_size)
        sizes = np.diff(np.append(first, len(table)))
        place = np.repeat(place[first], sizes)
    return number + place


def _log(
    split: Split,
    tables: Sequence[pd.DataFrame],
    clocks: Sequence[np.ndarray],
    sizes: tuple[int, int],
    positive_from: float,
) -> InteractionLog:
    """All interactions of a split, their ratings as values."""
    table = pd.concat(tables)
    ratings = [
        frame["rating"].to_numpy(np.float32)[part["source"]]
        for frame, part in zip(split.parts.values(), tables)
    ]
    return InteractionLog(
        table["user"].to_numpy(),
        table["item"].to_numpy(),
        np.concatenate(clocks),
        *sizes,
        np.concatenate(ratings),
        None if split.order == "drawn" else table["time"].to_numpy(np.float64),
        positive_from,
    )


def _history(
    past: pd.DataFrame,
    user: np.ndarray,
    time: np.ndarray,
    length: int,
    item_ids: np.ndarray,
) -> np.ndarray:
    """Ids `[R, length]` of each user's last items strictly before `time` `[R]`."""
    times = np.unique(past["time"])
    keys = past["user"].to_numpy() * len(times) + np.searchsorted(times, past["time"])
    start = np.searchsorted(keys, user * len(times))
    end = np.searchsorted(keys, user * len(times) + np.searchsorted(times, time))
    place = end[:, np.newaxis] - 1 - np.arange(length)  # [R, length]
    items = item_ids[past["item"].to_numpy()[np.maximum(place, 0)]]
    return np.where(place >= start[:, np.newaxis], items, -1).astype(np.int64)


def _add_negatives(
    candidates: np.ndarray,
    source: np.ndarray,
    user: np.ndarray,
    seen: Pairs,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Lists `[R, L + count]` with items drawn beside `seen` ones, in mixed order.

    A drawn one has no row in the frame: its source is -1.
    """
    catalogue = np.arange(seen.num_items)
    drawn = np.full((len(user), count), -1, np.int32)
    for start in range(0, len(user), _BLOCK):
        rows = slice(start, start + _BLOCK)
        taken = seen.contains(user[rows, np.newaxis], catalogue)  # [block, I]
        keys = np.where(taken, 2.0, rng.random(taken.shape))
        least = np.argpartition(keys, count - 1, axis=1)[:, :count]
        left = np.take_along_axis(keys, least, axis=1) < 1  # fewer if all are seen
        drawn[rows] = np.where(left, least, -1)
    candidates = np.concatenate([candidates, drawn], axis=1)
    source = np.concatenate([source, np.full_like(drawn, -1)], axis=1)
    order = np.argsort(
        np.where(candidates < 0, 2, rng.random(candidates.shape)), axis=1
    )
    return (
        np.take_along_axis(candidates, order, axis=1),
        np.take_along_axis(source, order, axis=1),
    )
