"""Splits of timed interactions into train, valid and test."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import pandas as pd

__all__ = [
    "Order",
    "PartCounts",
    "Split",
    "fixed_test_split",
    "global_temporal_split",
    "per_user_temporal_split",
    "random_split",
]


Order = Literal["global", "user", "drawn"]
"""What comes before what in a split: by one time for all, by each user's, by chance."""


@dataclasses.dataclass(frozen=True)
class PartCounts:
    """How much of a part is known from the training part.

    Args:
        interactions: Rows of the part.
        warm_users: Its users that the training part has, too.
        cold_users: Its users that the training part has not.
        warm_items: Its items that the training part has, too.
        cold_items: Its items that the training part has not.
    """

    interactions: int
    warm_users: int
    cold_users: int
    warm_items: int
    cold_items: int


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Interactions in three parts, and what the way of splitting allows.

    Args:
        name: Name of the split, for reports.
        sentence: What the split allows a model to know, for reports.
        train: Frame with the columns user_id, item_id, rating and timestamp.
        valid: Likewise.
        test: Likewise.
        order: What comes before what: by one time for all, by each user's own, or by
            chance; it is the clock of the `InteractionLog`.

    Raises:
        ValueError: If a part is empty.

    Example:
        >>> rows = pd.DataFrame(
        ...     {"user_id": [1, 1, 2], "item_id": [5, 6, 5], "timestamp": [1, 2, 3]}
        ... )
        >>> split = Split("by hand", "Nothing.", rows[:1], rows[1:2], rows[2:])
        >>> split.counts()["test"].cold_users
        1
    """

    name: str
    sentence: str
    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    order: Order = "user"

    def __post_init__(self) -> None:
        for part, frame in self.parts.items():
            if frame.empty:
                raise ValueError(
                    f"The {self.name} split leaves the {part} part empty; give it a "
                    "larger share, or more interactions."
                )

    @property
    def parts(self) -> dict[str, pd.DataFrame]:
        """The frames by the names `"train"`, `"valid"` and `"test"`, in this order."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def counts(self) -> dict[str, PartCounts]:
        """Returns the size of each part, and its warm and cold users and items."""
        return {part: self._count(frame) for part, frame in self.parts.items()}

    def _count(self, frame: pd.DataFrame) -> PartCounts:
        seen = []
        for column in ("user_id", "item_id"):
            values = frame[column].unique()
            warm = int(np.isin(values, self.train[column].unique()).sum())
            seen += [warm, len(values) - warm]
        return PartCounts(len(frame), *seen)


def global_temporal_split(
    ratings: pd.DataFrame, *, valid: float = 0.1, test: float = 0.1
) -> Split:
    """Splits at two moments that are the same for everyone.

    The interaction at place p of n in time order goes to test if p / n >= 1 - test, to
    valid if p / n >= 1 - valid - test, else to train. Interactions of one second have
    one place, their mean, so they stay together.

    It is the split of a system in production: nothing later than a moment is known
    before it. Use it where enough users come back; otherwise nearly all of the last
    part is cold, and `per_user_temporal_split` tells more.

    Args:
        ratings: Interactions `[N]` with the columns user_id, item_id and timestamp.
        valid: Share of the interactions that go to valid.
        test: Share of the interactions that go to test.

    Returns:
        The split; its parts keep all columns of `ratings`.

    Raises:
        ValueError: If a column is missing, a share is out of range or a part is empty.

    Example:
        >>> ratings = pd.DataFrame(
        ...     {"user_id": [1, 1, 2, 2], "item_id": [5, 6, 5, 7],
        ...      "timestamp": [10, 40, 20, 30]}
        ... )
        >>> split = global_temporal_split(ratings, valid=0.25, test=0.25)
        >>> split.test["timestamp"].tolist(), split.valid["timestamp"].tolist()
        ([40], [30])
        >>> split.counts()["valid"].warm_users, split.counts()["valid"].cold_items
        (1, 1)

    Reference:
        Meng et al., Exploring Data Splitting Strategies, 2020, arXiv:2007.13237.
    """
    _check(ratings, valid, test)
    # Ties share their mean place, so that what came at one moment is in one part.
    place = (ratings["timestamp"].rank(method="average") - 0.5) / len(ratings)
    return _split(
        "global temporal",
        "Train, valid and test follow each other in time for all users: nothing is "
        "known before it happened.",
        ratings,
        np.digitize(place, [1 - valid - test, 1 - test]),
        "global",
    )


