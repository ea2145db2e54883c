"""From a column of a frame to an array, checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.data.spec import Feature

_EXACT = 2.0**53
"""Above it, float64 does not hold every integer."""


def require_columns(frame: Any, names: Iterable[str]) -> None:
    """Refuses a frame that lacks one of these columns."""
    missing = [name for name in dict.fromkeys(names) if name not in frame.columns]
    if missing:
        raise ValueError(
            f"The data has no column {missing}; its columns are "
            f"{list(map(str, frame.columns))}. Correct the name, or take the feature "
            "out of the spec."
        )


def numbers(frame: Any, name: str) -> np.ndarray:
    """Values of a column of numbers, float32 `[N]`, NaN where missing."""
    if not pd.api.types.is_numeric_dtype(frame[name]):
        raise ValueError(f"Column {name!r} must hold numbers, got {frame[name].dtype}.")
    return np.asarray(frame[name].to_numpy(np.float32, na_value=np.nan))


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
        f"holds {cell!r}",
        row,
        f"of lists, as its shape is {feature.shape}",
    )


def _cast(feature: Feature, values: Any, rows: np.ndarray) -> np.ndarray:
    """Casts a series to the feature's dtype; `rows` are its rows in the frame."""
    missing = values.isna().to_numpy()
    if missing.all() and feature.kind == "categorical":
        dtype = object if feature.dtype == "string" else np.int64
        return np.full(len(values), feature.default, dtype)
    if feature.dtype == "string":
        texts = values.to_numpy(object, copy=True)
        fits = np.array([isinstance(text, (str, bytes)) for text in texts]) | missing
    else:
        numeric = pd.api.types.is_numeric_dtype(values)
        fits = np.full(len(values), numeric) | missing
    if not fits.all():
        at = int(np.argmin(fits))
        raise refused(
            feature.name, f"holds {values.iloc[at]!r}", rows[at], f"of {feature.dtype}"
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
        raise ValueError(
            f"Column {feature.name!r} is {numbers[at]} in row {rows[at]}; a numeric "
            "feature must be finite. Fill it, for example with the column's mean (and "
            "say in a second column what was missing), or drop the row."
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
                feature.name, f"holds {numbers[at]!r}", rows[at], f"of {feature.dtype}"
            )
    return np.asarray(values.fillna(feature.default).to_numpy(np.int64))


def refused(name: str, what: str, row: int, wanted: str) -> ValueError:
    """Returns the error of a column that holds what its feature can't."""
    return ValueError(
        f"Column {name!r} {what} in row {row}, but the spec makes it a column "
        f"{wanted}; convert the column or change the feature's dtype and shape."
    )
