"""Users as they were at several cuts of the log: what recall is trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from tfdistill.data.interactions import Histories, InteractionLog
from tfdistill.data.requests import Requests
from tfdistill.pairs import Pairs

__all__ = [
    "TRAIN_END",
    "Asked",
    "Examples",
    "States",
    "asked_in_windows",
    "taken_among",
    "users_at",
]

TRAIN_END = 1.0
"""Where the training part ends on the clock of a log."""


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """Who is asked for, when, and until when what they took is relevant.

    Args:
        user: int `[b]`, numbers of users.
        clock: float `[b]`, when they ask: what came before is known.
        until: float `[b]`, the positives from `clock` to here are the labels.
    """

    user: np.ndarray
    clock: np.ndarray
    until: np.ndarray


def asked_in_windows(
    log: InteractionLog, windows: Iterable[tuple[float, float]]
) -> Asked:
    """Returns each window's users, asked at its beginning, for training.

    A window's users have a history before it and a positive in it.

    Args:
        log: The interactions.
        windows: Begin and end of each window.

    Example:
        >>> log = InteractionLog([0, 0, 1], [0, 1, 1], [0.1, 0.6, 0.7], 2, 3)
        >>> asked = asked_in_windows(log, [(0.5, 1.0)])
        >>> asked.user.tolist(), asked.clock.tolist()
        ([0], [0.5])
    """
    users, begins, ends = [], [], []
    liked = log.positives
    for begin, end in windows:
        found = np.unique(liked.user[(liked.clock >= begin) & (liked.clock < end)])
        found = found[log.histories(found, begin).sizes > 0]
        users.append(found)
        begins.append(np.full(len(found), begin))
        ends.append(np.full(len(found), end))
    return Asked(*(np.concatenate(column) for column in (users, begins, ends)))


def taken_among(log: InteractionLog, asked: Asked, items: np.ndarray) -> np.ndarray:
    """Tells which items `[b, L]` each user takes while they are relevant, bool.

    Args:
        log: The log, or its positives.
        asked: Who asks.
        items: int `[b, L]`, catalogue rows, -1 where padded.

    Example:
        >>> log = InteractionLog([0, 0], [2, 3], [0.1, 0.6], 1, 4)
        >>> asked = Asked(np.array([0]), np.array([0.5]), np.array([1.0]))
        >>> taken_among(log, asked, np.array([[2, 3, -1]])).tolist()
        [[False, True, False]]
    """
    taken = _taken(
        log, log.histories(asked.user, asked.until), asked.clock, asked.until
    )
    row = np.arange(len(items))[:, np.newaxis]
    return np.asarray(taken.contains(row, np.maximum(items, 0)) & (items >= 0))


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """What a recall net is trained on: users at some time, and what they like then.

    Args:
        user: int `[E]`, whose example it is.
        clock: float `[E]`, when.
        features: User features by name, `[E, *shape]`, as they were then.
        liked: Pairs of an example and a positive.
        had: Pairs of an example and what is never recommended to it.
    """

    user: np.ndarray
    clock: np.ndarray
    features: Mapping[str, np.ndarray]
    liked: Pairs
    had: Pairs


@dataclasses.dataclass(frozen=True)
class States:
    """When the users are asked, and what is theirs to find.

    With a window each user is an example at every cut: its features are of what came
    before the cut, and what it liked within the window after it is to be found. It
    suits nets that know a user by a history, and that are served when time has gone
    on. Without one each user is one example at the last cut, and all that it liked in
    training is to be found: that suits nets that know a user by an id.

    Args:
        cuts: Clocks up to 1.0, the end of training. At a cut where nothing follows in
            training, a user can be taught by lists alone.
        window: How long what a user likes after a cut is to be found; never beyond
            the training part.
        end: Nothing from here on has a part in any example. Below 1.0 it makes the
            folds of a student whose scores are features of what comes after it.

    Raises:
        ValueError: If a cut or the window is out of range.

    Example:
        >>> log = InteractionLog([0, 0, 0], [4, 2, 5], [0.1, 0.6, 0.9], 1, 6)
        >>> known = Requests({"age": np.array([31])}, {"item_id": np.arange(6)},
        ...     np.int32([[4]]), np.float32([[1]]), np.array([0]))
        >>> made = States((0.5, 0.8), window=0.3).examples(log, known)
        >>> made.clock, made.liked.item, made.had.item
        (array([0.5, 0.8]), array([2, 5]), array([4, 2, 4]))
    """

    cuts: tuple[float, ...] = (TRAIN_END,)
    window: float | None = None
    end: float = TRAIN_END

    def __post_init__(self) -> None:
        given = (*self.cuts, TRAIN_END if self.window is None else self.window)
        if not self.cuts or not all(0 < value <= TRAIN_END for value in given):
            raise ValueError(
                f"States: the cuts must be above 0 and up to {TRAIN_END:g}, where "
                f"training ends, and the window up to {TRAIN_END:g}; got "
                f"{self.cuts} and {self.window}."
            )

    @classmethod
    def rolling(
        cls,
        first: float = 0.25,
        step: float = 0.0625,
        window: float = 0.125,
        end: float = TRAIN_END,
    ) -> States:
        """Returns states at cuts from `first` on to the end of training.

        Args:
            first: The first cut: what came before it is all that a user knows.
            step: From one cut to the next.
            window: As above.
            end: As above; the cuts come before it.

        Example:
            >>> States.rolling(step=0.25).cuts
            (0.25, 0.5, 0.75)
        """
        return cls(tuple(np.arange(first, end - 1e-9, step).tolist()), window, end)

    def examples(
        self, log: InteractionLog, known: Requests, also: Collection[float] = ()
    ) -> Examples:
        """Returns the examples; nothing of the log from `end` on has a part in them.

        Args:
            log: Who took what and when.
            known: Training requests of the users, for their features.
            also: Further cuts, where nothing but a list is to be learned.
        """
        log = log.before(self.end)
        windows = self._windows(also)
        users, cuts = np.unique(known.group), np.array([cut for cut, _, _ in windows])
        row, place = np.divmod(np.arange(len(users) * len(cuts)), len(cuts))
        histories = log.histories(users[row], cuts[place])
        begin, end = np.array([span for _, *span in windows])[place].T
        likes = _taken(log.positives, histories, begin, end).per_user(len(row)) > 0
        kept = (histories.sizes > 0) & (likes | np.isin(histories.clock, list(also)))
        histories = histories[kept]
        return Examples(
            histories.user,
            histories.clock,
            users_at(known, histories),
            _taken(log.positives, histories, begin[kept], end[kept]),
            histories.pairs,
        )

    def _windows(self, also: Collection[float]) -> list[tuple[float, float, float]]:
        """The cuts, and from when to when what is liked is to be found."""
        if self.window is None:
            return [(max((*self.cuts, *also)), 0.0, self.end)]
        lasts = {**dict.fromkeys(also, 0.0), **dict.fromkeys(self.cuts, self.window)}
        return [(cut, cut, cut + lasts[cut]) for cut in sorted(lasts)]


def _taken(
    log: InteractionLog, asked: Histories, begin: np.ndarray, end: np.ndarray
) -> Pairs:
    """Pairs of a request and what its user took from `begin` to before `end`."""
    later, before = (log.histories(asked.user, clock) for clock in (end, begin))
    request, row, place = later.rows
    new = place < (later.sizes - before.sizes)[request]
    return Pairs(request[new], log.item[row[new]], log.num_items)


def users_at(
    known: Requests, histories: Histories, history: str = "history"
) -> dict[str, np.ndarray]:
    """Returns user features of requests as they were when these came.

    They are those of the user's first request in `known`, but for the history, which is
    that of the log.

    Args:
        known: Requests of all these users, over the catalogue.
        histories: What each request may know.
        history: Name of the user feature that holds the last items.

    Returns:
        By name, `[b, *shape]`.

    Raises:
        ValueError: If a user has no request in `known`.

    Example:
        >>> known = Requests(
        ...     {"age": np.array([31])}, {"item_id": np.arange(4)},
        ...     np.array([[0, 1]], np.int32), np.zeros([1, 2], np.float32),
        ...     np.array([0]))
        >>> log = InteractionLog([0, 0], [2, 3], [0.1, 0.2], 1, 4)
        >>> users_at(known, log.histories([0], [0.15]))["age"]
        array([31])
    """
    users, first = np.unique(known.group, return_index=True)
    place = np.searchsorted(users, histories.user).clip(max=len(users) - 1)
    strange = histories.user[users[place] != histories.user]
    if len(strange):
        raise ValueError(
            f"User {strange[0]} has no request in `known`, so its features are not "
            "known. Give requests of all users, or leave this one out."
        )
    features = {name: values[first[place]] for name, values in known.users.items()}
    if history in features and "item_id" in known.items:
        old, ids = features[history], known.items["item_id"]
        newest = histories.newest(old.shape[1])
        padding = -1 if ids.dtype.kind == "i" else ""
        features[history] = np.where(newest >= 0, ids[newest], padding)
    return features
