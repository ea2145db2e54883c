"""What makes a run or a store the one it is: written when it begins, then compared."""

from __future__ import annotations

import contextlib
import dataclasses
import dis
import functools
import hashlib
import json
import math
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["described", "fingerprint", "flat", "require_same"]

_LONGEST = 20
"""Longer lists of plain values are kept as their length and fingerprint."""
_LONGEST_TEXT = 200
_SHOWN = 5


def described(value: Any) -> Any:
    """Writes settings as JSON values: the same in every process, other where they are.

    Args:
        value: Plain values, arrays, mappings, lists, dataclasses, whatever has a
            `get_config` as in Keras, or an `identity`, and functions: by their code,
            what they have enclosed, and the global numbers, texts and functions of
            their module that they use. Of anything else, and of a path
            and a variable, only the kind counts.

    Returns:
        JSON values; an array by its fingerprint.

    Example:
        >>> @dataclasses.dataclass
        ... class Net:
        ...     units: tuple[int, ...]
        >>> described({"net": Net((8, 4)), "rate": np.float32(0.1)})
        {'net': {'class': 'Net', 'units': [8, 4]}, 'rate': 0.1}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (bytes, complex, range, slice)):
        return repr(value)
    if isinstance(value, np.floating):
        return described(float(str(value)))  # 0.1, not 0.10000000149
    if isinstance(value, np.generic):
        return described(value.item())
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}, fingerprint {fingerprint(value)}"
    if isinstance(value, Mapping):
        return _described_mapping(value)
    if isinstance(value, (list, tuple)):
        return [described(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(described, value), key=repr)
    return _described_object(value)


def fingerprint(value: Any) -> str:
    """Gives 16 hexadecimal digits that change with a value, its types and its order.

    Args:
        value: Arrays and tensors of numbers or text, plain values, None, and mappings,
            lists and tuples of these. The order of a mapping does not count, that of a
            list does.

    Returns:
        The digits, the same in every process.

    Raises:
        TypeError: If there is anything else in it.

    Example:
        >>> fingerprint({"a": np.arange(3)}) == fingerprint({"a": np.arange(3)})
        True
        >>> fingerprint(np.array(["a", "b"])) == fingerprint(np.array(["b", "a"]))
        False
    """
    digest = hashlib.sha1(usedforsecurity=False)  # the fastest: processors have it
    _update(digest, value)
    return digest.hexdigest()[:16]


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Writes nested JSON values as one level, so that a difference has a name.

    Entries of a list that have a `"name"` go by it, beside the list's order.

    Args:
        value: JSON values.
        name: What it is called.

    Returns:
        Plain values by dotted name.

    Example:
        >>> flat({"features": [{"name": "age", "mean": 35.0}], "seed": 0})
        {'features.order': ['age'], 'features.age.mean': 35.0, 'seed': 0}
    """
    return dict(_leaves(value, name))


def require_same(
    saved: Mapping[str, Any], current: Mapping[str, Any], *, what: str, anew: str
) -> None:
    """Refuses to go on with something that was begun under other settings.

    Args:
        saved: What it was begun with, as JSON values.
        current: What it is to go on with.
        what: What is gone on with, as the beginning of a sentence.
        anew: How to begin anew, as a sentence.

    Raises:
        ValueError: If they differ; it names what changed, from what to what.

    Example:
        >>> require_same({"seed": 0, "rate": 0.1}, {"seed": 1, "rate": 0.1},
        ...              what="The run in 'runs/a'", anew="Use another folder.")
        Traceback (most recent call last):
        ValueError: The run in 'runs/a' was begun with other settings: seed was 0 and is
        1. Use another folder.
    """
    before, now = flat(_json(saved)), flat(_json(current))
    different = [
        f"{name} {_said('was', before, name)} and {_said('is', now, name)}"
        for name in {**before, **now}
        if name not in before or name not in now or before[name] != now[name]
    ]
    if different:
        shown = "; ".join(different[:_SHOWN])
        if len(different) > _SHOWN:
            shown += f"; and {len(different) - _SHOWN} more"
        raise ValueError(f"{what} was begun with other settings: {shown}. {anew}")


def _described_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    """A mapping; one that Keras writes of an object, as the object itself."""
    if {"class_name", "config"} <= set(value) and isinstance(value["config"], Mapping):
        return {"class": value["class_name"], **described(value["config"])}
    return {str(key): described(entry) for key, entry in value.items()}


def _described_object(value: Any) -> Any:
    value = getattr(value, "python_function", value)  # that of a tf.function
    if isinstance(value, type):
        return value.__qualname__
    name = {"class": type(value).__qualname__}
    identity = getattr(value, "identity", None)
    if isinstance(identity, Mapping):
        return {**name, **described(identity)}
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {**name, **{f.name: described(getattr(value, f.name)) for f in fields}}
    if hasattr(value, "get_config"):
        try:
            return {**name, **described(value.get_config())}
        except NotImplementedError:  # Keras' answer where nobody wrote one
            return name
    if isinstance(value, functools.partial):
        called = described(value.func)
        return {"function": called, "args": described([value.args, value.keywords])}
    if isinstance(value, types.MethodType):
        return {"method": value.__name__, "of": described(value.__self__)}
    if isinstance(value, types.FunctionType):
        return _described_function(value)
    if hasattr(value, "__array__") and not hasattr(value, "assign"):  # a variable moves
        with contextlib.suppress(NotImplementedError, TypeError, ValueError):
            return described(np.asarray(value))  # a symbolic tensor has no value
    return getattr(value, "__name__", type(value).__qualname__)