def per_user_temporal_split(
    ratings: pd.DataFrame, *, valid: float = 0.1, test: float = 0.1
) -> Split:
    """Splits the interactions of each user in time order.

    The rule is the one of `global_temporal_split` with places among the interactions of
    the same user. A user with few interactions, or with all of them in one second, is
    in train only.

    Every user of valid and test is warm. The price: the training part holds
    interactions of others that are later than a user's test interactions, so the
    popularity of items leaks from the future, though never the user's own behaviour.

    Args:
        ratings: Interactions `[N]` with the columns user_id, item_id and timestamp.
        valid: Share of a user's interactions that go to valid.
        test: Share of a user's interactions that go to test.

    Returns:
        The split; its parts keep all columns of `ratings`.

    Raises:
        ValueError: If a column is missing, a share is out of range or a part is empty.

    Example:
        >>> ratings = pd.DataFrame(
        ...     {"user_id": [1, 1, 1, 1, 1], "item_id": [5, 6, 7, 8, 9],
        ...      "timestamp": [10, 20, 30, 40, 40]}
        ... )
        >>> split = per_user_temporal_split(ratings, valid=0.2, test=0.4)
        >>> split.valid["item_id"].tolist(), split.test["item_id"].tolist()
        ([7], [8, 9])

    Reference:
        Ji et al., A Critical Study on Data Leakage in Recommender System Offline
        Evaluation, 2020, arXiv:2010.11060, on what a split per user leaks.
    """
    _check(ratings, valid, test)
    grouped = ratings.groupby("user_id")["timestamp"]
    place = (grouped.rank(method="average") - 0.5) / grouped.transform("size")
    return _split(
        "per-user temporal",
        "Valid and test are each user's last interactions: no later behaviour of the "
        "same user is known, but training has interactions of other users that are "
        "later.",
        ratings,
        np.digitize(place, [1 - valid - test, 1 - test]),
        "user",
    )


def random_split(
    ratings: pd.DataFrame, *, valid: float = 0.1, test: float = 0.1, seed: int = 0
) -> Split:
    """Draws the interactions of valid and test at random, pair by pair.

    What a user did later is then known, so a model is judged at filling gaps, not at
    telling what comes. Use it where there is no dependable time, or to compare with
    work that splits so.

    Args:
        ratings: Interactions `[N]` with the columns user_id, item_id and timestamp.
        valid: Share of the interactions that go to valid.
        test: Share of the interactions that go to test.
        seed: Seed of the draw.

    Returns:
        The split; its parts keep all columns of `ratings`.

    Raises:
        ValueError: If a column is missing, a share is out of range or a part is empty.

    Example:
        >>> ratings = pd.DataFrame(
        ...     {"user_id": 1, "item_id": range(10), "timestamp": range(10)})
        >>> split = random_split(ratings, valid=0.2, test=0.3)
        >>> [len(part) for part in split.parts.values()]
        [5, 2, 3]
    """
    _check(ratings, valid, test)
    size = len(ratings)
    part = np.zeros(size, np.int64)
    drawn = np.random.default_rng(seed).permutation(size)
    held, tested = round((valid + test) * size), round(test * size)
    part[drawn[:held]], part[drawn[:tested]] = 1, 2
    return _split(
        "random",
        "Valid and test were drawn at random, pair by pair: what the same users did "
        "later is known.",
        ratings,
        part,
        "drawn",
    )


def fixed_test_split(
    ratings: pd.DataFrame, is_test: Any, *, valid: float = 0.1, seed: int = 0
) -> Split:
    """Takes the test part that came with the data and draws valid from the rest.

    Use it where a source sets its test part aside and the rest has no dependable time.

    Args:
        ratings: Interactions `[N]` with the columns user_id, item_id and timestamp.
        is_test: bool `[N]`, the rows of the test part.
        valid: Share of the other rows that are drawn at random for valid.
        seed: Seed of the draw.

    Returns:
        The split; its parts keep all columns of `ratings`.

    Raises:
        ValueError: If a column is missing, the share is out of range, the shapes differ
            or a part is empty.

    Example:
        >>> ratings = pd.DataFrame(
        ...     {"user_id": [1, 1, 1], "item_id": [5, 6, 7], "timestamp": [1, 2, 3]}
        ... )
        >>> split = fixed_test_split(ratings, [False, False, True], valid=0.5)
        >>> split.test["item_id"].tolist(), len(split.train), len(split.valid)
        ([7], 1, 1)
    """
    _check(ratings, valid, 0.0)
    held = np.asarray(is_test, bool)
    if held.shape != (len(ratings),):
        raise ValueError(
            f"is_test must have one value for each of the {len(ratings)} ratings, got "
            f"shape {held.shape}."
        )
    rest = np.random.default_rng(seed).permutation(np.flatnonzero(~held))
    part = np.where(held, 2, 0)
    part[rest[: round(valid * len(rest))]] = 1
    return _split(
        "fixed test",
        "Test is the part that came with the data; valid was drawn at random from the "
        "rest, so training has interactions of the same users that are later than "
        "those of valid.",
        ratings,
        part,
        "drawn",
    )


def _check(ratings: pd.DataFrame, valid: float, test: float) -> None:
    missing = sorted({"user_id", "item_id", "timestamp"} - set(ratings.columns))
    if missing:
        raise ValueError(
            f"A split needs the columns {missing}, got {list(ratings.columns)}."
        )
    if ratings["timestamp"].isna().any():
        raise ValueError("A split needs the time of every interaction, got NaN.")
    if not (valid > 0 and test >= 0 and valid + test < 1):
        raise ValueError(
            "The shares of valid and test must be above 0 and sum to less than 1, got "
            f"{valid} and {test}."
        )


def _split(
    name: str, sentence: str, ratings: pd.DataFrame, part: Any, order: Order
) -> Split:
    train, valid, test = (ratings[part == number] for number in range(3))
    return Split(name, sentence, train, valid, test, order)
