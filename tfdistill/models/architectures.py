"""Architectures of teachers and students: frozen settings that build named tensors."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfdistill.layers.towers import ConcatUserItem, SqueezeLast, folded_mlp, mlp

__all__ = ["Architecture", "CoarseTwoTower", "DcnV2", "Dnn", "TwoTower"]


class Architecture(Protocol):
    """Settings of a net, callable on its two sides.

    A call takes the concatenated user features `[B, d_u]`, the concatenated item
    features `[B, L, d_i]` and the net's name, and returns named tensors: `name` (logits
    or scores `[B, L]`, always) and whatever else the net offers as a signal.
    """

    def __call__(
        self, user: tf.Tensor, item: tf.Tensor, *, name: str
    ) -> dict[str, tf.Tensor]:
        """Builds the net and returns its named outputs."""
        ...


@dataclasses.dataclass(frozen=True)
class Dnn:
    """A plain DNN: the student of a fine ranker, or a wide one as a teacher.

    `z = w . h_n(... h_1([u | i]))`, with the first layer folded.

    Args:
        units: Widths of the hidden layers.
        dropout: Rate of the dropout after each layer.
        l2: L2 on the kernels.

    Example:
        >>> net = Dnn(units=(16, 8))
        >>> out = net(tf.keras.Input([4]), tf.keras.Input([None, 6]), name="fine")
        >>> sorted(out)
        ['fine', 'fine_hidden']
    """

    units: tuple[int, ...] = (64, 32)
    dropout: float = 0.0
    l2: float = 0.0

    def __call__(
        self, user: tf.Tensor, item: tf.Tensor, *, name: str
    ) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and `name_hidden` `[B, L, units[-1]]`."""
        hidden = folded_mlp(
            user,
            item,
            self.units,
            name=name,
            dropout=self.dropout,
            kernel_regularizer=_l2(self.l2),
        )
        return _ranker_outputs(hidden, name)


