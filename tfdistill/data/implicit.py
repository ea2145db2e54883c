"""Implicit feedback: which user took which item."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfdistill.data.requests import PairSet, Requests
from tfdistill.data.spec import Feature, FeatureSpec, Table

__all__ = ["ImplicitFeedback"]


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

    Raises:
        ValueError: If the parts are about different catalogues, or a user has no
            training pair.

    Example:
        >>> pairs = [PairSet([0, 1], items, 4) for items in ([0, 1], [2, 2], [3, 0])]
        >>> data = ImplicitFeedback("mine", 2, *pairs)
        >>> data.num_items, data.requests("test").candidates.tolist()
        (4, [[3], [0]])
    """

    name: str
    num_users: int
    train: PairSet
    valid: PairSet
    test: PairSet
    last: np.ndarray | None = None

    def __post_init__(self) -> None:
        sizes = [part.num_items for part in (self.train, self.valid, self.test)]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"{self.name}: train, valid and test must have one catalogue, got "
                f"{sizes} items."
            )
        users = np.unique(self.train.group)
        if not np.array_equal(users, np.arange(self.num_users)):
            raise ValueError(
                f"{self.name}: the users 0 .. {self.num_users - 1} must all have "
                f"training pairs, got {len(users)} users up to "
                f"{users.max(initial=-1)}; renumber them without gaps."
            )

    @property
    def num_items(self) -> int:
        """I, the size of the catalogue."""
        return self.train.num_items

    @property
    def popularity(self) -> np.ndarray:
        """Training pairs of each item, int64 `[I]`."""
        return np.bincount(self.train.item, minlength=self.num_items)

    @property
    def users(self) -> dict[str, np.ndarray]:
        """The features of the users: their number, and `last` as their `history`."""
        users = {"user_id": np.arange(self.num_users)}
        if self.last is not None:
            users["history"] = self.last.astype(np.int64)
        return users

    @property
    def items(self) -> dict[str, np.ndarray]:
        """The features of the items: their number, `[I]`."""
        return {"item_id": np.arange(self.num_items)}

    def spec(self, dim: int) -> FeatureSpec:
        """Returns the features: numbers, and the last items where there is an order.

        Args:
            dim: Width of a user's and of an item's vector.
        """
        history: tuple[Feature, ...] = ()
        if self.last is not None:
            shape = self.last.shape[1:]
            history = (Feature("history", "categorical", "user", "item", shape),)
        return FeatureSpec(
            (
                Feature("user_id", "categorical", "user", table="user"),
                *history,
                Feature("item_id", "categorical", "item", table="item"),
            ),
            (
                Table("user", dim, size=self.num_users),
                Table("item", dim, size=self.num_items),
            ),
        )

    def seen(self, part: str) -> PairSet:
        """Returns the pairs that must not be recommended in a part.

        Args:
            part: `"valid"`: those of training; `"test"`: those of validation too.
        """
        if part == "valid":
            return self.train
        return PairSet(
            np.concatenate([self.train.group, self.valid.group]),
            np.concatenate([self.train.item, self.valid.item]),
            self.num_items,
        )

    def requests(self, part: str) -> Requests:
        """Returns a part as one request for each of its users: all items, label 1.

        Args:
            part: `"train"`, `"valid"` or `"test"`.
        """
        pairs = {"train": self.train, "valid": self.valid, "test": self.test}[part]
        users, row = np.unique(pairs.group, return_inverse=True)
        place = np.arange(len(pairs)) - np.searchsorted(row, row)
        candidates = np.full((len(users), place.max() + 1), -1, np.int32)
        candidates[row, place] = pairs.item
        labels = (candidates >= 0).astype(np.float32)
        features = {name: values[users] for name, values in self.users.items()}
        return Requests(features, self.items, candidates, labels, users)

    def next_items(self) -> tuple[np.ndarray, PairSet]:
        """Returns examples for a sequence model: what was taken before, what next.

        Returns:
            Histories int64 `[E, H]`, newest first and -1 padded, and the pairs of an
            example and its next item: users and pairs for `RecallBatches`.

        Raises:
            ValueError: If the items have no order.

        Example:
            >>> pairs = PairSet([0, 0], [0, 1], 4)
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
        columns = place[:, np.newaxis] + 1 + np.arange(width)
        histories = padded[user[:, np.newaxis], columns].astype(np.int64)
        pairs = PairSet(np.arange(len(user)), self.last[user, place], self.num_items)
        return histories, pairs
