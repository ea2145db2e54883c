"""JSON: read and checked in one place, and written in one way."""

# ruff: noqa: UP007, UP045 - pydantic reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

import dataclasses
import functools
import json
import math
import reprlib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
import pydantic
from pydantic_core import PydanticCustomError

__all__ = [
    "STRICT",
    "Checked",
    "Int64",
    "Number",
    "Several",
    "Size",
    "as_json",
    "one_of",
    "read",
    "shown",
]

T = TypeVar("T")

Int64 = Annotated[int, pydantic.Field(ge=-(2**63), le=2**63 - 1)]
Size = Annotated[int, pydantic.Field(ge=0, le=2**63 - 1)]


def _nan_if_null(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[
    float, pydantic.Field(allow_inf_nan=True), pydantic.BeforeValidator(_nan_if_null)
]
"""A number that JSON has as null where it is NaN."""

Several = Annotated[Sequence[T], pydantic.AfterValidator(tuple)]
"""A list in JSON, a tuple once it was read."""

STRICT = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
"""`__pydantic_config__` of a dataclass that is read from documents only."""

_SHOWN = 3
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class Checked:
    """Base of dataclasses whose fields are what their annotations say.

    The annotations are the rules, for a constructor in Python and for `read` alike: no
    text for a number, no bool for an int, no NaN, no unknown name. Numpy's scalars and
    arrays become plain values, and any iterable but text becomes a tuple.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Step(Checked):
        ...     name: str
        ...     size: Size = 1
        >>> Step("a", np.int64(3))
        Step(name='a', size=3)
        >>> Step("a", 1.5)
        Traceback (most recent call last):
        ValueError: Step 'a': size must be a valid integer, got 1.5.
    """

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = STRICT

    def __post_init__(self) -> None:
        kind: Any = type(self)
        given = {name: _plain(value) for name, value in vars(self).items()}
        try:
            fields = _fields(kind).model_validate(given)
        except pydantic.ValidationError as error:
            name = given.get("name")
            label = f"{kind.__name__} {shown(name)}" if name else kind.__name__
            problems = _explained(error, given, kind)
            raise ValueError(f"{label}: {problems}.") from None
        for name in given:
            object.__setattr__(self, name, getattr(fields, name))


def read(
    source: Path | str | bytes,
    kind: type[T],
    *,
    what: str,
    remedy: str = "",
    where: str = "",
) -> T:
    """Reads a value from JSON; whatever is wrong is one `ValueError`.

    Args:
        source: The file, or else the text itself.
        kind: What to make: a dataclass, or any type that pydantic knows.
        what: What the document is, for the message: "a feature spec".
        remedy: What to do about it, as a sentence.
        where: What to call the document; by default the file's path.

    Returns:
        The value.

    Raises:
        ValueError: If the file can't be read, is no JSON, repeats a key, is nested too
            deep, or is not of this kind. The message names the file, the place in it
            (`features[2].mean`), what is there, and what is allowed.

    Example:
        >>> read('{"a": [1, "2"]}', dict[str, list[int]], what="a table of numbers")
        Traceback (most recent call last):
        ValueError: The text is not a table of numbers: a[1] must be a valid integer,
        got '2'.
    """
    named = isinstance(source, Path)
    where = where or (repr(str(source)) if named else "The text")
    try:
        content = source.read_bytes() if isinstance(source, Path) else source
        value: T = _read(content, kind)
        return value
    except OSError as error:
        problem = f"{where} can't be read as {what}: {error.strerror or error}"
    except ValueError as error:
        problem = f"{where} is not {what}: {error}"
    raise ValueError(f"{problem}. {remedy}".rstrip())


def as_json(value: Any, *, indent: int | None = 1) -> str:
    """Writes a value as JSON; a number that JSON has not, NaN or infinite, is null.

    Args:
        value: Dataclasses, mappings, lists, and plain or numpy's values.
        indent: Spaces of a level; None puts all on one line.

    Returns:
        The text, which `read` takes.

    Example:
        >>> as_json({"gauc": math.nan, "auc": np.float32(0.5)}, indent=None)
        '{"gauc": null, "auc": 0.5}'
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def one_of(*choices: str) -> pydantic.AfterValidator:
    """Returns the rule that a text is one of these.

    Example:
        >>> read('"c"', Annotated[str, one_of("a", "b")], what="a letter")
        Traceback (most recent call last):
        ValueError: The text is not a letter: it must be one of ('a', 'b'), got 'c'.
    """

    def check(value: str) -> str:
        if value not in choices:
            message = "Input should be one of {choices}"
            raise PydanticCustomError("one_of", message, {"choices": str(choices)})
        return value

    return pydantic.AfterValidator(check)


def shown(value: Any) -> str:
    """A value as an error shows it: never longer than a line or two.

    Example:
        >>> shown("a" * 1000)
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
    """
    if isinstance(value, np.generic):
        value = value.item()
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"a huge {type(value).__name__}"


def _read(source: str | bytes, kind: Any) -> Any:
    """Makes the value; a ValueError's text is what is wrong."""
    content = source.encode() if isinstance(source, str) else source
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no text of UTF-8: {error.reason}") from None
    try:
        value = _adapter(kind).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        if first["type"] == "json_invalid":
            raise ValueError(
                first["msg"].replace("Invalid JSON", "it is no JSON")
            ) from None
        raise ValueError(_explained(error, json.loads(text), kind)) from None
    json.loads(text, object_pairs_hook=_once)  # pydantic lets the last of two win
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} is there twice in one object")
    return found


