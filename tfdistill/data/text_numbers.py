"""Numbers that a file holds as text, parsed exactly or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tfdistill.documents import shown

__all__ = ["is_text", "parsed"]

_MISSING = ("", "NA", "NaN", "nan", "null")
_BOOLEANS = {"true": 1.0, "false": 0.0}


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
