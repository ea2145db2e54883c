"""The scorers that are used by default, for the features that a problem has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.scorers.base import PairScorer
from tfdistill.scorers.items import EaseScorer, RatingEase, SimilarItems, Transitions
from tfdistill.scorers.profiles import ContentTaste, GroupTaste, Popular, Rated
from tfdistill.spec import Feature, FeatureSpec

__all__ = ["LISTED_BY", "default_scorers"]

_MOST_GROUPS = 50
_MOST_VALUES = 200
_IN_ORDER = 20
"""More whole numbers than these, such as years, are taken by tenths."""

_ITEMS: tuple[PairScorer, ...] = (
    EaseScorer(200.0),
    EaseScorer(500.0, memory=3.0),
    EaseScorer(500.0, memory=10.0),
    EaseScorer(1000.0, positives=False),
    *(EaseScorer(1000.0, memory, positives=False) for memory in (3.0, 10.0, 30.0)),
    RatingEase(),
    *(Transitions(memory) for memory in (3.0, 10.0, 40.0)),
    SimilarItems(1),
    SimilarItems(10),
    Popular(),
    Popular(0.15),
    Popular(0.03),
    Rated(),
)

LISTED_BY = tuple(_ITEMS[place].name for place in (0, 3, 5, 9))
"""Those whose lists make good candidates: EASE twice, of the newest, transitions."""


def default_scorers(spec: FeatureSpec, requests: Requests) -> tuple[PairScorer, ...]:
    """Returns the scorers of items, and a taste for each feature that has few values.

    EASE of the positives and of all, asked with all and with the newest items,
    transitions, similarity and popularity; the taste of each group of users
    (`GroupTaste`), and each content of items (`ContentTaste`). The settings were chosen
    on MovieLens-100K.

    Args:
        spec: The features.
        requests: Training requests, which have the features' values.

    Example:
        >>> from tfdistill.spec import Table
        >>> requests = Requests(
        ...     {"age": np.array([31, 47])}, {"kind": np.array([0, 1, 1, 2, 2, 0])},
        ...     np.zeros([2, 1], np.int32), np.zeros([2, 1], np.float32), np.arange(2))
        >>> tables = Table("age", 4, size=99), Table("kind", 4, size=3)
        >>> features = (Feature("age", "categorical", "user", "age"),
        ...     Feature("kind", "categorical", "item", "kind"))
        >>> found = default_scorers(FeatureSpec(features, tables), requests)
        >>> [scorer.name for scorer in found[-4:]]
        ['taste of the group, age', 'taste of kind', 'taste of kind, memory 10',
         'taste of kind, positives']
    """
    found = list(_ITEMS)
    users, first = np.unique(requests.group, return_index=True)
    for feature in spec.features:
        if feature.scope == "user" and not feature.shape:
            values = requests.users[feature.name][first]
            distinct, code = np.unique(values, return_inverse=True)
            if 1 < len(distinct) <= _MOST_GROUPS:
                groups = np.zeros(int(users.max()) + 1, np.int64)
                groups[users] = code
                found.append(GroupTaste(feature.name, groups))
        elif feature.scope == "item":
            found += _tastes(feature, requests.items[feature.name])
    return tuple(found)


def _tastes(feature: Feature, values: np.ndarray) -> Iterator[PairScorer]:
    """Tastes of a feature: of all of a history, of its newest, of what is liked."""
    content = _content(feature, values)
    if content is not None:
        yield ContentTaste(feature.name, content)
        yield ContentTaste(feature.name, content, memory=10.0)
        yield ContentTaste(feature.name, content, positives=True)


def _content(feature: Feature, values: np.ndarray) -> np.ndarray | None:
    """An item feature as ones and zeros `[I, G]`: by value, or tenths of numbers."""
    flat = values.reshape(len(values), -1)
    distinct = np.unique(flat)
    if feature.kind == "numeric":
        return _tenths(flat)
    if len(distinct) > len(values) // 2:
        return None  # as good as an id
    if flat.dtype.kind == "i" and flat.shape[1] == 1 and len(distinct) > _IN_ORDER:
        return _tenths(flat)
    distinct = distinct[distinct != feature.default]
    if not 1 < len(distinct) <= _MOST_VALUES:
        return None
    at = np.searchsorted(distinct, flat).clip(max=len(distinct) - 1)
    row, place = np.nonzero(distinct[at] == flat)
    content = np.zeros((len(values), len(distinct)))
    content[row, at[row, place]] = 1.0
    return content


def _tenths(values: np.ndarray) -> np.ndarray:
    """Which tenth of its column each value lies in, `[I, 10 n]` of ones and zeros."""
    columns = []
    for column in values.T:
        borders = np.unique(np.quantile(column, np.arange(1, 10) / 10))
        columns.append(np.eye(len(borders) + 1)[np.digitize(column, borders)])
    return np.concatenate(columns, axis=1)
