"""Rankers with interactions of fields: xDeepFM, FiBiNET, AutoInt, and a gated DNN."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tfdistill.layers.gating import GatedDense
from tfdistill.layers.interactions import (
    BilinearInteraction,
    CompressedInteraction,
    FlattenFields,
    SqueezeExcitation,
)
from tfdistill.layers.towers import FoldedDense, dropped, mlp
from tfdistill.models.architectures import (
    as_float32,
    deep_part,
    kernel_l2,
    ranker_outputs,
)
from tfdistill.models.factorization import first_order
from tfdistill.models.inputs import NetInputs

__all__ = ["AutoInt", "FiBiNet", "SeNetDnn", "XDeepFm"]


@dataclasses.dataclass(frozen=True)
class XDeepFm:
    """xDeepFM: a linear model, a compressed interaction network and a DNN.

    `z = z_linear + w . [CIN(fields) | h_n(... h_1([u | i]))]`; see
    `CompressedInteraction` for the CIN and its cost, which is most of the net's. All
    features must have one width; every candidate has all fields (the user's are tiled).

    Args:
        maps: Number of maps of each CIN layer.
        units: Widths of the deep part.
        dropout: Rate of the dropout after each deep layer.
        l2: L2 on the kernels.

    Example:
        >>> user, item = tf.keras.Input([6]), tf.keras.Input([None, 6])
        >>> net = XDeepFm(maps=(8, 8), units=(16,))
        >>> sorted(net(NetInputs({"u": user}, {"i": item}), name="teacher"))
        ['teacher', 'teacher_hidden', 'teacher_hidden_0']

    Reference:
        Lian et al., xDeepFM, KDD 2018, arXiv:1803.05170.
    """

    maps: tuple[int, ...] = (64, 64)
    units: tuple[int, ...] = (256, 128)
    dropout: float = 0.0
    l2: float = 0.0

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the deep part's layers `[B, L, units[i]]`."""
        layers = deep_part(self, inputs.user, inputs.item, name)
        compressed = CompressedInteraction(
            self.maps, kernel_regularizer=kernel_l2(self.l2), name=f"{name}_cin"
        )(inputs.fields())
        both = tf.keras.layers.Concatenate(name=f"{name}_both")(
            [compressed, layers[-1]]
        )
        linear = first_order(inputs, name, self.l2)
        return ranker_outputs(both, layers, name, [linear])


@dataclasses.dataclass(frozen=True)
class FiBiNet:
    """FiBiNET: a DNN over bilinear products of plain and of reweighted fields.

    `z = z_linear + w . h_n(... h_1([P(v) | Q(SENET(v))]))` with bilinear interactions
    P, Q of kernels of their own; see `BilinearInteraction` and `SqueezeExcitation`. The
    first layer reads `F (F - 1) d` columns of each candidate: with many fields it is
    the net's cost and most of its parameters. All features must have one width.

    Args:
        units: Widths of the layers over the products.
        ratio: Reduction of the SENET.
        dropout: Rate of the dropout after each layer.
        l2: L2 on the kernels.

    Example:
        >>> user, item = tf.keras.Input([6]), tf.keras.Input([None, 6])
        >>> out = FiBiNet((16,))(NetInputs({"u": user}, {"i": item}), name="teacher")
        >>> sorted(out)
        ['teacher', 'teacher_hidden', 'teacher_hidden_0']

    Reference:
        Huang et al., FiBiNET, RecSys 2019, arXiv:1905.09433.
    """

    units: tuple[int, ...] = (256, 128)
    ratio: int = 3
    dropout: float = 0.0
    l2: float = 0.0

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the layers `[B, L, units[i]]`."""
        regularizer = kernel_l2(self.l2)
        fields = inputs.fields()
        weighted = SqueezeExcitation(self.ratio, regularizer, name=f"{name}_senet")(
            fields
        )
        pairs = [
            BilinearInteraction(regularizer, name=f"{name}_{kind}")(values)
            for kind, values in (("bilinear", fields), ("senet_bilinear", weighted))
        ]
        both = tf.keras.layers.Concatenate(axis=-2, name=f"{name}_both")(pairs)
        layers = mlp(
            FlattenFields(name=f"{name}_flat")(both),
            self.units,
            name=name,
            dropout=self.dropout,
            kernel_regularizer=regularizer,
        )[1:]
        linear = first_order(inputs, name, self.l2)
        return ranker_outputs(layers[-1], layers, name, [linear])


@dataclasses.dataclass(frozen=True)
class AutoInt:
    """AutoInt with a parallel DNN (AutoInt+): self-attention among the fields.

    `E_{k+1} = relu(MHA(E_k, E_k) + E_k W_k)`, `z = w . [flat(E_n) | h_m]`. The
    attention is Keras', so scores are scaled by the root of `dim` and the heads have an
    output kernel, both unlike the paper. All features must have one width; every
    candidate has all fields.

    Args:
        blocks: Number of attention layers.
        heads: Heads of each.
        dim: Width of a head; a field is `heads * dim` wide afterwards.
        units: Widths of the deep part.
        dropout: Rate of the dropout after each deep layer.
        l2: L2 on the kernels.

    Raises:
        ValueError: If there is no attention layer.

    Example:
        >>> user, item = tf.keras.Input([6]), tf.keras.Input([None, 6])
        >>> net = AutoInt(blocks=1, units=(16,))
        >>> sorted(net(NetInputs({"u": user}, {"i": item}), name="teacher"))
        ['teacher', 'teacher_hidden', 'teacher_hidden_0']

    Reference:
        Song et al., AutoInt, CIKM 2019, arXiv:1810.11921.
    """

    blocks: int = 2
    heads: int = 2
    dim: int = 16
    units: tuple[int, ...] = (256, 128)
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(
                "AutoInt needs at least one attention layer, got blocks="
                f"{self.blocks}; without any it is a `Dnn`."
            )

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the deep part's layers `[B, L, units[i]]`."""
        layers = deep_part(self, inputs.user, inputs.item, name)
        fields = inputs.fields()
        for index in range(self.blocks):
            fields = self._attended(fields, f"{name}_attention_{index}")
        flat = FlattenFields(name=f"{name}_flat")(fields)
        both = tf.keras.layers.Concatenate(name=f"{name}_both")([flat, layers[-1]])
        return ranker_outputs(both, layers, name)

    def _attended(self, fields: tf.Tensor, name: str) -> tf.Tensor:
        """One attention layer over the axis of the fields, with its residual."""
        width, regularizer = self.heads * self.dim, kernel_l2(self.l2)
        found = tf.keras.layers.MultiHeadAttention(
            self.heads,
            self.dim,
            output_shape=width,
            attention_axes=(2,),
            kernel_regularizer=regularizer,
            name=name,
        )(fields, fields)
        residual = tf.keras.layers.Dense(
            width, use_bias=False, kernel_regularizer=regularizer, name=f"{name}_skip"
        )(fields)
        total = tf.keras.layers.Add(name=f"{name}_sum")([found, residual])
        return tf.keras.layers.ReLU(name=f"{name}_relu")(total)


@dataclasses.dataclass(frozen=True)
class SeNetDnn:
    """A small DNN over gated fields, as in COLD: a student of coarse or fine ranking.

    `g = sigmoid(W [u | i] + b)`, one gate for each field, then a DNN over the fields
    `g_f v_f`. The user's products with the first kernel are computed once (see
    `GatedDense`): beyond a `Dnn` of the same units, a candidate pays about
    `2 F d_i + 2 F_u h_1` FLOPs, whatever the width of the user's embeddings. Features
    may differ in width.

    The mean of `name_gates` over validation data ranks the features: COLD serves only
    the first of them.

    Args:
        units: Widths of the hidden layers.
        dropout: Rate of the dropout after each layer.
        l2: L2 on the kernels.

    Raises:
        ValueError: If there is no hidden layer.

    Example:
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> out = SeNetDnn((16,))(NetInputs({"u": user}, {"i": item}), name="coarse")
        >>> sorted(out)
        ['coarse', 'coarse_gates', 'coarse_hidden', 'coarse_hidden_0']

    Reference:
        Wang et al., COLD, 2020, arXiv:2007.16122.
    """

    units: tuple[int, ...] = (64, 32)
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if not self.units:
            raise ValueError("SeNetDnn needs at least one layer, got units=().")

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]`, its layers and the gates `[B, L, F]`."""
        regularizer = kernel_l2(self.l2)
        users, items = (
            [int(vector.shape[-1]) for vector in side.values()]
            for side in (inputs.users, inputs.listed)
        )
        gates = FoldedDense(
            len(users) + len(items),
            "sigmoid",
            kernel_regularizer=regularizer,
            name=f"{name}_squeeze",
        )((inputs.user, inputs.item))
        first = GatedDense(
            self.units[0],
            users,
            items,
            "relu",
            kernel_regularizer=regularizer,
            name=f"{name}_gated",
        )((inputs.user, inputs.item, gates))
        layers = mlp(
            dropped(first, self.dropout, f"{name}_gated"),
            self.units[1:],
            name=name,
            dropout=self.dropout,
            kernel_regularizer=regularizer,
        )
        outputs = ranker_outputs(layers[-1], layers, name)
        return {**outputs, f"{name}_gates": as_float32(gates, f"{name}_gates")}
