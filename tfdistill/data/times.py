"""Times of any column as numbers that sort as the instants do."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.data.columns import RowError, is_text
from tfdistill.documents import shown

__all__ = ["instants"]

_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_ISO = r"\d{4}[-/]\d.*|\d{8}(?:[T ].*)?"
_ZONE = r".*[:T]\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)"
_DAY, _MONTH = "(?:0[1-9]|[12][0-9]|3[01])", "(?:0[1-9]|1[0-2])"
_DIGITS = rf"(?:{_DAY}{_MONTH}|{_MONTH}{_DAY})(?:(?:19|20)\d\d|\d\d)"
_ADVICE = (
    "Give the format, --time-format (time_format=): '%d/%m/%Y' if the day comes first, "
    "'%m/%d/%Y' if the month does; add what follows, as %H:%M for 10:30, %z for a zone."
)


def instants(values: Any, name: str, time_format: str | None = None) -> np.ndarray:
    """Turns a column of times into numbers in the order of the instants.

    Numbers stay what they are. Text is ISO 8601, the year first, or of the format that
    is given; where it has a zone (in all rows or in none) instants are compared.

    Args:
        values: A series of numbers, of dates or of text, `[N]`.
        name: The column, for errors.
        time_format: How text is parsed, as by `strptime`.

    Returns:
        int64 or float64 `[N]`.

    Raises:
        ValueError: If a value is missing, can't be parsed, or could be two days, or
            some have a zone and some don't.

    Example:
        >>> days = pd.Series(["2023-09-01T01:00+02:00", "2023-08-31T23:30Z"])
        >>> np.argsort(instants(days, "at")).tolist()
        [0, 1]
        >>> instants(pd.Series(["02/01/2024"]), "at")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        tfdistill...RowError: Column 'at' holds '02/01/2024' in row 0 (counted ...
    """
    missing = values.isna().to_numpy()
    if missing.any():
        row = int(np.argmax(missing))
        raise RowError(
            f"Column {name!r} has no value", row, "; every row needs a time."
        )
    if is_text(values):
        code, distinct = pd.factorize(values)
        first = np.unique(code, return_index=True)[1]  # its row is a text's index
        texts = pd.Series(np.asarray(distinct, object), index=first).str.strip()
        return _of_text(texts, name, time_format)[code]
    if time_format is not None:
        raise ValueError(
            f"A time format is for text, but column {name!r} holds {values.dtype}; "
            "leave it out."
        )
    if pd.api.types.is_datetime64_any_dtype(values):
        return _ticks(values)
    if pd.api.types.is_numeric_dtype(values):
        return _numbers(values, name)
    return _ticks(_of_objects(values, name))


def _of_text(texts: Any, name: str, time_format: str | None) -> np.ndarray:
    if time_format is not None:
        return _with_format(texts, name, time_format)
    if texts.str.fullmatch(_NUMBER).all():
        _refuse_digits(texts, name)
        return _numbers(pd.to_numeric(texts), name)
    iso = texts.str.fullmatch(_ISO)
    _refuse(texts, ~iso, name, "which could be several times, or none")
    texts = texts.str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)
    zoned = texts.str.fullmatch(_ZONE)
    if zoned.any():
        _refuse(texts, ~zoned, name, "without a zone, where others have one")
    found = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    _refuse(texts, found.isna(), name, "which is no date and time of ISO 8601")
    return _ticks(found)


def _with_format(texts: Any, name: str, time_format: str) -> np.ndarray:
    if "%" not in time_format:
        raise ValueError(
            f"A time format has directives such as '%d/%m/%Y', got {time_format!r}."
        )
    try:
        found = pd.to_datetime(texts, format=time_format, utc=True, errors="coerce")
    except ValueError as error:
        raise ValueError(f"The time format {time_format!r}: {error}.") from error
    _refuse(texts, found.isna(), name, f"which is not of the format {time_format!r}")
    return _ticks(found)


def _refuse_digits(texts: Any, name: str) -> None:
    """Refuses 01092023 and 010923, which do not sort as the days do."""
    size = texts.str.len()
    zero = texts.str.startswith("0").any()
    dates = texts.str.fullmatch(_DIGITS) & ((size == 8) | (size == 6) & zero)
    if dates.all():
        _refuse(texts, dates, name, "which could be several days, or a number")


def _of_objects(values: Any, name: str) -> Any:
    """A series of Python's dates or datetimes, as Parquet's dates are read."""
    aware = []
    for row, value in enumerate(values):
        if not isinstance(value, datetime.date):
            raise RowError(
                f"Column {name!r} holds {shown(value)}",
                row,
                "; a time is a number, a date or text.",
            )
        aware.append(getattr(value, "tzinfo", None) is not None)
    if any(aware) and not all(aware):
        row = aware.index(False)
        raise RowError(
            f"Column {name!r} holds {shown(values.iloc[row])}",
            row,
            " without a zone, where others have one.",
        )
    return pd.to_datetime(values, utc=True)


def _numbers(values: Any, name: str) -> np.ndarray:
    found = np.asarray(values.to_numpy())
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        raise RowError(f"Column {name!r} holds {found[row]}", row, ".")
    return found


def _ticks(values: Any) -> np.ndarray:
    """Ticks since 1970, of one unit for all."""
    return np.asarray(pd.to_datetime(values, utc=True).astype("int64"))


def _refuse(texts: Any, wrong: Any, name: str, why: str) -> None:
    """Refuses the first text that is wrong."""
    if wrong.any():
        at = int(np.argmax(wrong.to_numpy()))
        raise RowError(
            f"Column {name!r} holds {shown(texts.iloc[at])}",
            texts.index[at],
            f", {why}. {_ADVICE}",
        )
