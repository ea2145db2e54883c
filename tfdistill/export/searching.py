"""Searches of a catalogue: the best items by their rows, without some, and by ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfdistill.export.catalogue import Catalogue
from tfdistill.export.index import ExactIndex, Index, Size
from tfdistill.export.survivors import Survivors

__all__ = ["EXCLUDE", "Searcher", "best_of", "size_input"]

EXCLUDE = "exclude"
"""Name of the input that lists ids not to return."""


@dataclasses.dataclass(frozen=True, eq=False)
class Searcher:
    """An index and the ids of its rows.

    Attributes:
        index: From query vectors to rows.
        catalogue: From rows to ids and back.
    """

    index: Index
    catalogue: Catalogue

    def exclude_input(self, name: str) -> tf.TensorSpec:
        """Returns the input that lists ids not to return, `[B, E]`."""
        return tf.TensorSpec([None, None], self.catalogue.dtype, name=name)

    def best_without(
        self, queries: tf.Tensor, k: Size, exclude: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best items that are not excluded.

        Args:
            queries: `[B, d]`.
            k: A scalar, cut to 0 .. I.
            exclude: Ids `[B, E]`; those of no item do nothing.

        Returns:
            Rows int32 `[B, k]`, -1 where too few items are left, and scores `[B, k]`.
        """
        size = self.catalogue.size
        k = tf.clip_by_value(k, 0, size)
        excluded = self.catalogue.rows(exclude)
        # One row more, for searches in a row that is never empty.
        excluded = tf.sort(tf.pad(excluded, [[0, 0], [0, 1]], constant_values=-1))
        # So many more that k are left, whatever is excluded.
        enough = tf.minimum(k + tf.shape(exclude)[1], size)
        rows, scores = self.index.search(queries, enough)
        place = tf.searchsorted(excluded, rows)
        place = tf.minimum(place, tf.shape(exclude)[1])
        kept = tf.gather(excluded, place, batch_dims=1) != rows
        return best_of(tf.where(kept, rows, -1), scores, k)

    def answer(
        self, rows: tf.Tensor, scores: tf.Tensor, *, mask: bool = False
    ) -> dict[str, tf.Tensor]:
        """Returns `ids` and `scores`, and with `mask` also which places are filled."""
        found = {"ids": self.catalogue.ids(rows), "scores": scores}
        return {**found, "mask": rows >= 0} if mask else found

    def exclusions(self, queries: tf.Tensor) -> np.ndarray:
        """Returns ids `[B, 2]` to verify with: each query's best, and a padding."""
        best, _ = self.index.search(queries, 1)
        return self.catalogue.ids(
            tf.pad(best, [[0, 0], [0, 1]], constant_values=-1)
        ).numpy()

    def distance(
        self,
        answer: Mapping[str, np.ndarray],
        queries: np.ndarray,
        vectors: np.ndarray,
        k: int,
        exclude: np.ndarray | None = None,
    ) -> float:
        """Distance of an answer from what it should be.

        The score of each returned id is compared with the product of the vectors, and
        the ids with the best K over the catalogue; of an index that is not exact, with
        what it finds here.

        Args:
            answer: `ids [B, k]`, `scores [B, k]` and perhaps `mask [B, k]`.
            queries: What the Keras model says, `[B, d]`.
            vectors: Likewise, `[I, d]`.
            k: How many to return.
            exclude: The ids `[B, E]` that were excluded.

        Returns:
            The largest absolute difference; infinite for unknown, excluded or repeated
            ids, or another shape.
        """
        left, scores = self.survivors(queries, vectors, k, exclude)
        return left.distance(answer, self.catalogue, scores, k)

    def survivors(
        self,
        queries: np.ndarray,
        vectors: np.ndarray,
        k: int,
        exclude: np.ndarray | None = None,
    ) -> tuple[Survivors, np.ndarray]:
        """Returns what should be found, and the scores `[B, I]`; see `distance`."""
        scores, dtype = queries @ vectors.T, self.catalogue.dtype
        without = tf.zeros([len(queries), 0], dtype)
        if exclude is not None:
            without = tf.constant(exclude, dtype)
        excluded = self.catalogue.rows(without).numpy()
        allowed = np.ones(scores.shape, bool)
        users, places = np.nonzero(excluded >= 0)
        allowed[users, excluded[users, places]] = False
        if isinstance(self.index, ExactIndex):
            return Survivors(allowed, allowed).after(scores, k), scores
        rows, _ = self.best_without(tf.constant(queries), k, without)
        found = np.zeros(scores.shape, bool)
        users, places = np.nonzero(rows.numpy() >= 0)
        found[users, rows.numpy()[users, places]] = True
        return Survivors(found & allowed, found & allowed), scores


def best_of(rows: tf.Tensor, scores: tf.Tensor, k: Size) -> tuple[tf.Tensor, tf.Tensor]:
    """Orders candidates by their scores and keeps the first.

    Args:
        rows: As for `best_places`, and so are the others.
        scores: The scores.
        k: How many stay.

    Returns:
        Rows `[B, k]`, -1 where there are fewer, and scores.
    """
    best, at = best_places(rows, scores, k)
    return tf.gather(rows, at, batch_dims=1), best


def best_places(
    rows: tf.Tensor, scores: tf.Tensor, k: Size
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the places of the best candidates.

    Args:
        rows: int32 `[B, N]`, -1 where there is no candidate.
        scores: float32 `[B, N]`; NaN counts as the lowest float.
        k: How many stay, at most N.

    Returns:
        Scores `[B, k]`, the lowest float where there are fewer, and places; equal
        scores stay in the order of the candidates.
    """
    lowest = scores.dtype.min
    # -inf is below every score, the lowest float is a score that sorts last: an item
    # whose score is NaN still comes before a place without an item.
    known = tf.where(tf.math.is_nan(scores), lowest, scores)
    known = tf.where(rows >= 0, tf.maximum(known, lowest), -np.inf)
    best, at = tf.math.top_k(known, k)
    return tf.maximum(best, lowest), at


def size_input(name: str) -> tf.TensorSpec:
    """Returns the input that says how many items to keep: an int32 scalar."""
    return tf.TensorSpec([], tf.int32, name=name)
