"""What the data looks like, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfdistill.data.requests import Requests
from tfdistill.documents import Number, Several
from tfdistill.spec import Feature, FeatureSpec, Table

__all__ = ["NOTABLE", "DataSummary", "FeatureShares", "summarise"]

NOTABLE = 0.01
"""The share from which on there is a warning."""


@dataclass(frozen=True)
class FeatureShares:
    """How many values of a feature are not what its table is for.

    Attributes:
        name: The feature.
        missing: Share of the impressions (of the requests, for a user feature) with the
            feature's default and nothing else.
        unknown: Share of the other values that are not in the vocabulary.
        out_of_range: Share of them that are no id of an integer table.

    Example:
        >>> dict(FeatureShares("item_id", 0.25, 0.0, 0.5).problems())["missing"]
        0.25
    """

    name: str
    missing: float
    unknown: float
    out_of_range: float

    def problems(self) -> Iterator[tuple[str, float]]:
        """Yields each share, its meaning in words first."""
        yield "missing", self.missing
        yield "unknown to the vocabulary", self.unknown
        yield "outside the ids of the table", self.out_of_range


@dataclass(frozen=True)
class DataSummary:
    """Counts and shares of requests, as `summarise` gives them.

    Attributes:
        rows: Impressions read.
        requests: How many requests they make.
        shortest: Impressions of the shortest list.
        median: Of the median list.
        longest: Of the longest one.
        click_rate: Mean label; NaN where there is none.
        unlabelled: Share of the impressions without a label.
        cut: Impressions beyond `list_size`, which are left out.
        cut_clicks: Labels above 0 among them.
        features: Shares by feature, in the order of the spec.

    Example:
        >>> shares = FeatureShares("item_id", missing=0.25, unknown=0.0, out_of_range=1)
        >>> summary = DataSummary(8, 4, 2, 2.0, 2, 0.5, 0.0, 0, 0, (shares,))
        >>> summary.warnings()[0]
        'item_id: 25.0 % of the values are missing.'
        >>> summary.refuse_useless()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: All values of feature 'item_id' are outside the ids of the table...
    """

    rows: int
    requests: int
    shortest: int
    median: float
    longest: int
    click_rate: Number
    unlabelled: float
    cut: int
    cut_clicks: int
    features: Several[FeatureShares]

    def warnings(self) -> list[str]:
        """Returns a sentence for each share of 1 % or more, and for what was cut."""
        found = [
            f"{shares.name}: {share:.1%} of the values are {problem}.".replace(
                "%", " %"
            )
            for shares in self.features
            for problem, share in shares.problems()
            if share >= NOTABLE
        ]
        if self.cut:
            found.append(
                f"{self.cut} of {self.rows} impressions, {self.cut_clicks} of them "
                "clicked, are beyond the list size and left out."
            )
        return found

    def refuse_useless(self) -> None:
        """Refuses a feature none of whose values means anything, and labels of none.

        Raises:
            ValueError: If there is one.
        """
        if self.unlabelled == 1.0:
            raise ValueError("No impression has a label, so there is nothing to learn.")
        for shares in self.features:
            for problem, share in shares.problems():
                if share == 1.0:
                    raise ValueError(
                        f"All values of feature {shares.name!r} are {problem}. Correct "
                        "the column or the feature's table, or take the feature out of "
                        "the spec."
                    )


def summarise(
    requests: Requests,
    spec: FeatureSpec,
    *,
    rows: int | None = None,
    clicks: int | None = None,
) -> DataSummary:
    """Looks at requests before a training.

    Args:
        requests: The requests.
        spec: Their features.
        rows: Impressions that were read, where some are beyond the list size.
        clicks: Labels above 0 that were read.

    Returns:
        The summary; `refuse_useless` and `warnings` evaluator it.

    Example:
        >>> spec = FeatureSpec(
        ...     (Feature("item_id", "categorical", "item", table="item"),),
        ...     (Table("item", dim=4, size=11),))
        >>> requests = Requests(
        ...     {}, {"item_id": np.array([10, 11, 12, -1])},
        ...     candidates=np.array([[0, 1], [3, -1]], np.int32),
        ...     labels=np.array([[1, 0], [np.nan, 0]], np.float32),
        ...     group=np.array([0, 1]))
        >>> found = summarise(requests, spec)
        >>> found.rows, found.click_rate, found.longest
        (3, 0.5, 2)
        >>> found.warnings()
        ['item_id: 33.3 % of the values are missing.',
         'item_id: 50.0 % of the values are outside the ids of the table.']
    """
    present = requests.candidates >= 0
    sizes = present.sum(axis=1)
    kept = int(sizes.sum())
    given = requests.labels[present]
    known = given[~np.isnan(given)]
    shown = np.bincount(requests.candidates[present], minlength=requests.num_items)
    once = np.ones(requests.num_requests, np.int64)
    counts = {"user": once, "item": shown, "pair": present.astype(np.int64)}
    positive = int(np.sum(known > 0))
    return DataSummary(
        rows=kept if rows is None else rows,
        requests=requests.num_requests,
        shortest=int(sizes.min()),
        median=float(np.median(sizes)),
        longest=int(sizes.max()),
        click_rate=float(known.mean(dtype=np.float64)) if known.size else float("nan"),
        unlabelled=1 - known.size / kept,
        cut=0 if rows is None else rows - kept,
        cut_clicks=0 if clicks is None else clicks - positive,
        features=tuple(
            _shares(
                spec,
                feature,
                requests.features(feature.scope)[feature.name],
                counts[feature.scope],
            )
            for feature in spec.features
        ),
    )


def _shares(
    spec: FeatureSpec, feature: Feature, values: np.ndarray, count: np.ndarray
) -> FeatureShares:
    """Shares of a feature's values, as often as `count` `[N]` or `[R, L]` says."""
    rows, count = values.reshape(count.size, -1), count.ravel()
    if feature.table is None and not feature.shape:
        return FeatureShares(feature.name, 0.0, 0.0, 0.0)  # a reader refuses the others
    default = rows == feature.default
    missing = _share(default.all(axis=1), count)
    unknown = outside = 0.0
    if feature.table is not None:
        weight = np.broadcast_to(count[:, np.newaxis], rows.shape)[~default]
        table, given = spec.table_of(feature), rows[~default]
        unknown = _share(_unknown(table, given), weight)
        outside = _share(_outside(table, given), weight)
    return FeatureShares(feature.name, missing, unknown, outside)


def _share(flags: np.ndarray, count: np.ndarray) -> float:
    total = count.sum()
    return float(count[flags].sum() / total) if total else 0.0


def _unknown(table: Table, values: np.ndarray) -> np.ndarray:
    if table.kind != "vocabulary":
        return np.zeros(values.shape, bool)
    code, distinct = pd.factorize(values)
    texts = [v.decode() if isinstance(v, bytes) else v for v in distinct.tolist()]
    return ~pd.Index(texts).isin(table.vocabulary)[code]


def _outside(table: Table, values: np.ndarray) -> np.ndarray:
    if table.kind != "integer":
        return np.zeros(values.shape, bool)
    return (values < 0) | (values >= table.size)
