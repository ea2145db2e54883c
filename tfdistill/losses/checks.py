"""Validation of constructor arguments, with one wording for all losses."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["at_least", "choice", "positive", "share"]


def positive(name: str, value: float) -> float:
    """Returns `value` if it is a finite number above 0.

    Args:
        name: Name of the argument, for the message.
        value: Value to check.

    Returns:
        The value as a float.

    Raises:
        ValueError: If it is no number, not above 0, NaN or infinite.

    Example:
        >>> positive("temperature", 2)
        2.0
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 < number < math.inf:
        raise ValueError(
            f"`{name}` must be above 0, got {value!r}. Give a finite number."
        )
    return number


def at_least(name: str, value: int, low: int) -> int:
    """Returns `value` if it is an integer of at least `low`.

    Args:
        name: Name of the argument, for the message.
        value: Value to check.
        low: Smallest legal value.

    Returns:
        The value as an int.

    Raises:
        ValueError: If it is smaller or not a whole number.

    Example:
        >>> at_least("topk", 10, 1)
        10
    """
    if int(value) != value or value < low:
        raise ValueError(
            f"`{name}` must be a whole number of at least {low}, got {value!r}."
        )
    return int(value)


def share(name: str, value: float) -> float:
    """Returns `value` if it lies in [0, 1].

    Args:
        name: Name of the argument, for the message.
        value: Value to check.

    Returns:
        The value as a float.

    Raises:
        ValueError: If it lies outside.

    Example:
        >>> share("discrepancy", 1)
        1.0
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"`{name}` must lie in [0, 1], got {value!r}.")
    return float(value)


def choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """Returns `value` if it is one of the allowed names.

    Args:
        name: Name of the argument, for the message.
        value: Value to check.
        allowed: The legal names.

    Returns:
        The value.

    Raises:
        ValueError: If it is none of them.

    Example:
        >>> choice("divergence", "js", ["forward", "js"])
        'js'
    """
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {list(allowed)}, got {value!r}.")
    return value
