"""Ranking models as servables."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill import _keras
from tfdistill.documents import as_json
from tfdistill.export.examples import (
    candidate_examples,
    drawn_like,
    elwc,
    example_batch,
    tf_examples,
)
from tfdistill.export.guards import declared_spec
from tfdistill.export.packing import pack, packing
from tfdistill.export.servable import (
    Answers,
    Servable,
    columns_of,
    distance,
    one_output,
    outputs_of,
    servable_of,
    tensors_of,
)
from tfdistill.export.signatures import (
    columnar,
    from_candidates,
    from_elwc,
    from_examples,
    of_packed,
)
from tfdistill.layers.embeddings import FeatureEmbeddings
from tfdistill.layers.extraction import above_embeddings, restricted
from tfdistill.layers.packed import PackedEmbeddings, unpacked
from tfdistill.names import structured
from tfdistill.spec import FeatureSpec

__all__ = ["ranker_servable"]

_SCORES = "scores"


def ranker_servable(
    model: tf.keras.Model,
    spec: FeatureSpec,
    *,
    output: str | None = None,
    forbidden: Iterable[tf.keras.Model] = (),
    allow_privileged: bool = False,
    example: Mapping[str, Any] | None = None,
) -> Servable:
    """Makes the signatures of a ranking model.

    All give `scores [B, L]` for any B and L, in the order of the candidates. A model of
    several tasks gives the scores of each, by the name of its output such as
    `fine_click`, and has no `classify` and `regress`, whose answer is one value:

    - `serving_default` takes one tensor per feature, user `[B, *shape]`, item and pair
      `[B, L, *shape]`;
    - `packed` takes them side by side in up to three tensors a side (`pack` makes
      them, the file `packing.json` describes them) and `mask [B, L]`; a masked
      candidate scores the lowest float. It is the fastest: handing over a tensor per
      feature and parsing both cost more than a small student;
    - `tf_example` takes `serialized [B]`, one tf.Example per request
      (`FeatureSpec.parsing_spec`); scores go up to the longest list of the batch, and
      a client cuts its own;
    - `elwc` takes `serialized [B]`, TF-Ranking's ExampleListWithContext, and masks as
      `packed` does;
    - `classify` and `regress` take `inputs [n]`, a tf.Example for each candidate: what
      a server makes of a Classify or Regress request. `regress` gives the scores as
      `outputs [n]`; `classify` reads them as logits and gives `classes [n, 2]` ("0"
      and "1") and their probabilities `scores [n, 2]`.

    Args:
        model: A functional model such as `JointNetwork.part("fine")`.
        spec: Has the model's features and may have more.
        output: Name of the only output to serve, as `scores`; by default all.
        forbidden: Models of which nothing may be served: the teachers.
        allow_privileged: Serve privileged features: to measure a teacher's cost only.
        example: A batch of raw features to verify with; by default a drawn one. It does
            not leave: the warm-up requests of a server are always drawn.

    Returns:
        The servable, with only the rows of tables that the model's features can reach.

    Raises:
        ValueError: If the model is not functional, reads a privileged feature or one
            that the spec lacks, gives something else than scores, or if a variable of
            a forbidden model is in reach.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
        >>> from tfdistill.models import Dnn, Net, joint_network
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("age", "numeric", "user"),
        ...         Feature("item_id", "categorical", "item", table="item"),
        ...     ),
        ...     tables=(Table("item", dim=4, size=9),),
        ... )
        >>> network = joint_network(spec, {"fine": Net(Dnn((8,)), spec.names)})
        >>> servable = ranker_servable(network.part("fine"), spec)
        >>> sorted(servable.signatures)
        ['classify', 'elwc', 'packed', 'regress', 'serving_default', 'tf_example']
    """
    spec = declared_spec(model, spec, allow_privileged)
    model = _of_scores(model, output)
    served = restricted([model])[0]
    features = columns_of(example or example_batch(spec), spec)
    signatures = _signatures(served, spec)
    requests, warm_up = (
        {name: made[name] for name in signatures}
        for made in map(
            functools.partial(_requests, spec), (features, drawn_like(features, spec))
        )
    )

    def difference(answers: Answers) -> float:
        expected = {
            name: scores.numpy()
            for name, scores in _scores(model, tensors_of(features, spec)).items()
        }
        found: list[float] = []
        for name, answer in answers.items():
            wanted = _of_candidates(name, expected) or expected
            found.extend(distance(answer[key], x) for key, x in wanted.items())
        return max(found)

    servable = servable_of(
        signatures,
        [served],
        requests,
        warm_up,
        difference,
        forbidden,
    )
    files = {"packing.json": as_json(packing(spec))}
    return dataclasses.replace(servable, files=files)


def _requests(
    spec: FeatureSpec, features: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Inputs of every signature that have these features."""
    candidates = {"inputs": candidate_examples(features, spec)}
    return {
        "serving_default": dict(features),
        "packed": pack(features, spec),
        "tf_example": {"serialized": tf_examples(features, spec)},
        "elwc": {"serialized": elwc(features, spec)},
        "classify": candidates,
        "regress": candidates,
    }


