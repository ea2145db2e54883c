"""What each metric's name means: its direction, its digits, and one line of text."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_NAME = re.compile(r"([a-z_]+?)(?:@(\d+))?(?:_(head|tail))?")
_PARTS = {
    "head": "; among the most popular fifth of the items",
    "tail": "; among all items but the most popular fifth",
}


@dataclass(frozen=True)
class Metric:
    """How to read, print and compare one metric.

    Attributes:
        label: Its name in tables and plots.
        text: One line that explains it.
        target: What is best: inf (the higher the better), -inf (the lower), or a value
            to be near to.
        digits: Digits after the point.
        undefined: When it has no value, NaN.

    Example:
        >>> Metric("AUC", "order", digits=3).show(0.71234)
        '0.712'
    """

    label: str
    text: str
    target: float = float("inf")
    digits: int = 4
    undefined: str = "there is nothing to judge"

    def gain(self, value: float, over: float) -> float:
        """Returns how much better `value` is than `over`: above 0 means better.

        Example:
            >>> metric("calibration").gain(1.0, over=0.75)
            0.25
        """
        if self.target == float("inf"):
            return value - over
        if self.target == -float("inf"):
            return over - value
        return abs(over - self.target) - abs(value - self.target)

    def show(self, value: float, *, sign: bool = False) -> str:
        """Returns the value as text, with its sign if `sign`; NaN is a dash."""
        if value != value:
            return "–"
        value = round(value, self.digits) + 0.0  # + 0.0 makes -0.0 positive
        sign = sign and value != 0.0
        return f"{value:{'+' if sign else ''}.{self.digits}f}".replace("-", "−")

    @property
    def direction(self) -> str:
        """What is better, in words."""
        if abs(self.target) != float("inf"):
            return f"nearer to {self.target:g} is better"
        return "higher is better" if self.target > 0 else "lower is better"


_LOWER = -float("inf")
_UNLABELLED = "no impression has a label and a score"
_NO_CLICK = "no label is above 0"
_NO_RELEVANT = "no user has a relevant item"
_NO_LIST = "no list has items to compare"

METRICS = {
    "auc": Metric(
        "AUC",
        "chance that a clicked item scores above an unclicked one",
        undefined="all labels are alike",
    ),
    "gauc": Metric(
        "GAUC",
        "AUC inside each user's impressions, averaged by them",
        undefined="no user has labels of both kinds",
    ),
    "log_loss": Metric(
        "Log loss", "nats per impression, from logits", _LOWER, undefined=_UNLABELLED
    ),
    "ndcg": Metric(
        "NDCG@{k}",
        "relevant items in the first {k}, early ones more",
        undefined=_NO_CLICK,
    ),
    "mrr": Metric(
        "MRR", "one over the first relevant item's place", undefined=_NO_CLICK
    ),
    "recall": Metric(
        "Recall@{k}",
        "share of the relevant items in the first {k}",
        undefined=_NO_RELEVANT,
    ),
    "calibration": Metric(
        "Pred / CTR",
        "mean predicted click probability over the true rate",
        1.0,
        3,
        undefined=_NO_CLICK,
    ),
    "ece": Metric(
        "ECE",
        "gap of prediction and CTR in ten bins of equal mass",
        _LOWER,
        undefined=_UNLABELLED,
    ),
    "spearman": Metric(
        "Spearman", "rank correlation with the teacher per list", undefined=_NO_LIST
    ),
    "top_overlap": Metric(
        "Top-{k} overlap",
        "share of the teacher's first {k} in the student's",
        digits=3,
        undefined=_NO_LIST,
    ),
    "logit_rmse": Metric("Logit RMSE", "distance from the teacher's logits", _LOWER, 3),
    "survival": Metric(
        "Survival",
        "share of all relevant items still there after the stage",
        undefined=_NO_RELEVANT,
    ),
    "overlap": Metric(
        "Overlap",
        "share of the teacher's set of the same size in the stage's",
        digits=3,
    ),
}
"""All metrics of the package by the part of their name before `@` and `_head`."""


def metric(name: str) -> Metric:
    """The description of a metric's full name, such as `recall@50_tail`.

    Args:
        name: `base`, `base@k`, and either with `_head` or `_tail`.

    Returns:
        The entry of `METRICS`, with k and the part of the items filled in.

    Raises:
        ValueError: Where the name isn't in the table.

    Example:
        >>> metric("recall@50_tail").label
        'Recall@50 tail'
        >>> metric("log_loss").direction
        'lower is better'
    """
    match = _NAME.fullmatch(name)
    base, k, part = match.groups() if match else ("", None, None)
    entry = METRICS.get(base)
    if entry is None or ("{k}" in entry.label) != (k is not None):
        raise ValueError(
            f"No metric is called {name!r}; known are {', '.join(METRICS)}, with @k "
            "where a cut belongs, and _head or _tail for a part of the items."
        )
    label, text = entry.label.format(k=k), entry.text.format(k=k)
    if part:
        label, text = f"{label} {part}", text + _PARTS[part]
    return replace(entry, label=label, text=text)
