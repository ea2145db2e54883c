"""Validation of constructor arguments, with one wording for all losses."""

from __future__ import annotations

__all__ = ["at_least", "positive"]


def positive(name: str, value: float) -> float:
    """Returns `value` if it is above 0.

    Args:
        name: Name of the argument, for the message.
        value: Value to check.

    Returns:
        The value as a float.

    Raises:
        ValueError: If it is not above 0.

    Example:
        >>> positive("temperature", 2)
        2.0
    """
    if not value > 0:
        raise ValueError(f"`{name}` must be above 0, received {value!r}.")
    return float(value)


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
            f"`{name}` must be a whole number of at least {low}, received {value!r}."
        )
    return int(value)
