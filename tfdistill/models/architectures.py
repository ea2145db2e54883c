"""Architectures of teachers and students: frozen settings that build named tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import tensorflow as tf

from tfdistill.layers.towers import (
    ConcatUserItem,
    FoldedDense,
    SharedDot,
    SqueezeLast,
    folded_mlp,
    mlp,
)
from tfdistill.models.inputs import NetInputs, concatenated

__all__ = [
    "Architecture",
    "CoarseTwoTower",
    "DcnV2",
    "Dnn",
    "TwoTower",
    "as_float32",
    "deep_part",
    "kernel_l2",
    "ranker_outputs",
    "sum_of_terms",
]


class Architecture(Protocol):
    """Settings of a net, callable on what it reads.

    A call takes the net's features and its name, and returns named tensors: `name`
    (logits or scores `[B, L]`) and whatever else the net offers as a signal; a ranker
    gives `name_hidden`, its last hidden layer, and every hidden layer from the bottom
    as `name_hidden_0`, `name_hidden_1` and so on. With a field `tasks` it does so for
    each task, as `name_task` and `name_task_hidden`.
    """

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
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
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> out = Dnn(units=(16, 8))(NetInputs({"u": user}, {"i": item}), name="fine")
        >>> sorted(out)
        ['fine', 'fine_hidden', 'fine_hidden_0', 'fine_hidden_1']
    """

    units: tuple[int, ...] = (64, 32)
    dropout: float = 0.0
    l2: float = 0.0

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the hidden layers `[B, L, units[i]]`."""
        layers = deep_part(self, inputs.user, inputs.item, name)
        return ranker_outputs(layers[-1], layers, name)


@dataclasses.dataclass(frozen=True)
class DcnV2:
    """DCN-v2 with a parallel deep part: the teacher of a fine ranker.

    `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`; the logit reads `[x_n | h_m]` with the last
    layer h_m of the deep part. The first layers of both parts compute the user's side
    once for the list.

    Args:
        cross_layers: Number of cross layers, at least one.
        units: Widths of the deep part.
        dropout: Rate of the dropout after each deep layer.
        l2: L2 on the kernels.

    Example:
        >>> net = DcnV2(cross_layers=2, units=(32, 16))
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> out = net(NetInputs({"u": user}, {"i": item}), name="teacher")
        >>> tuple(out["teacher_hidden"].shape)
        (None, None, 16)

    Reference:
        Wang et al., DCN V2, WWW 2021, arXiv:2008.13535.
    """

    cross_layers: int = 2
    units: tuple[int, ...] = (256, 128)
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if self.cross_layers < 1:
            raise ValueError(
                "DcnV2 needs at least one cross layer, got cross_layers="
                f"{self.cross_layers}; without any it is a `Dnn`."
            )

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the deep part's layers `[B, L, units[i]]`."""
        layers = deep_part(self, inputs.user, inputs.item, name)
        crossed = self._crossed((inputs.user, inputs.item), name)
        both = tf.keras.layers.Concatenate(name=f"{name}_both")([crossed, layers[-1]])
        return ranker_outputs(both, layers, name)

    def _crossed(self, sides: tuple[tf.Tensor, tf.Tensor], name: str) -> tf.Tensor:
        """The cross network; its first product is folded, `x_0 = x_l` there."""
        start = ConcatUserItem(name=f"{name}_input")(sides)
        first = FoldedDense(
            start.shape[-1],
            kernel_regularizer=kernel_l2(self.l2),
            name=f"{name}_cross_0",
        )(sides)
        product = tf.keras.layers.Multiply(name=f"{name}_cross_0_product")
        crossed = tf.keras.layers.Add(name=f"{name}_cross_0_sum")(
            [product([start, first]), start]
        )
        for index in range(1, self.cross_layers):
            cross = f"{name}_cross_{index}"
            projected = tf.keras.layers.Dense(
                start.shape[-1],
                kernel_initializer="truncated_normal",  # as in TFRS
                kernel_regularizer=kernel_l2(self.l2),
                name=cross,
            )(crossed)
            product = tf.keras.layers.Multiply(name=f"{cross}_product")(
                [start, projected]
            )
            crossed = tf.keras.layers.Add(name=f"{cross}_sum")([product, crossed])
        return crossed


