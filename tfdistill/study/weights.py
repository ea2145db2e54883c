"""Trained weights: the start of another training."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import _keras
from tfdistill.layers import SteppedDropout

__all__ = ["copy_weights"]


def copy_weights(trained: tf.keras.Model, net: tf.keras.Model) -> None:
    """Lets a net start with the weights of a trained one; its dropout may differ."""
    sources, targets = _weights(trained), _weights(net)
    found, wanted = (
        [(_keras.path_of(weight), tuple(weight.shape)) for weight in weights]
        for weights in (sources, targets)
    )
    if found != wanted:
        raise ValueError(
            f"The net {net.name!r} can't start with the weights of another net: it has "
            f"{sorted(set(wanted) - set(found))}, the given one "
            f"{sorted(set(found) - set(wanted))}. Fine-tune `recipe.only(name)` of the "
            "recipe that trained it."
        )
    for target, source in zip(targets, sources):
        target.assign(source)


def _weights(model: tf.keras.Model) -> list[tf.Variable]:
    """All weights but the steps of dropout layers, which a layer without one lacks."""
    steps = {
        id(weight)
        for layer in _keras.layers_of(model)
        if isinstance(layer, SteppedDropout)
        for weight in layer.weights
    }
    return [weight for weight in model.weights if id(weight) not in steps]
