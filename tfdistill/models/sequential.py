"""Rankers that attend to a user's behaviours: DIN and a behaviour transformer."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tfdistill.layers.attention import (
    BehaviourTokens,
    TargetAttention,
    TransformerBlock,
)
from tfdistill.models.architectures import (
    TwoTower,
    deep_part,
    kernel_l2,
    ranker_outputs,
)
from tfdistill.models.inputs import NetInputs, concatenated

__all__ = ["BehaviourTransformer", "Din", "SequenceTower"]


@dataclasses.dataclass(frozen=True)
class Din:
    """DIN: a DNN that reads the behaviours which matter for each candidate.

    `z = w . h_n(... h_1([u | i | sum_j m_j a(k_j, q) k_j]))` with behaviours k, the
    candidate's q and the weight a of `TargetAttention`. The mean of the history stays
    among the user's features, where it is folded and free.

    Attention costs `2 n (d h + h)` FLOPs for each candidate with h = attention[0]; for
    500 candidates, 50 behaviours, d = 16 and h = 32 that is 27 MFLOP and a tensor of
    0.8M numbers per request.

    Args:
        behaviours: Pairs of a user sequence and the item feature that stands for the
            same thing, such as `(("history", "item_id"),)`; several pairs are
            concatenated, and the first sequence says which slots are filled.
        attention: Widths of the hidden layers of the weight a.
        units: Widths of the DNN.
        dropout: Rate of the dropout after each layer of the DNN.
        l2: L2 on the kernels.

    Raises:
        ValueError: If there is no pair.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
        >>> from tfdistill.models import Net, joint_network
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("history", "categorical", "user", "item", shape=(5,)),
        ...         Feature("item_id", "categorical", "item", "item"),
        ...     ),
        ...     tables=(Table("item", dim=8, size=9),),
        ... )
        >>> din = Din((("history", "item_id"),), units=(16,))
        >>> network = joint_network(spec, {"teacher": Net(din, spec.names)})
        >>> sorted(network.model.output)
        ['teacher', 'teacher_hidden', 'teacher_hidden_0']

    Reference:
        Zhou et al., Deep Interest Network, KDD 2018, arXiv:1706.06978.
    """

    behaviours: tuple[tuple[str, str], ...]
    attention: tuple[int, ...] = (32,)
    units: tuple[int, ...] = (256, 128)
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check_pairs("Din", self.behaviours)

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the layers `[B, L, units[i]]`."""
        candidates, behaviours, mask = _read(inputs, self.behaviours, name)
        interest = TargetAttention(
            self.attention,
            kernel_regularizer=kernel_l2(self.l2),
            name=f"{name}_attention",
        )((candidates, behaviours, mask))
        item = concatenated([inputs.item, interest], f"{name}_item")
        layers = deep_part(self, inputs.user, item, name)
        return ranker_outputs(layers[-1], layers, name)


