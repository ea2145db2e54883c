"""Ranking models as servables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from tfdistill.data.spec import FeatureSpec
from tfdistill.export.examples import example_batch, tf_examples
from tfdistill.export.guards import declared_spec
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
from tfdistill.export.signatures import columnar, from_examples
from tfdistill.layers.extraction import restricted

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

    `serving_default` takes one tensor per feature, user `[B, *shape]` and item
    `[B, L, *shape]`, and gives `scores [B, L]`. `tf_example` takes `serialized [B]`,
    one tf.Example per request (`FeatureSpec.parsing_spec`), and gives scores up to the
    longest list; a client cuts its own. Any B and L. The columnar signature is the fast
    one: parsing costs more than a small student.

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
        ['serving_default', 'tf_example']
    """
    spec = declared_spec(model, spec, allow_privileged)
    model = one_output(model, output)
    served = restricted([model])[0]
    features = columns_of(example or example_batch(spec), spec)
    requests = {
        "serving_default": features,
        "tf_example": {"serialized": tf_examples(features, spec)},
    }

    def scores(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"scores": called(served, columns)}

    def difference(answers: Answers) -> float:
        expected = called(model, tensors_of(features, spec)).numpy()
        return max(distance(a["scores"], expected) for a in answers.values())

    signatures = {
        "serving_default": columnar(scores, spec),
        "tf_example": from_examples(scores, spec),
    }
    return servable_of(signatures, [served], requests, difference, forbidden)