@dataclasses.dataclass(frozen=True)
class TwoTower:
    """Query and candidate tower with a dot product: the student of recall.

    `s = q(u) . c(i)`: the candidate vectors are computed once for the catalogue and a
    request costs one matrix product and a top-K.

    Args:
        units: Widths of the hidden layers of each tower.
        dim: Width of the two vectors; None for those that the features have, which is
            matrix factorisation where there is one feature on each side.
        l2: L2 on the kernels.
        shared: How many candidates at the end of each list are scored for every user of
            the batch: `RecallBatches` draws them. 0 for none.

    Example:
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> net = TwoTower(units=(32,), dim=16)
        >>> sorted(net(NetInputs({"u": user}, {"i": item}), name="recall"))
        ['recall', 'recall_item', 'recall_query']
    """

    units: tuple[int, ...] = (64,)
    dim: int | None = 32
    l2: float = 0.0
    shared: int = 0

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns scores `[B, L]`, queries `[B, dim]` and candidates `[B, L, dim]`.

        With `shared` the scores are `[B, L - shared + B * shared]`.
        """
        if inputs.pairs:
            raise ValueError(
                f"Net {name!r} of two towers reads the pair features "
                f"{sorted(inputs.pairs)}, but a product of two vectors has no place "
                "for them: leave them to a ranker, such as Dnn or CoarseTwoTower."
            )
        query = self._query(inputs, f"{name}_query")
        candidates = self._tower(inputs.item, f"{name}_item")
        scores = SharedDot(self.shared, name=f"{name}_dot")((query, candidates))
        return {
            name: as_float32(scores, name),
            f"{name}_query": as_float32(query, f"{name}_query"),
            f"{name}_item": as_float32(candidates, f"{name}_item"),
        }

    def _query(self, inputs: NetInputs, name: str) -> tf.Tensor:
        """The users' vectors."""
        if not inputs.users:
            raise ValueError(
                f"The tower {name!r} needs a user feature, but the net reads none, "
                f"only {sorted(inputs.items)}; a ranker such as Dnn can do without."
            )
        return self._tower(inputs.user, name)

    def _tower(self, features: tf.Tensor, name: str) -> tf.Tensor:
        """The vectors of one side."""
        l2 = kernel_l2(self.l2)
        hidden = mlp(features, self.units, name=name, kernel_regularizer=l2)[-1]
        if self.dim is None:
            return hidden
        vector = tf.keras.layers.Dense(
            self.dim, kernel_regularizer=l2, name=f"{name}_vector"
        )
        return vector(hidden)