def _of_scores(model: tf.keras.Model, output: str | None) -> tf.keras.Model:
    """The model of the outputs to serve, by the names that they have there."""
    outputs = outputs_of(model)
    if output is not None or len(outputs) == 1:
        return _keras.functional(
            model.input, {_SCORES: one_output(model, output).output}, name=model.name
        )
    wrong = {n: tuple(x.shape) for n, x in outputs.items() if len(x.shape) != 2}
    if wrong:
        raise ValueError(
            f"A ranker gives scores [B, L], but model {model.name!r} has outputs of "
            f"other shapes: {wrong}; name the one to serve as output=, of "
            f"{sorted(outputs)}."
        )
    return _keras.functional(model.input, outputs, name=model.name)


def _scores(
    model: tf.keras.Model, columns: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """All outputs as they are served."""
    found = model(structured(model, columns), training=False)
    return {name: tf.cast(scores, tf.float32) for name, scores in found.items()}


def _of_candidates(
    signature: str, scores: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What `classify` and `regress` answer to candidates; nothing of other names."""
    if signature not in ("classify", "regress"):
        return {}
    logits = scores[_SCORES].ravel()
    if signature == "regress":
        return {"outputs": logits}
    rates = tf.sigmoid(logits).numpy()
    return {_SCORES: np.stack([1 - rates, rates], axis=-1)}


def _signatures(model: tf.keras.Model, spec: FeatureSpec) -> dict[str, Any]:
    """The functions of a ranker by name."""
    from_packed = _from_packed(model, spec)

    def masked(found: Mapping[str, tf.Tensor], mask: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.where(mask, x, x.dtype.min) for name, x in found.items()}

    def scores(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return _scores(model, columns)

    def packed(tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return masked(from_packed(tensors), tensors["mask"])

    def lists(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        features = {name: columns[name] for name in spec.names}
        return masked(_scores(model, features), columns["mask"])

    def classify(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rate = tf.sigmoid(_scores(model, columns)[_SCORES])  # [n, 1]
        classes = tf.tile([["0", "1"]], [tf.shape(rate)[0], 1])
        return {"classes": classes, _SCORES: tf.concat([1 - rate, rate], axis=-1)}

    def regress(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"outputs": _scores(model, columns)[_SCORES][:, 0]}

    found = {
        "serving_default": columnar(scores, spec),
        "packed": of_packed(packed, spec),
        "tf_example": from_examples(scores, spec),
        "elwc": from_elwc(lists, spec),
    }
    if list(model.output) == [_SCORES]:
        found["classify"] = from_candidates(classify, spec)
        found["regress"] = from_candidates(regress, spec)
    return found


def _from_packed(
    model: tf.keras.Model, spec: FeatureSpec
) -> Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """The model as a function of packed tensors, without cutting them if possible."""
    try:
        groups, above = above_embeddings(model)
    except ValueError:
        return lambda packed: _scores(model, unpacked(packed, spec))
    (layer,) = (x for x in model.layers if isinstance(x, FeatureEmbeddings))

    def scores(packed: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        embedded = PackedEmbeddings(layer, spec, packed)
        found = above([embedded.joined(group) for group in groups], training=False)
        return {name: tf.cast(x, tf.float32) for name, x in found.items()}

    return scores
