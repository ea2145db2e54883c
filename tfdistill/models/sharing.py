"""What the nets of a joint network share, and whose gradient reaches it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping

import tensorflow as tf

from tfdistill.layers.embeddings import FeatureEmbeddings, audiences
from tfdistill.layers.fields import FieldProjection
from tfdistill.layers.gradients import GradientBlock
from tfdistill.models.inputs import NetInputs
from tfdistill.names import safe_name
from tfdistill.spec import LISTED, FeatureSpec

__all__ = ["Representation", "Sharing"]


@dataclasses.dataclass(frozen=True)
class Representation:
    """A shared projection of every feature to one width: `r_f = act(x_f W_f + b_f)`.

    Args:
        units: Width of every field.
        activation: Name of the activation; None is linear.

    Example:
        >>> Representation(16, "relu").units
        16
    """

    units: int
    activation: str | None = None


class Sharing:
    """Embeds every feature once, and gives each net what it may read of it.

    Features that the same nets read share one gather (and one projection), so that no
    net depends on a feature that it does not read.

    Args:
        spec: The features.
        uses: For each net, the names of the features that it reads.
        blocked: The nets that train nothing that another net reads.
        representation: The shared projection above the tables, if any.
        inputs: The features' Keras inputs.
        name: Of the net, if it shares with no other: a prefix of the layers' names.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        uses: Mapping[str, Iterable[str]],
        blocked: Collection[str],
        representation: Representation | None,
        inputs: Mapping[str, tf.Tensor],
        name: str = "",
    ) -> None:
        self._inputs, self._prefix = inputs, f"{safe_name(name)}_" if name else ""
        self.embeddings = FeatureEmbeddings(spec, name=f"{self._prefix}embeddings")
        self._spec, self._uses, self._blocked = spec, uses, set(blocked)
        # Who trains the tables where some nets may not. A feature that only blocked
        # nets read is blocked for all if its table has an owner.
        owners = set(uses) - self._blocked if blocked else ()
        self._features = {name for net in owners for name in uses[net]}
        self._tables = {spec[name].table for name in self._features} - {None}
        self._embedded: dict[str, tf.Tensor] = {}
        self._vectors: dict[str, tf.Tensor] = {}
        for group in audiences(spec, uses):
            self._embed(group, representation)

    def _embed(self, group: Iterable[str], shared: Representation | None) -> None:
        """Embeds and projects the features of one audience."""
        found = self.embeddings({name: self._inputs[name] for name in group})
        self._embedded.update(found)
        vectors = {
            name: x if name in self._features else self._without_table(name, x)
            for name, x in found.items()
        }
        if shared is not None:
            name = f"{self._prefix}representation_{safe_name(next(iter(found)))}"
            layer = FieldProjection(shared.units, shared.activation, name=name)
            vectors = layer(vectors)
        self._vectors.update(vectors)

    def read_by(self, net: str) -> NetInputs:
        """Returns the features of a net, behind a block where others own them."""
        spec = self._spec.select(self._uses[net])
        vectors, embedded = self._vectors, self._embedded
        if net in self._blocked:
            embedded = {n: self._without_table(n, embedded[n]) for n in spec.names}
            vectors = {
                n: GradientBlock()(vectors[n]) if n in self._features else vectors[n]
                for n in spec.names
            }
        users, items, pairs = (
            {feature.name: vectors[feature.name] for feature in spec.scope(scope)}
            for scope in ("user", *LISTED)
        )
        seen = {name: embedded[name] for name in spec.names}
        unpooled = functools.partial(self._sequence, net)
        return NetInputs(users, items, pairs, seen, unpooled)

    def _sequence(self, net: str, name: str) -> tuple[tf.Tensor, tf.Tensor]:
        """The vectors of a net's sequence and their mask."""
        spec = self._spec.select(self._uses[net])
        sequences = [f.name for f in spec.scope("user") if f.shape and f.table]
        if name not in sequences:
            raise ValueError(
                f"Net {net!r} reads no user sequence {name!r}, only {sequences}."
            )
        vectors, mask = self.embeddings({name: self._inputs[name]}, pool=False)[name]
        if net in self._blocked:
            vectors = self._without_table(name, vectors)
        return vectors, mask

    def _without_table(self, name: str, vectors: tf.Tensor) -> tf.Tensor:
        """Blocks the gradient to a table that an unblocked net trains."""
        owned = self._spec[name].table in self._tables
        return GradientBlock()(vectors) if owned else vectors