@dataclasses.dataclass(frozen=True)
class CoarseTwoTower:
    """Two towers with a light interaction: the student of coarse ranking.

    `z = w . [v | relu(W v + b)]` with `v = [q * c | p]`: the towers are computed once
    per user and once per item; only a product of vectors, the pair features p and a
    small layer are left for each pair.

    Args:
        units: Widths of the hidden layers of each tower.
        dim: Width of the two vectors.
        interaction: Width of the layer over the product.
        l2: L2 on the kernels.

    Example:
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> out = CoarseTwoTower()(NetInputs({"u": user}, {"i": item}), name="coarse")
        >>> sorted(out)
        ['coarse', 'coarse_hidden', 'coarse_hidden_0']
    """

    units: tuple[int, ...] = (32,)
    dim: int = 32
    interaction: int = 16
    l2: float = 0.0

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the layer `name_hidden` `[B, L, interaction]`."""
        towers = TwoTower(self.units, self.dim, self.l2)
        pair = towers(inputs.without_pairs(), name=f"{name}_tower")
        query = tf.keras.layers.Reshape([1, self.dim], name=f"{name}_query_row")(
            pair[f"{name}_tower_query"]
        )
        product = tf.keras.layers.Multiply(name=f"{name}_product")(
            [query, pair[f"{name}_tower_item"]]
        )
        layers = mlp(
            concatenated([product, *inputs.pairs.values()]),
            (self.interaction,),
            name=name,
            kernel_regularizer=kernel_l2(self.l2),
        )
        both = tf.keras.layers.Concatenate(name=f"{name}_both")(layers)
        return ranker_outputs(both, layers[1:], name)


class Deep(Protocol):
    """An architecture with a stack of dense layers."""

    @property
    def units(self) -> tuple[int, ...]:
        """Widths of the layers."""

    @property
    def dropout(self) -> float:
        """Rate of the dropout after each."""

    @property
    def l2(self) -> float:
        """L2 on the kernels."""


def deep_part(
    net: Deep, user: tf.Tensor, item: tf.Tensor, name: str
) -> list[tf.Tensor]:
    """Builds the dense layers of a net over `[u | i]`, the first one folded.

    Args:
        net: An architecture with the fields `units`, `dropout` and `l2`.
        user: `[B, d_u]`, as `NetInputs.user`.
        item: `[B, L, d_i]`, as `NetInputs.item`.
        name: Name of the net.

    Returns:
        The layers from the bottom, `[B, L, units[i]]`.

    Example:
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> [x.shape[-1] for x in deep_part(Dnn(units=(8, 3)), user, item, "fine")]
        [8, 3]
    """
    return folded_mlp(
        user,
        item,
        net.units,
        name=name,
        dropout=net.dropout,
        kernel_regularizer=kernel_l2(net.l2),
    )


def ranker_outputs(
    last: tf.Tensor,
    layers: Sequence[tf.Tensor],
    name: str,
    terms: Sequence[tf.Tensor] = (),
) -> dict[str, tf.Tensor]:
    """Builds a ranker's logit, and names its outputs as recipes expect them.

    `z = w . last + b + sum of terms`.

    Args:
        last: `[B, L, H]`, what the logit reads.
        layers: The hidden layers from the bottom, at least one.
        name: Name of the net.
        terms: Further terms of the logit, `[B, L, 1]`.

    Returns:
        `name` float32 `[B, L]`, `name_hidden` and `name_hidden_0`, `name_hidden_1` ...

    Example:
        >>> hidden = tf.keras.Input([None, 8])
        >>> sorted(ranker_outputs(hidden, [hidden], "fine"))
        ['fine', 'fine_hidden', 'fine_hidden_0']
    """
    logit = tf.keras.layers.Dense(1, name=f"{name}_logit")(last)
    hidden = {f"{name}_hidden_{index}": layer for index, layer in enumerate(layers)}
    logits = sum_of_terms([logit, *terms], name)
    return {**logits, f"{name}_hidden": layers[-1], **hidden}


def sum_of_terms(terms: Sequence[tf.Tensor], name: str) -> dict[str, tf.Tensor]:
    """Adds up the logit of a net without hidden layers.

    Args:
        terms: `[B, L, 1]` each, at least one.
        name: Name of the net.

    Returns:
        `name` float32 `[B, L]`.

    Example:
        >>> list(sum_of_terms([tf.keras.Input([None, 1])], "lr"))
        ['lr']
    """
    total = tf.keras.layers.Add(name=f"{name}_sum")(terms) if terms[1:] else terms[0]
    return {name: as_float32(SqueezeLast(name=f"{name}_row")(total), name)}


def as_float32(values: tf.Tensor, name: str) -> tf.Tensor:
    """Names an output and keeps it in float32 under mixed precision.

    Args:
        values: The output.
        name: Its name.

    Example:
        >>> as_float32(tf.keras.Input([2], dtype="float16"), "fine").dtype == "float32"
        True
    """
    return tf.keras.layers.Activation("linear", dtype="float32", name=name)(values)


def kernel_l2(factor: float) -> Any:
    """Returns the L2 regulariser of kernels, or None for a factor of 0.

    Args:
        factor: The factor.

    Example:
        >>> kernel_l2(0.0) is None
        True
    """
    return tf.keras.regularizers.L2(factor) if factor else None