@dataclasses.dataclass(frozen=True)
class BehaviourTransformer:
    """A transformer over behaviours and candidate, after BST, at the cost of DIN.

    `S_{k+1} = block_k(S_k, S_k)`, `c_{k+1} = block_k(c_k, S_k)`,
    `z = w . h_n(... h_1([u | mean(S_n) | i | c_n]))` with the tokens S of
    `BehaviourTokens` and blocks whose weights behaviours and candidate share.

    Unlike in BST, behaviours don't attend to the candidate and candidates not to each
    other, as under a causal mask. So the behaviours are encoded once per request: a
    block costs about `(20 d^2 + 4 d n) (n + L)` FLOPs instead of
    `(24 d^2 + 4 d n) n L`. Outputs of the tokens are averaged, not concatenated, and a
    position is the slot, where BST has the time that passed: give the history newest
    first.

    Args:
        behaviours: As in `Din`.
        blocks: Number of blocks.
        heads: Heads of each block; they divide the width of a behaviour.
        units: Widths of the DNN.
        dropout: Rate of the dropout in the blocks and after each layer of the DNN.
        l2: L2 on the kernels.

    Raises:
        ValueError: If there is no pair or no block.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
        >>> from tfdistill.models import Net, joint_network
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("history", "categorical", "user", "item", shape=(5,)),
        ...         Feature("item_id", "categorical", "item", "item"),
        ...     ),
        ...     tables=(Table("item", dim=8, size=9),),
        ... )
        >>> net = BehaviourTransformer((("history", "item_id"),), units=(16,))
        >>> network = joint_network(spec, {"teacher": Net(net, spec.names)})
        >>> sorted(network.model.output)
        ['teacher', 'teacher_hidden', 'teacher_hidden_0']

    Reference:
        Chen et al., Behavior Sequence Transformer, 2019, arXiv:1905.06874.
    """

    behaviours: tuple[tuple[str, str], ...]
    blocks: int = 1
    heads: int = 2
    units: tuple[int, ...] = (256, 128)
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check_pairs("BehaviourTransformer", self.behaviours)
        if self.blocks < 1:
            raise ValueError(
                "BehaviourTransformer needs at least one block, got blocks="
                f"{self.blocks}; for a history without attention take a `Dnn`."
            )

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name` `[B, L]` and the layers `[B, L, units[i]]`."""
        candidates, behaviours, mask = _read(inputs, self.behaviours, name)
        tokens, valid = BehaviourTokens(name=f"{name}_tokens")((behaviours, mask))
        for index in range(self.blocks):
            block = _block(self, name, index)
            candidates = block((candidates, tokens, valid))
            tokens = block((tokens, tokens, valid))
        summary = tf.keras.layers.GlobalAveragePooling1D(name=f"{name}_summary")(
            tokens, mask=valid
        )
        layers = deep_part(
            self,
            concatenated([inputs.user, summary], f"{name}_user"),
            concatenated([inputs.item, candidates], f"{name}_item"),
            name,
        )
        return ranker_outputs(layers[-1], layers, name)


@dataclasses.dataclass(frozen=True)
class SequenceTower(TwoTower):
    """Two towers whose user tower is a transformer over what the user took: a teacher.

    `q(u) = t_0` of `S_{k+1} = block_k(S_k, S_k)` over the tokens S of
    `BehaviourTokens`, a learned start in front; by default the items' vectors are those
    of the table that both share. After SASRec, which predicts every item of a sequence
    at once under a causal mask; here each prefix is an example of its own
    (`ImplicitFeedback.next_items`), and a position is a place, the newest first.

    Args:
        units: As in `TwoTower`, of the item tower.
        dim: As in `TwoTower`; the item tower must give the width of a behaviour.
        l2: L2 on the kernels.
        shared: As in `TwoTower`.
        behaviours: Name of the user sequence.
        blocks: Number of blocks.
        heads: Heads of each block; they divide the width of a behaviour.
        dropout: Rate of the dropout in the blocks.

    Raises:
        ValueError: If there is no block.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
        >>> from tfdistill.models import Net, joint_network
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("history", "categorical", "user", "item", shape=(5,)),
        ...         Feature("item_id", "categorical", "item", "item"),
        ...     ),
        ...     tables=(Table("item", dim=8, size=9),),
        ... )
        >>> network = joint_network(spec, {"recall": Net(SequenceTower(), spec.names)})
        >>> sorted(network.part("recall", output="recall_query", scope="user").input)
        ['history']

    Reference:
        Kang and McAuley, SASRec, ICDM 2018, arXiv:1808.09781.
    """

    units: tuple[int, ...] = ()
    dim: int | None = None
    behaviours: str = "history"
    blocks: int = 2
    heads: int = 2
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(
                f"SequenceTower needs at least one block, got blocks={self.blocks}; "
                "for the mean of a history take a `TwoTower`."
            )

    def _query(self, inputs: NetInputs, name: str) -> tf.Tensor:
        """The start's vector after the last block, where no other token is needed."""
        behaviours, mask = inputs.sequence(self.behaviours)
        tokens, valid = BehaviourTokens(name=f"{name}_tokens")((behaviours, mask))
        *others, last = (_block(self, name, index) for index in range(self.blocks))
        for block in others:
            tokens = block((tokens, tokens, valid))
        rest = int(tokens.shape[1]) - 1
        start = tf.keras.layers.Cropping1D((0, rest), name=f"{name}_start")(tokens)
        start = last((start, tokens, valid))
        return tf.keras.layers.Flatten(name=f"{name}_vector")(start)


def _block(
    net: BehaviourTransformer | SequenceTower, name: str, index: int
) -> TransformerBlock:
    """A block of the net called `name`."""
    return TransformerBlock(
        net.heads,
        net.dropout,
        kernel_regularizer=kernel_l2(net.l2),
        name=f"{name}_block_{index}",
    )


def _check_pairs(what: str, behaviours: tuple[tuple[str, str], ...]) -> None:
    if not behaviours or any(len(pair) != 2 for pair in behaviours):
        raise ValueError(
            f"{what} needs pairs of a user sequence and an item feature, such as "
            f"behaviours=(('history', 'item_id'),), got {behaviours!r}."
        )


def _read(
    inputs: NetInputs, behaviours: tuple[tuple[str, str], ...], name: str
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Candidates `[B, L, d]`, behaviours `[B, n, d]` and the mask `[B, n]`."""
    sequences = [inputs.sequence(sequence) for sequence, _ in behaviours]
    targets = [inputs.vector(target) for _, target in behaviours]
    return (
        concatenated(targets, f"{name}_candidate"),
        concatenated([vectors for vectors, _ in sequences], f"{name}_behaviours"),
        sequences[0][1],
    )
