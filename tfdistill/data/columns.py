"""From a column of a frame to an array, checked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.data.row_errors import RowError
from tfdistill.data.spec import Feature
from tfdistill.data.text_numbers import is_text, parsed
from tfdistill.documents import shown

_EXACT = 2.0**53
"""Above it, float64 does not hold every integer."""
_LARGEST = 2**63 - 1


def require_columns(frame: Any, names: Iterable[str]) -> None:
    """Refuses a frame that lacks one of these columns."""
    missing = [name for name in dict.fromkeys(names) if name not in frame.columns]
    if missing:
        raise ValueError(
            f"The data has no column {missing}; its columns are "
            f"{list(map(str, frame.columns))}. Correct the name, or take the feature "
            "out of the spec."
        )


def codes(frame: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the distinct values of a column: codes `[N]` and the values."""
    if pd.api.types.is_unsigned_integer_dtype(frame[name]):
        refuse_big(frame[name], name, np.arange(len(frame)))
    try:
        code, keys = pd.factorize(frame[name])
    except TypeError as error:  # lists, structs and maps
        raise ValueError(
            f"Column {name!r} holds {shown(frame[name].iloc[0])}; a key is a number or "
            "text."
        ) from error
    if (code < 0).any():
        row = int(np.argmax(code < 0))
        raise RowError(f"Column {name!r} has no value", row, "; every row needs one.")
    return code, np.asarray(keys)


def numbers(frame: Any, name: str) -> np.ndarray:
    """Values of a column of numbers, float32 `[N]`, NaN where missing."""
    values = frame[name]
    if is_text(values):
        values = parsed(values, "float64", _not_a_number(name))
    if not pd.api.types.is_numeric_dtype(values):
        row = int(np.argmin(values.isna()))
        raise _not_a_number(name)(row, f"holds {shown(values.iloc[row])}")
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused as such
        return np.asarray(values.to_numpy(np.float32, na_value=np.nan))


def labels(frame: Any, name: str, *, graded: bool) -> np.ndarray:
    """Values of a column of labels, float32 `[N]`, NaN where unlabelled.

    Args:
        frame: The frame.
        name: The column.
        graded: Whether they may be above 1.

    Raises:
        ValueError: If one is out of range.
    """
    values = numbers(frame, name)
    highest = np.finfo(np.float32).max if graded else 1.0
    wrong = (values < 0) | (values > highest)
    if wrong.any():
        row = int(np.argmax(wrong))
        limit = "must not be negative" if graded else "must lie between 0 and 1"
        advice = (
            "-1 is padding elsewhere; here a row without a label has an empty cell "
            "(null)."
            if values[row] < 0
            else "Grades, such as 0 to 4, are for losses of lists alone: "
            "requests_from_frame(graded=True)."
        )
        raise RowError(
            f"Column {name!r} holds {values[row]:g}",
            row,
            f"; a label {limit}. {advice}",
        )
    return values


def require_binary(frame: Any, name: str) -> int:
    """Refuses labels between 0 and 1, which no metric takes; returns how many are 1."""
    values = numbers(frame, name)
    between = (values != 0) & (values != 1) & ~np.isnan(values)
    if between.any():
        row = int(np.argmax(between))
        raise RowError(
            f"Column {name!r} holds {values[row]:g}",
            row,
            "; a label must be 0 or 1, or an empty cell (null) where it is unknown.",
        )
    return int(np.sum(values == 1))


def feature_values(frame: Any, feature: Feature) -> np.ndarray:
    """Values of a feature `[N, *shape]` in its dtype, checked."""
    cells = frame[feature.name]
    if not feature.shape:
        return _cast(feature, cells, np.arange(len(cells)))
    lists = [_cut(feature, row, cell) for row, cell in enumerate(cells)]
    length = np.array([len(values) for values in lists])
    row = np.repeat(np.arange(len(lists)), length)
    position = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    dtype = object if feature.dtype == "string" else feature.dtype
    filled = np.full((len(lists), *feature.shape), feature.default, dtype)
    if len(row):
        arrays = all(isinstance(values, np.ndarray) for values in lists)
        join = np.concatenate if arrays else itertools.chain.from_iterable
        flat = pd.Series(join(lists)).infer_objects()
        filled[row, position] = _cast(feature, flat, row)
    return filled


