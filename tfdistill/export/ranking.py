"""Ranking models as servables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from tfdistill.data.spec import FeatureSpec
from tfdistill.export.examples import example_batch, tf_examples
from tfdistill.export.guards import declared_spec
from tfdistill.export.packing import pack
from tfdistill.export.servable import (
    Answers,
    Servable,
    called,
    columns_of,
    distance,
    one_output,
    servable_of,
    tensors_of,
)
from tfdistill.export.signatures import columnar, from_examples, of_packed
from tfdistill.layers.embeddings import FeatureEmbeddings
from tfdistill.layers.extraction import above_embeddings, restricted
from tfdistill.layers.packed import PackedEmbeddings, unpacked

__all__ = ["ranker_servable"]


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

    All give `scores [B, L]` for any B and L, in the order of the candidates:

    - `serving_default` takes one tensor per feature, user `[B, *shape]` and item
      `[B, L, *shape]`;
    - `packed` takes them side by side in up to three tensors a side (`pack` makes
      them, the file `packing.json` describes them) and `mask [B, L]`; a masked
      candidate scores the lowest float. It is the fastest: handing over a tensor per
      feature and parsing both cost more than a small student;
    - `tf_example` takes `serialized [B]`, one tf.Example per request
      (`FeatureSpec.parsing_spec`); scores go up to the longest list of the batch, and
      a client cuts its own.

    Args:
        model: A functional model such as `JointNetwork.part("fine")`.
        spec: Has the model's features and may have more.
        output: Name of the output that is served; by default the only one.
        forbidden: Models of which nothing may be served: the teachers.
        allow_privileged: Serve privileged features: to measure a teacher's cost only.
        example: A batch of raw features to verify with; by default a drawn one.

    Returns:
        The servable, with only the rows of tables that the model's features can reach.

    Raises:
        ValueError: If the model is not functional, reads a privileged feature or one
            that the spec lacks, or if a variable of a forbidden model is in reach.

    Example:
        >>> from tfdistill.data.spec import Feature, FeatureSpec, Table
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
        ['packed', 'serving_default', 'tf_example']
    """
    spec = declared_spec(model, spec, allow_privileged)
    model = one_output(model, output)
    served = restricted([model])[0]
    features = columns_of(example or example_batch(spec), spec)
    packed = pack(features, spec)
    from_packed = _from_packed(served, spec)
    requests = {
        "serving_default": features,
        "packed": packed,
        "tf_example": {"serialized": tf_examples(features, spec)},
    }

    def scores(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"scores": called(served, columns)}

    def packed_scores(packed: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        scores = from_packed(packed)
        return {"scores": tf.where(packed["mask"], scores, scores.dtype.min)}

    def difference(answers: Answers) -> float:
        expected = called(model, tensors_of(features, spec)).numpy()
        return max(distance(a["scores"], expected) for a in answers.values())

    signatures = {
        "serving_default": columnar(scores, spec),
        "packed": of_packed(packed_scores, spec),
        "tf_example": from_examples(scores, spec),
    }
    return servable_of(signatures, [served], requests, difference, forbidden)


def _from_packed(
    model: tf.keras.Model, spec: FeatureSpec
) -> Callable[[Mapping[str, tf.Tensor]], tf.Tensor]:
    """The model as a function of packed tensors, without cutting them if possible."""
    try:
        groups, above = above_embeddings(model)
    except ValueError:
        return lambda packed: called(model, unpacked(packed, spec))
    (layer,) = (x for x in model.layers if isinstance(x, FeatureEmbeddings))

    def scores(packed: Mapping[str, tf.Tensor]) -> tf.Tensor:
        embedded = PackedEmbeddings(layer, spec, packed)
        vectors = [embedded.joined(group) for group in groups]
        return tf.cast(above(vectors, training=False), tf.float32)

    return scores
