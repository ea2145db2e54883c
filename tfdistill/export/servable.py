"""Servables: a model as signatures of plain tensors, with nothing else in reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill import _keras
from tfdistill.documents import as_json
from tfdistill.export.cost import ParameterCount, parameters
from tfdistill.export.guards import refuse_forbidden
from tfdistill.export.index import IndexReport
from tfdistill.export.naming import name_signatures
from tfdistill.export.server_files import write_warm_up
from tfdistill.names import safe_name, structured
from tfdistill.spec import FeatureSpec

__all__ = [
    "Answers",
    "Servable",
    "called",
    "columns_of",
    "distance",
    "one_output",
    "outputs_of",
    "servable_of",
    "tensors_of",
]

Answers = Mapping[str, Mapping[str, np.ndarray]]
"""Outputs of each signature."""

Requests = Mapping[str, Mapping[str, np.ndarray]]
"""Inputs of each signature."""


@dataclasses.dataclass(frozen=True, eq=False)
class Servable:
    """A model ready to be published: see `ranker_servable` and `recall_servable`.

    Attributes:
        signatures: Concrete functions by signature.
        tracked: The variables and lookup tables that they use: all that is stored.
        requests: Example inputs of each signature, to verify with: they stay here.
        warm_up: Drawn inputs of each signature, which go out with the model.
        difference: From the answers to `requests` to the largest absolute difference
            from what the Keras model computes.
        parameters: Parameters of the model.
        files: Contents of further files by name, for a client; they lie in the folder
            `assets.extra`, where a server leaves them alone.
        index: What the index of a recall model finds.
    """

    signatures: Mapping[str, Any]
    tracked: Sequence[Any]
    requests: Requests
    warm_up: Requests
    difference: Callable[[Answers], float]
    parameters: ParameterCount
    index: IndexReport | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Writes the SavedModel, unverified; `publish` is the way to a server."""
        root = tf.Module()
        root.tracked = list(self.tracked)
        functions = {safe_name(name): x for name, x in self.signatures.items()}
        tf.saved_model.save(root, str(path), signatures=functions)
        inputs = {name for request in self.requests.values() for name in request}
        name_signatures(Path(path, "saved_model.pb"), inputs.union(self.signatures))
        folder = Path(path, "assets.extra")
        folder.mkdir(exist_ok=True)
        write_warm_up(folder / "tf_serving_warmup_requests", self.warm_up)
        for name, content in self.files.items():
            folder.joinpath(name).write_text(content, encoding="utf-8")


def servable_of(
    signatures: Mapping[str, Any],
    models: Sequence[Any],
    requests: Requests,
    warm_up: Requests,
    difference: Callable[[Answers], float],
    forbidden: Iterable[tf.keras.Model],
    index: IndexReport | None = None,
) -> Servable:
    """Collects what the signatures use, and refuses what they may not."""
    used = {id(v): v for function in signatures.values() for v in function.variables}
    lookups = list(
        {id(table): table for model in models for table in _lookups(model)}.values()
    )
    refuse_forbidden(signatures, lookups, models, forbidden)
    variables = sorted(used.values(), key=lambda variable: variable.name)
    count = parameters(*(m for m in models if isinstance(m, tf.keras.Model)))
    files = {}
    if index is not None:
        files["index.json"] = as_json(index)
    return Servable(
        signatures,
        (*variables, *lookups),
        requests,
        warm_up,
        difference,
        count,
        index,
        files,
    )


def _lookups(model: Any) -> Iterator[Any]:
    """The tables of vocabularies, which no variable leads to; Keras 3 hides its own."""
    resource = tf.saved_model.experimental.TrackableResource
    for tracked in tf.train.TrackableView(model).descendants():
        if isinstance(tracked, resource):
            yield tracked
    if isinstance(model, tf.keras.layers.Layer):
        for layer in _keras.layers_of(model):
            if hasattr(layer, "lookup_table"):
                yield layer.lookup_table


def one_output(model: tf.keras.Model, name: str | None = None) -> tf.keras.Model:
    """Cuts a model down to one output."""
    outputs = outputs_of(model)
    if name is None and len(outputs) == 1:
        name = next(iter(outputs))
    if name not in outputs:
        raise ValueError(
            f"Model {model.name!r} has the outputs {sorted(outputs)}; name the one to "
            f"serve, got output={name!r}."
        )
    return _keras.functional(model.input, outputs[name], name=model.name)


def outputs_of(model: tf.keras.Model) -> dict[str, Any]:
    """The symbolic outputs of a functional model by name."""
    outputs = model.output
    if isinstance(outputs, Mapping):
        return dict(outputs)
    return dict(zip(model.output_names, model.outputs))


def called(model: tf.keras.Model, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The output as it is served."""
    return tf.cast(model(structured(model, columns), training=False), tf.float32)


def columns_of(given: Mapping[str, Any], spec: FeatureSpec) -> dict[str, np.ndarray]:
    """The spec's features as arrays of its dtypes; anything else is left out."""
    missing = [name for name in spec.names if name not in given]
    if missing:
        raise ValueError(f"There are no values of {missing}, only of {sorted(given)}.")
    return {
        f.name: np.asarray(given[f.name])
        if f.dtype == "string"
        else tf.constant(given[f.name], f.dtype).numpy()
        for f in spec.features
    }


def tensors_of(
    columns: Mapping[str, np.ndarray], spec: FeatureSpec
) -> dict[str, tf.Tensor]:
    """The arrays as tensors of the spec's dtypes."""
    return {f.name: tf.constant(columns[f.name], f.dtype) for f in spec.features}


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference; infinite for another shape or values not finite."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max(initial=0.0))
