"""A SavedModel as a teacher: whatever wrote it, called through its signature."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from tfdistill.files import read_as
from tfdistill.identity import fingerprint
from tfdistill.names import safe_name
from tfdistill.types import Signals, needed

__all__ = ["SavedModelTeacher"]


class SavedModelTeacher:
    """A signature of a SavedModel as a teacher: runs in the graph, is never trained.

    It needs neither the code nor the Keras that made the model. A SavedModel is a
    program: its graph may read and write files of whoever runs it. Load only those that
    you trust.

    Args:
        path: Folder of the SavedModel, the version included.
        signature: Name of the signature.
        signals: For each signal, the signature's output; by default all outputs under
            their names, and an only one, whatever its name, as `"score"`.
        inputs: For each input of the signature that is called otherwise in the batch,
            the name of the batch's feature.

    Attributes:
        fingerprint: Changes with any byte of graph, variables and assets, and with
            signature, signals and inputs.
        source: Where it lies, in words.

    Raises:
        ValueError: If there is no SavedModel, or it lacks the signature or an output.

    Example:
        >>> import tempfile
        >>> path, module = tempfile.mkdtemp(), tf.Module()
        >>> price = tf.TensorSpec([None, None], tf.float32, name="price")
        >>> module.cheap = tf.function(lambda price: {"logit": 4.0 - price}, [price])
        >>> tf.saved_model.save(module, path, {"serving_default": module.cheap})
        >>> teacher = SavedModelTeacher(path)
        >>> teacher({"price": tf.constant([[3.0, 5.0]])})["score"].numpy()
        array([[ 1., -1.]], dtype=float32)
    """

    may_miss = False

    def __init__(
        self,
        path: str | Path,
        *,
        signature: str = "serving_default",
        signals: Mapping[str, str] | None = None,
        inputs: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if not tf.saved_model.contains_saved_model(str(path)):
            raise ValueError(f"There is no SavedModel in {str(path)!r}.")
        with read_as(path, "a SavedModel", remedy="Export it again."):
            self._loaded = tf.saved_model.load(str(path))  # keeps the variables alive
        signatures = self._loaded.signatures
        if signature not in signatures:
            raise ValueError(
                f"The SavedModel in {str(path)!r} has no signature {signature!r}; it "
                f"has {sorted(signatures)}."
            )
        self._function = signatures[signature]
        outputs = sorted(self._function.structured_outputs)
        if signals is None:
            signals = dict(zip(outputs, outputs))
            if len(outputs) == 1:
                signals = {"score": outputs[0]}
        missing = sorted(set(signals.values()) - set(outputs))
        if missing:
            raise ValueError(
                f"The signature {signature!r} has no outputs {missing}; it has "
                f"{outputs}."
            )
        self.signals = dict(signals)
        arguments = self._function.structured_input_signature[1]
        self._arguments = {
            _column(key, spec): (key, spec.dtype) for key, spec in arguments.items()
        }
        self._sources = {name: inputs.get(name, name) for name in self._arguments}
        unknown = sorted(set(inputs) - set(self._arguments))
        if unknown:
            raise ValueError(
                f"The signature {signature!r} has no inputs {unknown}; it has "
                f"{sorted(self._arguments)}."
            )
        read = dict(_digests(str(path)))
        self.source = f"the SavedModel in {str(path)!r}"
        self.fingerprint = fingerprint([read, signature, self.signals, self._sources])

    def __call__(self, features: Mapping[str, Any]) -> Signals:
        """Returns the signature's signals for a batch, float32 and without gradient."""
        given = needed(features, self._sources.values())
        outputs = self._function(
            **{
                key: tf.cast(given[self._sources[name]], dtype)
                for name, (key, dtype) in self._arguments.items()
            }
        )
        return {
            signal: tf.stop_gradient(tf.cast(outputs[output], tf.float32))
            for signal, output in self.signals.items()
        }


def _digests(path: str) -> Iterator[tuple[str, str]]:
    """What is read of a SavedModel, by file and on any file system."""
    for folder, start in (("", "saved_model."), ("/variables", ""), ("/assets", "")):
        present = tf.io.gfile.isdir(path + folder)
        for name in sorted(tf.io.gfile.listdir(path + folder)) if present else ():
            file = f"{path}{folder}/{name}"
            if not name.startswith(start) or tf.io.gfile.isdir(file):
                continue
            digest = hashlib.sha256()
            with tf.io.gfile.GFile(file, "rb") as opened:
                for piece in iter(lambda: opened.read(1 << 20), b""):
                    digest.update(piece)
            yield f"{folder}/{name}", digest.hexdigest()


def _column(key: str, spec: tf.TensorSpec) -> str:
    """Name of an input: our exports have a column's in the spec of its safe name."""
    known = spec.name and safe_name(spec.name, [spec.name]) == key
    return str(spec.name) if known else key
