"""From a column of a frame to an array, checked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tfdistill.documents import shown
from tfdistill.spec import Feature

_EXACT = 2.0**53
"""Above it, float64 does not hold every integer."""
_LARGEST = 2**63 - 1
_MISSING = ("", "NA", "NaN", "nan", "null")
_BOOLEANS = {"true": 1.0, "false": 0.0}


class RowError(ValueError):
    """A value that its column may not hold, with its row.

    Args:
        before: The sentence up to where the row is named.
        row: Number of the row in its frame, from 0.
        after: The rest of it.

    Example:
        >>> error = RowError("Column 'age' holds 'x'", 3, "; correct it.")
        >>> str(error)
        "Column 'age' holds 'x' in row 3 (counted from 0); correct it."
        >>> error.in_line(5)
        "Column 'age' holds 'x' in line 5; correct it."
    """

    def __init__(self, before: str, row: int, after: str) -> None:
        super().__init__(f"{before} in row {row} (counted from 0){after}")
        self.row = int(row)
        self._before, self._after = before, after

    def in_line(self, line: int) -> str:
        """Returns the sentence with a line of a file in place of the row."""
        return f"{self._before} in line {line}{self._after}"


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
    if is_text(cells):
        cells = _split(cells)
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


def one_each(
    values: np.ndarray, code: np.ndarray, keys: np.ndarray, what: str, name: str
) -> np.ndarray:
    """The value of each code `[K, *shape]`, of values `[N, *shape]` that agree."""
    result = values[np.unique(code, return_index=True)[1]]
    differs = values != result[code]
    if differs.any():
        row = int(np.argwhere(differs)[0][0])
        first, second = (
            np.asarray(v).tolist() for v in (result[code[row]], values[row])
        )
        raise RowError(
            f"{name!r} must have one value for each {what!r}, but {what!r} = "
            f"{shown(keys[code[row]])} has {shown(first)} and,",
            row,
            f", {shown(second)}.",
        )
    return result


def _split(cells: Any) -> list[list[str]]:
    """The values of each cell of text; equal cells share one list."""
    code, distinct = pd.factorize(cells.fillna(""))
    lists = [[value for value in cell.split("|") if value] for cell in distinct]
    return [lists[place] for place in code]


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


def is_text(values: Any) -> bool:
    """Whether a series holds text, besides what is missing.

    Example:
        >>> is_text(pd.Series(["7", None])), is_text(pd.Series([7, 8]))
        (True, False)
    """
    dtype = values.dtype
    if isinstance(dtype, pd.StringDtype) or str(dtype).startswith("string"):
        return True
    return bool(dtype.kind == "O" and pd.api.types.infer_dtype(values) == "string")


def parsed(values: Any, dtype: str, refuse: Callable[[int, str], Exception]) -> Any:
    """Parses a series of text as numbers.

    Args:
        values: The texts; empty, NA, NaN, nan and null are missing.
        dtype: `"int64"` or `"float64"`.
        refuse: Makes the error of a row and what is wrong with its value.

    Returns:
        A series of `Int64` or `Float64` with its missing values.

    Example:
        >>> def refuse(row, what):
        ...     return ValueError(what)
        >>> texts = pd.Series(["9007199254740993", "", " -7"])
        >>> parsed(texts, "int64", refuse).fillna(0).tolist()
        [9007199254740993, 0, -7]
        >>> parsed(pd.Series(["1,5"]), "float64", refuse)
        Traceback (most recent call last):
        ValueError: holds '1,5'
    """
    texts = pa.array(values, pa.string(), from_pandas=True)
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    texts = pc.utf8_trim_whitespace(texts)
    missing = pc.is_in(texts, value_set=pa.array(_MISSING))
    texts = pc.if_else(missing, pa.scalar(None, pa.string()), texts)
    arrow = {"int64": pa.int64(), "float64": pa.float64()}[dtype]
    try:
        found = pc.cast(texts, arrow)
    except pa.ArrowInvalid:
        found = _one_by_one(texts, arrow, refuse)
    nullable: Any = pd.Int64Dtype() if dtype == "int64" else pd.Float64Dtype()
    return pd.Series(nullable.__from_arrow__(found))


def _one_by_one(texts: Any, arrow: Any, refuse: Callable[[int, str], Exception]) -> Any:
    """Parses each distinct text by Python's own rules, which name what is wrong."""
    coded = texts.dictionary_encode()
    parse = _integer if arrow == pa.int64() else _float
    found = []
    for number, text in enumerate(coded.dictionary.to_pylist()):
        try:
            found.append(parse(text))
        except ValueError as error:
            row = pc.index(coded.indices, pa.scalar(number, coded.indices.type))
            raise refuse(row.as_py(), f"holds {shown(text)}{error}") from error
    return pa.array(found, arrow).take(coded.indices)


def _float(text: str) -> float:
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    try:
        return float(text.replace("_", "?"))  # Python takes 1_000 for a number
    except ValueError:
        raise ValueError("") from None


def _integer(text: str) -> int:
    try:
        value = int(text.replace("_", "?"))
    except ValueError:
        number = _float(text)
        if not number.is_integer() or abs(number) >= 2**53:
            raise ValueError("") from None
        value = int(number)
    if not -(2**63) <= value < 2**63:
        raise ValueError(", which 64 bits can't hold")
    return value
