"""Calibration of click probabilities: mean prediction over CTR, bins, their error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdistill.metrics.checks import as_binary, as_mask, as_values
from tfdistill.metrics.ties import tie_places


@dataclass(frozen=True)
class Reliability:
    """Predicted and true click rates in bins of equal mass, lowest predictions first.

    Attributes:
        predicted: Mean predicted probability, float64 `[bins]`.
        observed: Share of clicks, float64 `[bins]`.
        count: Impressions, int64 `[bins]`.

    Example:
        >>> bins = Reliability(np.array([0.2]), np.array([0.25]), np.array([4]))
        >>> round(bins.error, 3)
        0.05
    """

    predicted: np.ndarray
    observed: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: `sum_b n_b |predicted_b - observed_b| / n`."""
        if self.count.size == 0:
            return float("nan")
        gaps = np.abs(self.predicted - self.observed)
        return float(np.average(gaps, weights=self.count))


def calibration_ratio(
    labels: np.ndarray, logits: np.ndarray, *, mask: np.ndarray | None = None
) -> float:
    """Mean predicted probability over the true click rate.

    `sum sigmoid(z) / sum y`: 1 is right, 1.1 promises a tenth too many clicks. A bidder
    needs it right; an order alone doesn't. Only distillation at temperature 1 keeps a
    sigmoid student calibrated.

    Args:
        labels: 0 or 1, `[...]`.
        logits: Log odds of a click, `[...]`.
        mask: bool `[...]`, False where an entry is padding or has no label.

    Returns:
        The ratio; NaN where there is no click.

    Raises:
        ValueError: Where shapes differ, a label isn't 0 or 1, or a valid entry is NaN.

    Example:
        >>> calibration_ratio(np.array([1, 0]), np.array([0.0, 0.0]))
        1.0
    """
    clicks, predicted = _flat(labels, logits, mask)
    total = clicks.sum()
    return float(predicted.sum() / total) if total else float("nan")


def reliability(
    labels: np.ndarray,
    logits: np.ndarray,
    *,
    bins: int = 10,
    mask: np.ndarray | None = None,
) -> Reliability:
    """Predicted and true click rates in bins of equal mass.

    Impressions are cut by the rank of their prediction into `bins` parts of (nearly)
    equal size. Equal predictions share a bin, whatever their order; bins that this
    leaves empty are dropped. Bins of equal width would put most of a low click rate's
    impressions into the first one.

    Args:
        labels: 0 or 1, `[...]`.
        logits: Log odds of a click, `[...]`.
        bins: How many parts.
        mask: bool `[...]`, False where an entry is padding or has no label.

    Returns:
        The bins; `.error` is the expected calibration error.

    Raises:
        ValueError: Where shapes differ, a label isn't 0 or 1, a valid entry is NaN, or
            `bins` < 1.

    Example:
        >>> labels, logits = np.array([0, 1, 1, 1]), np.array([-9.0, -9.0, 9.0, 9.0])
        >>> reliability(labels, logits, bins=2).observed.tolist()
        [0.5, 1.0]

    Reference:
        Nguyen & O'Connor, 2015 (arXiv:1508.05154); Guo et al., 2017 (arXiv:1706.04599).
    """
    if bins < 1:
        raise ValueError(
            f"`bins` must be at least 1, got {bins}. Ten is a common choice."
        )
    clicks, predicted = _flat(labels, logits, mask)
    row = predicted[None, :]
    begin, end = tie_places(row, np.ones(row.shape, dtype=bool))
    # Ties lie in the bin of their middle: no bin's edge cuts through equal predictions.
    middle = clicks.size - (begin[0] + end[0]) / 2.0
    part = np.floor(middle * bins / max(clicks.size, 1)).astype(np.int64)
    count = np.bincount(part, minlength=bins)
    kept = count > 0
    size = count[kept]
    return Reliability(
        np.bincount(part, predicted, bins)[kept] / size,
        np.bincount(part, clicks, bins)[kept] / size,
        size,
    )


def _flat(
    labels: np.ndarray, logits: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the valid entries' labels and predicted probabilities."""
    mask = as_mask(mask, np.shape(logits))
    clicks = as_binary(labels, mask)[mask]
    valid = as_values("logits", logits, mask)[mask]
    return clicks, np.exp(-np.logaddexp(0.0, -valid))
