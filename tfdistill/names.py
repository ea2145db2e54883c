"""Names of columns, nets and tasks: any text, and what TensorFlow calls them inside."""

from __future__ import annotations

import hashlib
import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import tensorflow as tf

from tfdistill import _keras

__all__ = [
    "case_twins",
    "check_name",
    "feature_names",
    "free_name",
    "renamed",
    "safe_name",
    "structured",
]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_UNPRINTABLE = {"Cc": "a control character", "Cs": "half of a character"}
_UNPRINTABLE.update(dict.fromkeys(("Zl", "Zp"), "a line separator"))


def check_name(what: str, name: object, reserved: Collection[str] = ()) -> str:
    """Refuses what can't be a name: no text, empty, or with control characters.

    Args:
        what: What has the name, for the error.
        name: The name.
        reserved: Keys of a batch that mean something else.

    Returns:
        What it is and its name, for the errors that follow.

    Raises:
        ValueError: If it can't be one.

    Example:
        >>> check_name("Feature", "user-id")
        "Feature 'user-id'"
        >>> check_name("Feature", " ")
        Traceback (most recent call last):
        ValueError: Feature ' ': a name must be text that is not empty; rename it.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(
            f"{what} {name!r}: a name must be text that is not empty; rename it."
        )
    if name in reserved:
        raise ValueError(
            f"{what} {name!r}: a name must be none of {sorted(reserved)}, which are "
            "other keys of a batch; rename it."
        )
    for place, character in enumerate(name):
        found = _UNPRINTABLE.get(unicodedata.category(character))
        if found:
            raise ValueError(
                f"{what} {name!r}: a name must not have {found}, got {character!r} at "
                f"position {place}; rename it."
            )
    return f"{what} {name!r}"


def safe_name(name: str, taken: Collection[str] = ()) -> str:
    """Returns the name under which TensorFlow and Keras take a column, net or task.

    A plain name stays as it is. TensorFlow's scopes refuse spaces and other letters
    than ASCII, its functions Python's keywords and `self`; of such a name this makes
    one with a digest, so that two names never meet.

    Args:
        name: Any name that `check_name` takes.
        taken: Names that something else of the same model has or may get.

    Returns:
        An ASCII identifier, the same in every process.

    Example:
        >>> safe_name("age"), safe_name("user-id")
        ('age', 'name_0a13641b_user_id')
        >>> safe_name("fine", taken=["fine"]).endswith("_fine")
        True
    """
    reserved = keyword.iskeyword(name) or name == "self" or name in taken
    if _PLAIN.fullmatch(name) and not reserved:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"name_{digest}_{re.sub('[^A-Za-z0-9]+', '_', name).strip('_')}"


def case_twins(names: Iterable[str]) -> set[str]:
    """Returns the names that differ from another by case alone.

    The inputs of one of TensorFlow's functions must differ by more.

    Args:
        names: The names.

    Example:
        >>> sorted(case_twins(["Age", "age", "Price"]))
        ['Age', 'age']
    """
    by_case: dict[str, set[str]] = {}
    for name in names:
        by_case.setdefault(name.lower(), set()).add(name)
    return {name for twins in by_case.values() if len(twins) > 1 for name in twins}


def free_name(name: str, taken: Collection[str]) -> str:
    """Returns the name with as many `_` at its end as make it differ from the others.

    Args:
        name: The wanted name.
        taken: The others.

    Example:
        >>> free_name("k", ["age"]), free_name("k", ["k"])
        ('k', 'k_')
    """
    while name in taken:
        name += "_"
    return name


def renamed(outputs: Mapping[str, Any], inner: str, name: str) -> dict[str, Any]:
    """Gives outputs that begin with a safe name the name that it stands for.

    Args:
        outputs: Outputs by name.
        inner: What `safe_name` made of the name.
        name: The name.

    Example:
        >>> renamed({"n_1_hidden": 0, "n_1": 1}, "n_1", "my net")
        {'my net_hidden': 0, 'my net': 1}
    """
    return {
        name + key[len(inner) :] if key.startswith(inner) else key: value
        for key, value in outputs.items()
    }


def feature_names(model: Any) -> tuple[str, ...]:
    """Returns the names of a functional model's inputs, in the order of `model.inputs`.

    Args:
        model: A functional Keras model. Where it takes a mapping, its keys are the
            names; else those of the input layers are.

    Example:
        >>> import tensorflow as tf
        >>> inputs = {name: tf.keras.Input([1], name=name) for name in ("price", "age")}
        >>> feature_names(tf.keras.Model(inputs, inputs["age"] * inputs["price"]))
        ('age', 'price')
    """
    if isinstance(model.input, Mapping):
        return tuple(sorted(model.input))
    return tuple(_keras.input_names(model))


def structured(model: Any, features: Mapping[str, Any]) -> Any:
    """Returns features by name as a functional model takes them: by name, or in order.

    Args:
        model: A functional Keras model.
        features: The features of its inputs, and any others.

    Example:
        >>> import tensorflow as tf
        >>> price = tf.keras.Input([None], name="price")
        >>> structured(tf.keras.Model(price, 2.0 * price), {"price": 3.0, "age": 5.0})
        3.0
    """
    own = [features[name] for name in feature_names(model)]
    return tf.nest.pack_sequence_as(model.input, own)
