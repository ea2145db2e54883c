"""Linear model, factorisation machine and DeepFM: incumbents and their successor."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tfdistill.layers.interactions import FieldPairs
from tfdistill.layers.towers import FoldedDense
from tfdistill.models.architectures import (
    deep_part,
    kernel_l2,
    ranker_outputs,
    sum_of_terms,
)
from tfdistill.models.inputs import NetInputs

__all__ = ["DeepFm", "Fm", "Linear"]


@dataclasses.dataclass(frozen=True)
class Linear:
    """Logistic regression: the incumbent that a first DNN replaces.

    `z = b + sum_f w_f . v_f`, where `w_f . v_f` is the weight of the value of feature
    f: a linear function of its embedding, so that no second table of width 1 is needed.
    With tables of width 1 it is LR, up to a factor for each feature. The user's sum is
    computed once.

    Args:
        l2: L2 on the weights w.

    Example:
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> sorted(Linear()(NetInputs({"u": user}, {"i": item}), name="lr"))
        ['lr']
    """

    l2: float = 0.0

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]`; there is no hidden layer."""
        return sum_of_terms([first_order(inputs, name, self.l2)], name)


@dataclasses.dataclass(frozen=True)
class Fm:
    """A factorisation machine: the incumbent with pairs, or a teacher without a DNN.

    `z = b + sum_f w_f . v_f + sum_{f<g} <v_f, v_g>` over all features f, g; the first
    order is that of `Linear`. The user's sums are computed once: a candidate costs a
    few FLOPs for each of its own columns, however many user features there are.

    All features must have one width.

    Args:
        l2: L2 on the weights of the first order.

    Example:
        >>> user, item = tf.keras.Input([6]), tf.keras.Input([None, 6])
        >>> sorted(Fm()(NetInputs({"u": user}, {"i": item}), name="fm"))
        ['fm']

    Reference:
        Rendle, Factorization Machines, ICDM 2010, doi:10.1109/ICDM.2010.127.
    """

    l2: float = 0.0

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]`; there is no hidden layer."""
        return sum_of_terms(_orders(inputs, name, self.l2), name)


@dataclasses.dataclass(frozen=True)
class DeepFm:
    """DeepFM: a factorisation machine and a DNN over the same embeddings.

    `z = z_FM + w . h_n(... h_1([u | i]))`. The cheapest of the teachers with explicit
    interactions: next to its deep part, the machine costs nothing (see `Fm`). All
    features must have one width.

    Args:
        units: Widths of the deep part.
        dropout: Rate of the dropout after each deep layer.
        l2: L2 on the kernels.

    Example:
        >>> user, item = tf.keras.Input([6]), tf.keras.Input([None, 6])
        >>> out = DeepFm((16,))(NetInputs({"u": user}, {"i": item}), name="teacher")
        >>> sorted(out)
        ['teacher', 'teacher_hidden', 'teacher_hidden_0']

    Reference:
        Guo et al., DeepFM, IJCAI 2017, arXiv:1703.04247.
    """

    units: tuple[int, ...] = (256, 128)
    dropout: float = 0.0
    l2: float = 0.0

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the deep part's layers `[B, L, units[i]]`."""
        layers = deep_part(self, inputs.user, inputs.item, name)
        terms = _orders(inputs, name, self.l2)
        return ranker_outputs(layers[-1], layers, name, terms)


def first_order(inputs: NetInputs, name: str, l2: float) -> tf.Tensor:
    """The linear term `[B, L, 1]` of the features' embeddings."""
    layer = FoldedDense(1, kernel_regularizer=kernel_l2(l2), name=f"{name}_first_order")
    return layer((inputs.user, inputs.item))


def _orders(inputs: NetInputs, name: str, l2: float) -> list[tf.Tensor]:
    """The first and the second order of a factorisation machine."""
    sides = list(inputs.users.values()), list(inputs.listed.values())
    return [first_order(inputs, name, l2), FieldPairs(name=f"{name}_pairs")(sides)]
