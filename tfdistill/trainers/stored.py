"""A Distiller as a file: what is written, and what is refused rather than lost."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfdistill import _keras
from tfdistill.types import Signals, Teacher

__all__ = [
    "MissingTeacher",
    "check_path",
    "check_readable",
    "packed",
    "unpacked",
]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class MissingTeacher:
    """Stands in a loaded Distiller for a teacher that no file holds.

    Args:
        kind: What the teacher was.

    Example:
        >>> MissingTeacher("FrozenTeacher").get_config()
        {'kind': 'FrozenTeacher'}
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, features: Any) -> Signals:
        """Says that the teacher has to be given again."""
        raise ValueError(
            f"This Distiller was loaded from a file, which holds no {self.kind}. Set "
            f"`distiller.teacher = {self.kind}(...)` before `fit` or `evaluate`; "
            "`predict` needs none."
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"kind": self.kind}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MissingTeacher:
        """Makes the stand-in from `get_config`."""
        return cls(**config)


def packed(
    name: str,
    network: tf.keras.Model,
    transfers: Iterable[Any],
    derived: Iterable[tuple[str, Any]],
    teacher: Teacher | None,
) -> dict[str, Any]:
    """Returns a Distiller's configuration, in a form that JSON takes.

    Args:
        name: Name of the Distiller.
        network: The trained network.
        transfers: The transfers.
        derived: Names and functions of the derived signals.
        teacher: The teacher; one without `get_config` is left out.

    Raises:
        ValueError: If a part can't be written.
    """
    if teacher is not None and not hasattr(teacher, "get_config"):
        teacher = MissingTeacher(type(teacher).__name__)
    parts = {
        "network": network,
        "transfers": list(transfers),
        "derived": [list(pair) for pair in derived],
        "teacher": teacher,
    }
    config: dict[str, Any] = {"name": name, "keras": _keras.VERSION}
    for what, part in parts.items():
        with _named(what):
            found = tf.keras.utils.serialize_keras_object(part)
            config[what] = json.loads(json.dumps(found))
    return config


def check_readable(config: Mapping[str, Any]) -> None:
    """Reads each part of what `packed` gave, as a file's reader will.

    Args:
        config: The configuration.

    Raises:
        ValueError: If a part can't be read back.
    """
    for what in ("network", "transfers", "derived", "teacher"):
        with _named(what):
            _read(config[what])


def unpacked(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the arguments of a Distiller from what `packed` gave.

    Args:
        config: The configuration.
        custom_objects: As in `tf.keras.models.load_model`.

    Raises:
        ValueError: If the other Keras wrote it: their networks differ as files.
    """
    config = dict(config)
    _keras.check_writer(
        config.pop("keras", "2"),
        "This Distiller was saved",
        "save its weights there, `distiller.network.save_weights('x.weights.h5')`, "
        "which both read",
    )
    parts = {key: _read(value, custom_objects) for key, value in config.items()}
    return {**parts, "derived": dict(parts["derived"])}


def _read(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Makes what a configuration describes, and leaves it whole; Keras 3 empties it."""
    config = copy.deepcopy(config)
    with _keras.inputs_by_feature():
        return tf.keras.utils.deserialize_keras_object(config, custom_objects)


def check_path(filepath: Any) -> None:
    """Refuses formats that give no Distiller back.

    Args:
        filepath: Where a Distiller is to be saved.

    Raises:
        ValueError: If it doesn't end in `.keras`.

    Example:
        >>> check_path("best.keras")
    """
    if not str(filepath).endswith(".keras"):
        raise ValueError(
            f"Distiller: only a .keras file gives it back, got {str(filepath)!r}. For "
            "its weights alone: `save_weights('x.weights.h5')`, or ModelCheckpoint("
            "'x.weights.h5', save_weights_only=True). For what is served, save a part "
            "of `distiller.network`, or see `tfdistill.export`."
        )


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Says which part of a Distiller no file can hold, and what to do."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(
            f"Distiller: a .keras file can't hold its {what}: {reason} Use layers for "
            "what is sliced, such as Reshape or `tfdistill.layers.SqueezeLast` for "
            "`x[..., 0]`, and register your own classes and functions with "
            "`tf.keras.utils.register_keras_serializable`. Or save weights alone: "
            "ModelCheckpoint('x.weights.h5', save_weights_only=True)."
        ) from error