def _cut(feature: Feature, row: int, cell: Any) -> Any:
    if isinstance(cell, (np.ndarray, list, tuple)):
        return cell[: feature.shape[0]]
    if cell is None or cell is pd.NA or cell != cell:  # NaN
        return np.empty(0, feature.dtype if feature.dtype != "string" else object)
    raise refused(
        feature.name,
        f"holds {shown(cell)}",
        row,
        f"of lists, as its shape is {feature.shape}",
    )


def _cast(feature: Feature, values: Any, rows: np.ndarray) -> np.ndarray:
    """Casts a series to the feature's dtype; `rows` are its rows in the frame."""
    if feature.dtype != "string" and is_text(values):
        values = parsed(
            values,
            "int64" if feature.dtype == "int64" else "float64",
            lambda at, what: refused(
                feature.name, what, rows[at], f"of {feature.dtype}"
            ),
        )
    missing = values.isna().to_numpy()
    if missing.all() and feature.kind == "categorical":
        dtype = object if feature.dtype == "string" else np.int64
        return np.full(len(values), feature.default, dtype)
    if feature.dtype == "string" and is_text(values):
        code, distinct = pd.factorize(values)  # equal cells share one object
        return np.asarray([*distinct, feature.default], object)[code]  # missing is -1
    if feature.dtype == "string":
        texts = values.to_numpy(object, copy=True)
        fits = np.array([isinstance(text, (str, bytes)) for text in texts]) | missing
    else:
        numeric = pd.api.types.is_numeric_dtype(values)
        fits = np.full(len(values), numeric) | missing
    if not fits.all():
        at = int(np.argmin(fits))
        raise refused(
            feature.name,
            f"holds {shown(values.iloc[at])}",
            rows[at],
            f"of {feature.dtype}",
        )
    if feature.dtype == "string":
        texts[missing] = feature.default
        return np.asarray(texts)
    if feature.dtype == "float32":
        return _finite(feature, values, rows)
    return _integers(feature, values, missing, rows)


def _finite(feature: Feature, values: Any, rows: np.ndarray) -> np.ndarray:
    numbers = values.to_numpy(np.float32, na_value=np.nan)
    finite = np.isfinite(numbers)
    if not finite.all():
        at = int(np.argmin(finite))
        raise RowError(
            f"Column {feature.name!r} is {numbers[at]}",
            rows[at],
            "; a numeric feature must be finite. Fill it, for example with the "
            "column's mean (and say in a second column what was missing), or drop the "
            "row.",
        )
    return np.asarray(numbers)


def _integers(
    feature: Feature, values: Any, missing: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    if pd.api.types.is_float_dtype(values):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        exact = (numbers == np.rint(numbers)) & (abs(numbers) < _EXACT) | missing
        if not exact.all():
            at = int(np.argmin(exact))
            raise refused(
                feature.name,
                f"holds {shown(numbers[at])}",
                rows[at],
                f"of {feature.dtype}",
            )
    if pd.api.types.is_unsigned_integer_dtype(values):
        refuse_big(values, feature.name, rows)
    return np.asarray(values.fillna(feature.default).to_numpy(np.int64))


def refuse_big(values: Any, name: str, rows: np.ndarray) -> None:
    """Refuses unsigned integers that int64 can't hold; `rows` are theirs."""
    big = (values > _LARGEST).fillna(False).to_numpy(bool)
    if big.any():
        at = int(np.argmax(big))
        raise RowError(
            f"Column {name!r} holds {values.iloc[at]}",
            rows[at],
            ", which is beyond the integers of 64 bits with a sign; store the column "
            "as text.",
        )


def _not_a_number(name: str) -> Callable[[int, str], ValueError]:
    return lambda row, what: RowError(
        f"Column {name!r} must hold numbers, but {what}",
        row,
        "; correct it, or leave the cell empty where it is missing.",
    )


def refused(name: str, what: str, row: int, wanted: str) -> RowError:
    """Returns the error of a column that holds what its feature can't."""
    return RowError(
        f"Column {name!r} {what}",
        row,
        f", but the spec makes it a column {wanted}; convert the column or change the "
        "feature's dtype and shape.",
    )
