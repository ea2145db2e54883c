"""Implicit feedback: which user took which item."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.data.interactions import InteractionLog, places
from tfdistill.data.requests import Requests
from tfdistill.data.splits import per_user_temporal_split
from tfdistill.pairs import Pairs
from tfdistill.spec import Feature, FeatureSpec, Table

__all__ = ["ImplicitFeedback"]

_LAST = 50  # so many of a user's last items are kept


@dataclasses.dataclass(frozen=True, eq=False)
class ImplicitFeedback:
    """Pairs of users and items in three parts; every user has training pairs.

    Args:
        name: Name of the data set.
        num_users: U; users are the rows 0 .. U - 1.
        train: What models learn from, and what is never recommended again.
        valid: What settings are chosen by.
        test: What is reported.
        last: int32 `[U, H]`, each user's last training items, the newest first and -1
            padded, for teachers that read a sequence; None where there is no order.
        user_ids: `[U]`, what a request calls each user; by default its number.
        item_ids: `[I]`, what a request calls each item; by default its row.
        log: The interactions in their order; by default the pairs of a part have none.

    Raises:
        ValueError: If the parts are about different catalogues, or a user has no
            training pair.

    Example:
        >>> pairs = [Pairs([0, 1], items, 4) for items in ([0, 1], [2, 2], [3, 0])]
        >>> data = ImplicitFeedback("mine", 2, *pairs)
        >>> data.num_items, data.requests("test").candidates.tolist()
        (4, [[3], [0]])
    """

    name: str
    num_users: int
    train: Pairs
    valid: Pairs
    test: Pairs
    last: np.ndarray | None = None
    user_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None
    log: InteractionLog | None = None

    def __post_init__(self) -> None:
        sizes = [part.num_items for part in (self.train, self.valid, self.test)]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"{self.name}: train, valid and test must have one catalogue, got "
                f"{sizes} items."
            )
        users = np.unique(self.train.user)
        if not np.array_equal(users, np.arange(self.num_users)):
            raise ValueError(
                f"{self.name}: the users 0 .. {self.num_users - 1} must all have "
                f"training pairs, got {len(users)} users up to "
                f"{users.max(initial=-1)}; renumber them without gaps."
            )
        if self.log is None:
            object.__setattr__(self, "log", self._unordered())

    def _unordered(self) -> InteractionLog:
        """The log of the pairs, in an order by chance within each part."""
        parts = (self.train, self.valid, self.test)
        drawn = np.random.default_rng(0)
        return InteractionLog(
            np.concatenate([part.user for part in parts]),
            np.concatenate([part.item for part in parts]),
            np.concatenate([n + drawn.random(len(p)) for n, p in enumerate(parts)]),
            self.num_users,
            self.num_items,
        )

    @property
    def num_items(self) -> int:
        """I, the size of the catalogue."""
        return self.train.num_items

    @property
    def popularity(self) -> np.ndarray:
        """Training pairs of each item, int64 `[I]`."""
        return self.train.per_item()

    @property
    def users(self) -> dict[str, np.ndarray]:
        """The features of the users: their ids, and `last` as their `history`."""
        users = {"user_id": _ids(self.user_ids, self.num_users)}
        if self.last is not None:
            users["history"] = self._histories(self.last)
        return users

    @property
    def items(self) -> dict[str, np.ndarray]:
        """The features of the items: their ids, `[I]`."""
        return {"item_id": _ids(self.item_ids, self.num_items)}

    def spec(self, dim: int) -> FeatureSpec:
        """Returns the features: ids, and the last items where there is an order.

        Args:
            dim: Width of a user's and of an item's vector.
        """
        users, items = self.users["user_id"], self.items["item_id"]
        features = [
            Feature("user_id", "categorical", "user", "user", dtype=_dtype(users)),
            Feature("item_id", "categorical", "item", "item", dtype=_dtype(items)),
        ]
        if self.last is not None:
            shape = self.last.shape[1:]
            features.insert(
                1,
                Feature("history", "categorical", "user", "item", shape, _dtype(items)),
            )
        return FeatureSpec(
            tuple(features),
            (
                _table("user", dim, self.user_ids, self.num_users),
                _table("item", dim, self.item_ids, self.num_items),
            ),
        )

    def _histories(self, rows: np.ndarray) -> np.ndarray:
        """The ids of catalogue rows, -1 or empty where padded."""
        ids = self.items["item_id"]
        return np.where(rows >= 0, ids[rows], -1 if ids.dtype.kind == "i" else "")

    def seen(self, part: str) -> Pairs:
        """Returns the pairs that must not be recommended in a part.

        Args:
            part: `"valid"`: those of training; `"test"`: those of validation too.
        """
        if part == "valid":
            return self.train
        return self.train.union(self.valid)

    def requests(self, part: str) -> Requests:
        """Returns a part as one request for each of its users: all items, label 1.

        It comes when the part begins, so it knows nothing of the part itself.

        Args:
            part: `"train"`, `"valid"` or `"test"`.
        """
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        pairs, clock = parts[part], float(list(parts).index(part))
        users, row = np.unique(pairs.user, return_inverse=True)
        # Each user's pairs are one stretch, as `Pairs` are sorted: the place within it.
        place = np.arange(len(pairs)) - np.searchsorted(row, row)
        candidates = np.full((len(users), place.max() + 1), -1, np.int32)
        candidates[row, place] = pairs.item
        labels = (candidates >= 0).astype(np.float32)
        features = {name: values[users] for name, values in self.users.items()}
        return Requests(
            features,
            self.items,
            candidates,
            labels,
            users,
            clock=np.full(len(users), clock),
        )

    def next_items(self) -> tuple[np.ndarray, Pairs]:
        """Returns examples for a sequence model: what was taken before, what next.

        Returns:
            Histories `[E, H]`, newest first and padded, and the pairs of an
            example and its next item: users and pairs for `RecallBatches`.

        Raises:
            ValueError: If the items have no order.

        Example:
            >>> pairs = Pairs([0, 0], [0, 1], 4)
            >>> last = np.array([[1, 0, -1]])
            >>> data = ImplicitFeedback("mine", 1, pairs, pairs, pairs, last)
            >>> histories, pairs = data.next_items()
            >>> histories.tolist(), pairs.item.tolist()
            ([[0, -1, -1]], [1])
        """
        if self.last is None:
            raise ValueError(
                f"{self.name} has no order in time, which a sequence model needs; take "
                "`Ease` or `lightgcn_vectors`."
            )
        width = self.last.shape[1]
        padded = np.pad(self.last, [(0, 0), (0, width)], constant_values=-1)
        user, place = np.nonzero(self.last[:, 1:] >= 0)
        # What was taken before place p: `last` from p + 1 on, padded behind.
        columns = place[:, np.newaxis] + 1 + np.arange(width)
        histories = self._histories(padded[user[:, np.newaxis], columns])
        pairs = Pairs(np.arange(len(user)), self.last[user, place], self.num_items)
        return histories, pairs

    @classmethod
    def from_frame(
        cls,
        name: str,
        frame: Any,
        *,
        core: int = 1,
        valid: float = 0.1,
        test: float = 0.1,
    ) -> ImplicitFeedback:
        """Splits interactions with times: each user's last ones are valid and test.

        Args:
            name: Name of the data set.
            frame: A pandas frame with the columns user_id, item_id and timestamp; a
                pair that repeats counts where it is first.
            core: Users and items with fewer pairs are left out.
            valid: Share of a user's pairs.
            test: Share of a user's pairs.

        Raises:
            ValueError: If nothing is left, or a part is empty.
        """
        frame = frame.sort_values("timestamp", kind="stable")
        frame = frame.drop_duplicates(["user_id", "item_id"])
        size = -1
        # Again, until nothing falls out: leaving out a user takes from items, and so
        # on.
        while size != len(frame):
            size = len(frame)
            for column in ("user_id", "item_id"):
                counts = frame[column].map(frame[column].value_counts())
                frame = frame[counts >= core]
        split = per_user_temporal_split(frame, valid=valid, test=test)
        return cls.from_parts(name, list(split.parts.values()))

    @classmethod
    def from_parts(cls, name: str, parts: Sequence[Any]) -> ImplicitFeedback:
        """Numbers the users of training and all items, and keeps the order in time.

        Args:
            name: Name of the data set.
            parts: Frames of train, valid and test with user_id and item_id; with a
                timestamp each is in its order.
        """
        frame = pd.concat(parts)
        users, items = np.unique(parts[0]["user_id"]), np.unique(frame["item_id"])
        warm = [part[part["user_id"].isin(users)] for part in parts]
        numbered = [
            (
                np.searchsorted(users, part["user_id"]),
                np.searchsorted(items, part["item_id"]),
            )
            for part in warm
        ]
        train, valid, test = (Pairs(*pair, len(items)) for pair in numbered)
        made = cls(name, len(users), train, valid, test, None, users, items)
        if "timestamp" not in frame:
            return made
        times = [part["timestamp"].to_numpy() for part in warm]
        user, item = (np.concatenate(column) for column in zip(*numbered))
        clock = np.concatenate(
            [
                number + places("user", pairs[0], time, 0)
                for number, (pairs, time) in enumerate(zip(numbered, times))
            ]
        )
        size = len(users), len(items)
        log = InteractionLog(user, item, clock, *size, time=np.concatenate(times))
        last = _newest(*numbered[0], len(users))
        return dataclasses.replace(made, last=last, log=log)


def _newest(user: np.ndarray, item: np.ndarray, num_users: int) -> np.ndarray:
    """Each user's last items `[U, _LAST]`, newest first, of pairs in time order."""
    # Reversed and stable: the newest of each user come first.
    order = np.argsort(user[::-1], kind="stable")
    user, item = user[::-1][order], item[::-1][order]
    place = np.arange(len(user)) - np.searchsorted(user, user)
    last = np.full((num_users, _LAST), -1, np.int32)
    kept = place < _LAST
    last[user[kept], place[kept]] = item[kept]
    return last


def _ids(ids: np.ndarray | None, size: int) -> np.ndarray:
    return np.arange(size) if ids is None else ids


def _dtype(ids: np.ndarray) -> str:
    return "int64" if ids.dtype.kind == "i" else "string"


def _table(name: str, dim: int, ids: np.ndarray | None, size: int) -> Table:
    """Rows by number, or by the ids as a vocabulary."""
    if ids is None:
        return Table(name, dim, size=size)
    return Table(name, dim, "vocabulary", tuple(ids.tolist()))