@functools.cache
def _adapter(kind: Any) -> Any:
    return pydantic.TypeAdapter(kind)


@functools.cache
def _fields(kind: Any) -> type[pydantic.BaseModel]:
    """The fields of a dataclass as a model, which does not call its constructor."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {f.name: (hints[f.name], ...) for f in dataclasses.fields(kind)}
    made: type[pydantic.BaseModel] = pydantic.create_model(  # type: ignore[call-overload]
        kind.__name__, __config__=STRICT, **fields
    )
    return made


def _finite(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        return value
    return tuple(map(_plain, value))


def _explained(error: pydantic.ValidationError, document: Any, kind: type) -> str:
    """What is wrong and where, of the first problems."""
    places: dict[str, dict[str, list[str]]] = {}
    for problem in error.errors(include_url=False):
        steps = list(_there(problem["loc"], document))
        place = "".join(_step(step) for step in steps).lstrip(".") or "it"
        text, got = _text(problem, steps, kind)
        places.setdefault(place, {}).setdefault(got, []).append(text)
    problems = [
        f"{place} {_either(texts)}{got}"
        for place, found in places.items()
        for got, texts in found.items()
    ]
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more


def _text(problem: Any, steps: Sequence[Any], kind: type) -> tuple[str, str]:
    """What is wrong at a place, and the value that is there."""
    if problem["type"] == "missing":
        return f"lacks {problem['loc'][-1]!r}", ""
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        for step in steps[:-1]:
            kind = _within(kind, step)
        taken = [field.name for field in dataclasses.fields(kind)]
        return f"is not known; known are {taken}", ""
    if problem["type"] == "value_error":
        return f"is refused: {str(problem['ctx']['error']).rstrip('.')}", ""
    text = problem["msg"].replace("Input should", "must").replace("should", "must")
    text = text.replace("a valid string", "text")
    return text, f", got {shown(problem['input'])}"


def _either(texts: Sequence[str]) -> str:
    """One text for the alternatives of a union."""
    if not all(text.startswith("must be ") for text in texts):
        return ", ".join(texts)
    allowed = dict.fromkeys(text[len("must be ") :] for text in texts)
    return "must be " + " or ".join(allowed)


def _there(steps: Iterable[Any], document: Any) -> Iterator[Any]:
    """The steps into a document that are there; pydantic adds names of alternatives."""
    for step in steps:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return
        yield step


def _step(step: Any) -> str:
    plain = isinstance(step, str) and step.isidentifier() and len(step) < 80
    return f".{step}" if plain else f"[{shown(step)}]"


def _within(kind: Any, step: Any) -> Any:
    """The kind of what lies one step inside a kind."""
    if dataclasses.is_dataclass(kind):
        return typing.get_type_hints(kind)[step]
    return next(a for a in reversed(typing.get_args(kind)) if a is not Ellipsis)
