"""Trained nets, each at its best epoch and on its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from tfdistill.identity import fingerprint
from tfdistill.layers import standalone
from tfdistill.models import JointNetwork
from tfdistill.zoo.validation import TOWERS

__all__ = ["TrainedNet", "taken_out"]


@dataclasses.dataclass(frozen=True)
class TrainedNet:
    """One net of a finished training at its best epoch, sharing nothing.

    Args:
        models: By name: the ranker, with an output for each task, or recall's query and
            item towers.
        history: The training's logs, a value for each epoch.
    """

    models: Mapping[str, tf.keras.Model]
    history: Mapping[str, list[float]]

    @property
    def fingerprint(self) -> str:
        """Changes with any weight: it names the parent of a run that starts with it."""
        return fingerprint(
            {name: model.get_weights() for name, model in self.models.items()}
        )


def taken_out(network: JointNetwork, name: str, task: str) -> dict[str, tf.keras.Model]:
    """Returns the models that serve a net, independent of the network.

    Args:
        network: The network.
        name: The net.
        task: What it does: `"recall"` or `"ranking"`.
    """
    if task == "ranking":
        return {name: standalone(network.part(name))}
    return {
        side: standalone(network.part(name, output=f"{name}_{side}", scope=scope))
        for side, scope in TOWERS
    }
