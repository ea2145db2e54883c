"""What a net reads: the vectors of its features, by side."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import tensorflow as tf

from tfdistill import layers
from tfdistill.layers.fields import StackFields
from tfdistill.layers.towers import NoUser

__all__ = ["NetInputs"]


@dataclasses.dataclass(frozen=True)
class NetInputs:
    """The features of one net as tensors, in the forms that architectures ask for.

    `joint_network` makes it for each net. To use an architecture in your own functional
    model, give it one tensor for each side.

    Args:
        users: Vectors of the user features by name, `[B, d_f]`; a sequence is the mean
            of its embeddings. A ranker may do without any.
        items: Vectors of the item features by name, `[B, L, d_f]`.
        pairs: Those of the pair features, `[B, L, d_f]`. They are of the candidates,
            but no tower of items alone can read them.
        embedded: The same features before a shared representation; by default equal.
        unpooled: Gives the vectors `[B, n, d]` and the bool mask `[B, n]` of a user
            sequence by name, in the space of `embedded`; by default there is none.

    Raises:
        ValueError: If there is neither an item nor a pair feature.

    Example:
        >>> from tfdistill.models import Dnn
        >>> inputs = NetInputs(
        ...     {"user": tf.keras.Input([4])}, {"item": tf.keras.Input([None, 6])}
        ... )
        >>> sorted(Dnn(units=(16,))(inputs, name="fine"))
        ['fine', 'fine_hidden', 'fine_hidden_0']
    """

    users: Mapping[str, tf.Tensor]
    items: Mapping[str, tf.Tensor]
    pairs: Mapping[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    embedded: Mapping[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    unpooled: Callable[[str], tuple[tf.Tensor, tf.Tensor]] | None = None

    def __post_init__(self) -> None:
        if not self.listed:
            raise ValueError(
                f"A net reads no item feature, only {sorted(self.users)}; give it one, "
                "or all candidates score the same."
            )

    @functools.cached_property
    def user(self) -> tf.Tensor:
        """All user features side by side, `[B, d_u]`; d_u is 0 where there is none."""
        if not self.users:
            return NoUser()(next(iter(self.listed.values())))
        return concatenated(list(self.users.values()))

    @functools.cached_property
    def item(self) -> tf.Tensor:
        """All features of the candidates side by side, `[B, L, d_i]`."""
        return concatenated(list(self.listed.values()))

    @property
    def listed(self) -> dict[str, tf.Tensor]:
        """The features of the candidates: of items, then of pairs."""
        return {**self.items, **self.pairs}

    def without_pairs(self) -> NetInputs:
        """Returns what the two towers of a net can read, each its own side."""
        return dataclasses.replace(self, pairs={})

    def fields(self) -> tf.Tensor:
        """Every feature as one field, `[B, L, F, d]`; all must have one width."""
        sides = list(self.users.values()), list(self.listed.values())
        return StackFields()(sides)

    def sequence(self, name: str) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the vectors `[B, n, d]` of a user sequence and its mask `[B, n]`.

        Args:
            name: Name of the feature.

        Raises:
            ValueError: If the net reads no such sequence.
        """
        if self.unpooled is None:
            raise ValueError(
                f"There is no sequence {name!r}: NetInputs was made without `unpooled`."
            )
        return self.unpooled(name)

    def vector(self, name: str) -> tf.Tensor:
        """Returns the embedding of a feature, in the space of the sequences.

        Args:
            name: Name of the feature.

        Raises:
            ValueError: If the net does not read it.
        """
        there = self.embedded or {**self.users, **self.listed}
        if name not in there:
            raise ValueError(
                f"The net does not read the feature {name!r}, only {sorted(there)}."
            )
        return there[name]


def layer_names(names: Iterable[str], nets: Iterable[str]) -> set[str]:
    """Returns those of some names that a layer of a network may have.

    They are the names of nets, those that begin with one, and those that Keras makes of
    a layer's class and a number.

    Args:
        names: Names of features.
        nets: Names of nets.

    Example:
        >>> sorted(layer_names(["age", "fine", "fine_hidden", "dense_1"], ["fine"]))
        ['dense_1', 'fine', 'fine_hidden']
    """
    classes = {*dir(tf.keras.layers), *layers.__all__}
    made = {re.sub("(?<!^)(?=[A-Z])", "_", name).lower() for name in classes}
    owners = tuple(f"{net}_" for net in (*nets, "embeddings", "representation"))
    return {
        name
        for name in names
        if f"{name}_".startswith(owners) or re.sub(r"_\d+$", "", name) in made
    }


def concatenated(parts: Sequence[tf.Tensor], name: str | None = None) -> tf.Tensor:
    """Puts tensors side by side; one alone stays as it is."""
    return tf.keras.layers.Concatenate(name=name)(parts) if parts[1:] else parts[0]