def _described_function(value: types.FunctionType) -> dict[str, Any]:
    enclosed = list(_enclosed(value))
    found: dict[str, Any] = {
        "function": value.__qualname__,
        "code": fingerprint(list(_code(value.__code__))),
    }
    if enclosed or value.__defaults__ or value.__kwdefaults__:
        given = [enclosed, value.__defaults__, value.__kwdefaults__]
        found["given"] = described(given)
    used = _used(value, {})
    return {**found, "globals": used} if used else found


def _used(function: types.FunctionType, found: dict[str, Any]) -> dict[str, Any]:
    """Plain globals, and functions of its module, that a function uses, by name."""
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        value = getattr(value, "python_function", value)
        if name in found or name.startswith("__"):
            continue
        if isinstance(value, (bool, int, float, str, bytes, tuple, np.ndarray)):
            found[name] = described(value)
        elif isinstance(value, types.FunctionType):
            if value.__module__ == function.__module__:
                found[name] = fingerprint(list(_code(value.__code__)))
                _used(value, found)
    return found


def _names(code: types.CodeType) -> list[str]:
    """Globals that code reads and does not write, such as a count of its calls."""
    read, written = set(), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            read.add(instruction.argval)
        elif instruction.opname == "STORE_GLOBAL":
            written.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            read.update(_names(constant))
    return sorted(read - written)


def _enclosed(function: types.FunctionType) -> Iterator[Any]:
    """What a function has from around it; one that calls itself has itself."""
    for cell in function.__closure__ or ():
        try:
            found = cell.cell_contents
        except ValueError:  # nothing has been assigned to it
            found = None
        yield "itself" if found is function else found


def _code(code: types.CodeType) -> Iterator[Any]:
    """What a function does, and not where it is written."""
    yield code.co_code
    yield list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield list(_code(constant))
        elif isinstance(constant, frozenset):  # its order is the process's
            yield sorted(map(repr, constant))
        else:
            yield repr(constant)


def _said(verb: str, values: Mapping[str, Any], name: str) -> str:
    return f"{verb} {values[name]!r}" if name in values else f"{verb} not there"


def _json(value: Any) -> Any:
    """As it comes back from a file: tuples are lists, keys are text."""
    return json.loads(json.dumps(value))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _leaves(entry, f"{name}.{key}" if name else str(key))
        return
    entries = value if isinstance(value, (list, tuple)) else ()
    if entries and all(isinstance(e, Mapping) and "name" in e for e in entries):
        yield f"{name}.order", _short([entry["name"] for entry in entries])
        for entry in entries:
            rest = {key: v for key, v in entry.items() if key != "name"}
            yield from _leaves(rest, f"{name}.{entry['name']}")
    elif any(isinstance(entry, (Mapping, list, tuple)) for entry in entries):
        for index, entry in enumerate(entries):
            yield from _leaves(entry, f"{name}[{index}]")
    elif isinstance(value, str) and len(value) > _LONGEST_TEXT:
        yield name, f"{len(value)} characters, fingerprint {fingerprint(value)}"
    else:
        yield name, _short(list(entries)) if entries else value


def _short(values: list[Any]) -> Any:
    if len(values) <= _LONGEST:
        return values
    return f"{len(values)} values, fingerprint {fingerprint(values)}"


def _update(digest: Any, value: Any) -> None:
    """Feeds a value to a digest, each part behind its type and length."""
    if isinstance(value, Mapping):
        digest.update(b"{%d" % len(value))
        for key in sorted(value, key=repr):
            _update(digest, key)
            _update(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(b"[%d" % len(value))
        for entry in value:
            _update(digest, entry)
    elif hasattr(value, "__array__"):  # numpy's arrays and numbers, and tensors
        _update_array(digest, np.asarray(value))
    elif value is None or isinstance(value, (bool, int, float, str, bytes)):
        text = repr(value).encode("utf-8", "surrogatepass")
        digest.update(b"%s %d " % (type(value).__name__.encode(), len(text)))
        digest.update(text)
    else:
        raise TypeError(f"fingerprint can't take a {type(value).__name__}.")


def _update_array(digest: Any, array: np.ndarray) -> None:
    kind = array.dtype.str if array.dtype.kind in "biufc" else "text"
    digest.update(f"{kind}{array.shape}".encode())
    if kind == "text":  # a 64-bit hash of each: text has no bytes of one width
        array = pd.util.hash_array(array.astype(object).ravel(), categorize=True)
    digest.update(np.ascontiguousarray(array).data)