@dataclasses.dataclass(frozen=True)
class DcnV2:
    """DCN-v2 with a parallel deep part: the teacher of a fine ranker.

    `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`; the logit reads `[x_n | h_m]` with the last
    layer h_m of the deep part.

    Args:
        cross_layers: Number of cross layers.
        units: Widths of the deep part.
        dropout: Rate of the dropout after each deep layer.
        l2: L2 on the kernels.

    Example:
        >>> net = DcnV2(cross_layers=2, units=(32, 16))
        >>> out = net(tf.keras.Input([4]), tf.keras.Input([None, 6]), name="teacher")
        >>> out["teacher_hidden"].shape
        TensorShape([None, None, 16])

    Reference:
        Wang et al., DCN V2, WWW 2021, arXiv:2008.13535.
    """

    cross_layers: int = 2
    units: tuple[int, ...] = (256, 128)
    dropout: float = 0.0
    l2: float = 0.0

    def __call__(
        self, user: tf.Tensor, item: tf.Tensor, *, name: str
    ) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and `name_hidden` `[B, L, units[-1]]`."""
        inputs = ConcatUserItem(name=f"{name}_input")((user, item))
        crossed = inputs
        for index in range(self.cross_layers):
            crossed = tfrs.layers.dcn.Cross(
                kernel_regularizer=_l2(self.l2), name=f"{name}_cross_{index}"
            )(inputs, crossed)
        hidden = mlp(
            inputs,
            self.units,
            name=name,
            dropout=self.dropout,
            kernel_regularizer=_l2(self.l2),
        )
        both = tf.keras.layers.Concatenate(name=f"{name}_both")([crossed, hidden])
        return {**_ranker_outputs(both, name), f"{name}_hidden": hidden}


@dataclasses.dataclass(frozen=True)
class TwoTower:
    """Query and candidate tower with a dot product: the student of recall.

    `s = q(u) . c(i)`: the candidate vectors are computed once for the catalogue and a
    request costs one matrix product and a top-K.

    Args:
        units: Widths of the hidden layers of each tower.
        dim: Width of the two vectors.
        l2: L2 on the kernels.

    Example:
        >>> net = TwoTower(units=(32,), dim=16)
        >>> out = net(tf.keras.Input([4]), tf.keras.Input([None, 6]), name="recall")
        >>> sorted(out)
        ['recall', 'recall_item', 'recall_query']
    """

    units: tuple[int, ...] = (64,)
    dim: int = 32
    l2: float = 0.0

    def __call__(
        self, user: tf.Tensor, item: tf.Tensor, *, name: str
    ) -> dict[str, tf.Tensor]:
        """Returns scores `[B, L]`, queries `[B, dim]` and candidates `[B, L, dim]`."""
        vectors = {}
        for side, inputs in (("query", user), ("item", item)):
            hidden = mlp(
                inputs,
                self.units,
                name=f"{name}_{side}",
                kernel_regularizer=_l2(self.l2),
            )
            vectors[side] = tf.keras.layers.Dense(
                self.dim, kernel_regularizer=_l2(self.l2), name=f"{name}_{side}_vector"
            )(hidden)
        query, candidates = vectors["query"], vectors["item"]
        scores = tf.keras.layers.Dot(axes=(1, 2), name=f"{name}_dot")(
            [query, candidates]
        )
        return {
            name: _as_float32(scores, name),
            f"{name}_query": _as_float32(query, f"{name}_query"),
            f"{name}_item": _as_float32(candidates, f"{name}_item"),
        }


@dataclasses.dataclass(frozen=True)
class CoarseTwoTower:
    """Two towers with a light interaction: the student of coarse ranking.

    `z = w . [q * c | relu(W (q * c) + b)]`: the towers are computed once per user and
    once per item; only a product of vectors and a small layer are left for each pair.

    Args:
        units: Widths of the hidden layers of each tower.
        dim: Width of the two vectors.
        interaction: Width of the layer over the product.
        l2: L2 on the kernels.

    Example:
        >>> net = CoarseTwoTower()
        >>> out = net(tf.keras.Input([4]), tf.keras.Input([None, 6]), name="coarse")
        >>> sorted(out)
        ['coarse', 'coarse_hidden']
    """

    units: tuple[int, ...] = (32,)
    dim: int = 32
    interaction: int = 16
    l2: float = 0.0

    def __call__(
        self, user: tf.Tensor, item: tf.Tensor, *, name: str
    ) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and `name_hidden` `[B, L, interaction]`."""
        towers = TwoTower(self.units, self.dim, self.l2)
        pair = towers(user, item, name=f"{name}_tower")
        query = tf.keras.layers.Reshape([1, self.dim], name=f"{name}_query_row")(
            pair[f"{name}_tower_query"]
        )
        product = tf.keras.layers.Multiply(name=f"{name}_product")(
            [query, pair[f"{name}_tower_item"]]
        )
        hidden = mlp(
            product, (self.interaction,), name=name, kernel_regularizer=_l2(self.l2)
        )
        both = tf.keras.layers.Concatenate(name=f"{name}_both")([product, hidden])
        return {**_ranker_outputs(both, name), f"{name}_hidden": hidden}


def _ranker_outputs(hidden: tf.Tensor, name: str) -> dict[str, tf.Tensor]:
    """The logit of a ranker over its last layer `[B, L, H]`, and that layer."""
    logits = SqueezeLast(name=f"{name}_row")(
        tf.keras.layers.Dense(1, name=f"{name}_logit")(hidden)
    )
    return {name: _as_float32(logits, name), f"{name}_hidden": hidden}


def _as_float32(values: tf.Tensor, name: str) -> tf.Tensor:
    """Names an output and keeps it in float32 under mixed precision."""
    return tf.keras.layers.Activation("linear", dtype="float32", name=name)(values)


def _l2(factor: float) -> Any:
    return tf.keras.regularizers.L2(factor) if factor else None
