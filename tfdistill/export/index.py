"""Indexes for recall: the top-K of a catalogue, exact or by inverted lists.

Both are made of stock TensorFlow operations, so any server can run them.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, Union

import numpy as np
import tensorflow as tf

from tfdistill.export.k_means import k_means, nearest

__all__ = ["ExactIndex", "Index", "IndexReport", "Ivf", "IvfIndex", "Size"]

_USUAL_K = 100  # the exact index is fastest for about so many results
_BLOCK = 64  # queries at once when the exact top-K of many is found
_LEAST_WIDTH = 8
_LIMIT = 1e9  # of what a query may hold, so that no score is NaN or infinite
_PADDING = -1e30  # score of a place that holds no item

Size = Union[int, tf.Tensor]
"""A number of results: known when tracing, or an int32 scalar."""


class Index(Protocol):
    """What finds the best items of a catalogue of `size` items for query vectors."""

    @property
    def size(self) -> int:
        """Number of items I."""

    def search(self, queries: tf.Tensor, k: Size) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns rows int32 `[B, k]` and scores `[B, k]` for `[B, d]`, best first."""


class ExactIndex:
    """The exact top-K by inner product: every item is scored.

    `rows = argtop_k(q . x_i)`. The top-K of I scores is taken in two steps: the K
    blocks of `sqrt(I / 100)` items whose maxima are greatest hold the K best items, so
    only they are searched. `IvfIndex` is for large catalogues.

    Args:
        vectors: Item vectors, float `[I, d]`.

    Raises:
        ValueError: If they are no finite matrix.

    Example:
        >>> index = ExactIndex(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        >>> rows, scores = index.search(tf.constant([[2.0, 1.0]]), k=2)
        >>> rows.numpy().tolist(), scores.numpy().tolist()
        ([[2, 0]], [[3.0, 2.0]])
    """

    def __init__(self, vectors: Any) -> None:
        vectors = _checked(vectors)
        self._vectors = tf.Variable(vectors, trainable=False, name="index_vectors")
        self._width = max(1, round((self.size / _USUAL_K) ** 0.5))

    @property
    def size(self) -> int:
        """Number of items I."""
        return int(self._vectors.shape[0])

    def search(self, queries: tf.Tensor, k: Size) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best items.

        Args:
            queries: float32 `[B, d]`; NaN counts as 0.
            k: At most I.

        Returns:
            Rows int32 `[B, k]` and scores float32 `[B, k]`, best first; of equal scores
            the lower row.
        """
        width, batch = self._width, tf.shape(queries)[0]
        scores = tf.matmul(_finite(queries), self._vectors, transpose_b=True)  # [B, I]
        missing = -self.size % width
        if missing:
            padding = [[0, 0], [0, missing]]
            scores = tf.pad(scores, padding, constant_values=scores.dtype.min)
        count = (self.size + missing) // width
        blocks = tf.reshape(scores, [batch, count, width])
        taken = tf.minimum(k, count)
        # k of the best lie in at most k blocks, those with the k highest maxima: the
        # rest need not be sorted. About sqrt(I / k) wide, both steps cost alike.
        chosen = tf.math.top_k(tf.reduce_max(blocks, axis=2), taken).indices
        chosen = tf.sort(chosen, axis=1)  # equal scores stay in the order of the rows
        scores = tf.gather(blocks, chosen, batch_dims=1)
        scores = tf.reshape(scores, [batch, taken * width])
        best, at = tf.math.top_k(scores, k)
        rows = tf.gather(chosen, at // width, batch_dims=1) * width + at % width
        return rows, best


class IvfIndex:
    """Inverted lists: only the items of the most promising lists are scored.

    k-means puts each item to its nearest centroid; what one centroid has is cut into
    lists of at most `width` items, by length of their vectors. A query goes to the
    `probes` lists with the greatest `q . mean_j`, or to more if so many may hold fewer
    than K items. With all lists probed it is exact. It pays for large
    catalogues; measure it on real queries: `recall_by_probes`.

    Near is what scores alike for the queries: their distance is
    `E_q (q . (x - c))^2 + mean(q^2) |x - c|^2`, since few directions matter to real
    users. A sixth to a quarter fewer lists then find as much.

    Args:
        vectors: Item vectors, float `[I, d]`.
        queries: Query vectors of real users, `[Q, d]`; by default all directions
            matter alike.
        width: Most items of a list, W; by default `sqrt(I) / 6`, which makes the lists'
            means cost about as much as the items.
        probes: How many lists to search.
        seed: Seed of the k-means.

    Raises:
        ValueError: If the vectors are no finite matrix or a number is out of range.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> index = IvfIndex(vectors, width=2)
        >>> index.search(tf.constant([[1.0, 0.0]]), k=2)[0].numpy().tolist()
        [[0, 1]]

    Reference:
        Jégou et al., "Product Quantization for Nearest Neighbor Search", TPAMI 2011,
        section 4 (inverted lists).
    """

    def __init__(
        self,
        vectors: Any,
        *,
        queries: np.ndarray | None = None,
        width: int | None = None,
        probes: int = 1,
        seed: int = 0,
    ) -> None:
        vectors = _checked(vectors)
        width = (
            max(_LEAST_WIDTH, round(len(vectors) ** 0.5 / 6)) if not width else width
        )
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}.")
        order, first = _lists(vectors, queries, width, seed)
        counts = np.diff(first, append=len(vectors))
        self.lists, self.probes = len(first), probes
        if not 1 <= probes <= self.lists:
            raise ValueError(
                f"probes must be from 1 to the {self.lists} lists, got {probes}."
            )
        owner = np.repeat(np.arange(self.lists), counts)
        place = owner, np.arange(len(vectors)) - first[owner]
        self._list = np.empty(len(vectors), np.int64)
        self._list[order] = owner
        # How many items the n smallest lists have together: so many any n lists have at
        # least.
        self._smallest = np.cumsum(np.sort(counts)).astype(np.int32)
        # The last column has no part in an item's score and rules out a place for none.
        listed = np.zeros([self.lists, width, vectors.shape[1] + 1], np.float32)
        listed[..., -1] = _PADDING
        listed[place] = np.pad(vectors[order], [(0, 0), (0, 1)])
        rows = np.zeros([self.lists, width], np.int32)
        rows[place] = order
        sums = np.add.reduceat(vectors[order], first, axis=0)
        self._means, self._vectors, self._rows = (
            tf.Variable(value, trainable=False, name=f"index_{name}")
            for name, value in {
                "means": sums / counts.astype(np.float32)[:, np.newaxis],
                "vectors": listed,
                "rows": rows,
            }.items()
        )

    @property
    def size(self) -> int:
        """Number of items I."""
        return len(self._list)

    def search(self, queries: tf.Tensor, k: Size) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best items of the probed lists.

        Args:
            queries: float32 `[B, d]`; NaN counts as 0.
            k: At most I.

        Returns:
            Rows int32 `[B, k]` and scores float32 `[B, k]`, best first; equal scores in
            any order.
        """
        queries, (_, width, columns) = _finite(queries), self._vectors.shape
        batch, probes = tf.shape(queries)[0], self._probes(k)
        near = tf.matmul(queries, self._means, transpose_b=True)  # [B, lists]
        lists = tf.math.top_k(near, probes).indices  # [B, P], best first
        items = tf.gather(self._vectors, lists)  # [B, P, W, d + 1]
        items = tf.reshape(items, [batch, probes * width, columns])
        # The column behind the item's own meets a 1: it adds 0 to items, _PADDING to
        # padding.
        queries = tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0)
        scores = tf.cond(  # for one user a plain product takes half the time
            batch == 1,
            lambda: tf.matmul(queries, items[0], transpose_b=True),
            lambda: tf.matmul(queries[:, tf.newaxis], items, transpose_b=True)[:, 0],
        )
        best, at = tf.math.top_k(scores, k)
        rows = tf.reshape(tf.gather(self._rows, lists), [batch, probes * width])
        return tf.gather(rows, at, batch_dims=1), best

    def least_probes(self, k: int) -> int:
        """Returns the number of smallest lists that hold K items: any so many do."""
        return int(np.searchsorted(self._smallest, k)) + 1

    def _probes(self, k: Size) -> Size:
        """The number of probes, known when tracing if k is."""
        if isinstance(k, int):
            return max(self.probes, self.least_probes(k))
        return tf.maximum(tf.searchsorted(self._smallest, [k])[0] + 1, self.probes)

    def recall_by_probes(self, queries: np.ndarray, exact: np.ndarray) -> np.ndarray:
        """Measures what is found by the number of probed lists.

        Args:
            queries: Query vectors of real users, `[Q, d]`.
            exact: Rows of their exact top-K, int `[Q, K]`.

        Returns:
            float64 `[lists]`: at p - 1 the share of the exact top-K that p probes find.
        """
        near = np.argsort(-(queries @ self._means.numpy().T), axis=1)
        # Rank of each list among a query's; a best item is found from that many probes
        # on.
        place = np.empty_like(near)
        np.put_along_axis(place, near, np.arange(self.lists)[np.newaxis], axis=1)
        found = np.take_along_axis(place, self._list[exact], axis=1)  # [Q, K]
        counts = np.bincount(found.ravel(), minlength=self.lists)
        return np.cumsum(counts) / found.size


@dataclasses.dataclass(frozen=True)
class Ivf:
    """The settings of an `IvfIndex` of a wanted recall.

    Args:
        recall: The least share of the exact top-K to find, in (0, 1]; the number of
            probes is chosen for it on the queries given.
        width: See `IvfIndex`.
        seed: Seed of the k-means.

    Raises:
        ValueError: If the recall is out of range.

    Example:
        >>> vectors = np.random.default_rng(0).normal(size=(50, 2))
        >>> index, report = Ivf(recall=0.9).build(vectors, vectors, k=5)
        >>> report.recall >= 0.9
        True
    """

    recall: float = 0.98
    width: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.recall <= 1.0:
            raise ValueError(f"recall must be in (0, 1], got {self.recall}.")

    def build(
        self, vectors: np.ndarray, queries: np.ndarray, k: int
    ) -> tuple[IvfIndex, IndexReport]:
        """Builds the index and measures it.

        Args:
            vectors: Item vectors, `[I, d]`.
            queries: Query vectors of real users, `[Q, d]`.
            k: The K that recall is measured at.

        Returns:
            The index, and what it finds.
        """
        exact = ExactIndex(vectors)
        best = _exact_rows(exact, queries, k)
        queries = _finite(queries).numpy()
        index = IvfIndex(vectors, queries=queries, width=self.width, seed=self.seed)
        found = index.recall_by_probes(queries, best)
        wanted = int(np.searchsorted(found, self.recall)) + 1
        index.probes = max(wanted, index.least_probes(k))
        recall = float(found[index.probes - 1])
        return index, IndexReport(
            index.size, k, recall, len(queries), index.lists, index.probes
        )


@dataclasses.dataclass(frozen=True)
class IndexReport:
    """What an index holds and finds: the file `index.json` of an export.

    Attributes:
        items: Number of items.
        k: K of the recall.
        recall: Mean share of the exact top-K that it finds: 1 if it is exact.
        queries: Number of queries that this was measured on.
        lists: Number of inverted lists, 0 for the exact index.
        probes: How many of them are searched.

    Example:
        >>> print(IndexReport(items=2000, k=100))
        2,000 items, all searched: the exact top 100
    """

    items: int
    k: int
    recall: float = 1.0
    queries: int = 0
    lists: int = 0
    probes: int = 0

    def __str__(self) -> str:
        """One sentence."""
        if not self.lists:
            return f"{self.items:,} items, all searched: the exact top {self.k}"
        return (
            f"{self.items:,} items in {self.lists:,} lists, {self.probes} of them "
            f"searched: {100 * self.recall:.1f} % of the exact top {self.k}, measured "
            f"on {self.queries:,} queries"
        )


def _lists(
    vectors: np.ndarray, queries: np.ndarray | None, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the order of their lists `[I]`, and where each list begins `[lists]`.

    A list has at most `width` items; centroids with few are dissolved, since a short
    list isn't worth a probe.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    if queries is not None:
        vectors = vectors @ _metric(queries)
    centroids = k_means(vectors, -(-len(vectors) // width), seed=seed)
    owner = nearest(vectors, centroids)
    sizes = np.bincount(owner, minlength=len(centroids))
    kept = np.flatnonzero(sizes >= min(width / 4, sizes.max()))
    homeless = np.flatnonzero(~np.isin(owner, kept))
    owner[homeless] = kept[nearest(vectors[homeless], centroids[kept])]
    # A list that is too long is cut by length: alike vectors stay together.
    order = np.lexsort((lengths, owner))
    owner, sizes = owner[order], np.bincount(owner)[owner[order]]
    place = np.arange(len(vectors)) - np.searchsorted(owner, owner)
    part = place * -(-sizes // width) // sizes  # of the owner's equal parts
    begins = (np.diff(owner, prepend=-1) != 0) | (np.diff(part, prepend=0) != 0)
    return order, np.flatnonzero(begins)


def _metric(queries: np.ndarray) -> np.ndarray:
    """A factor `[d, d]` whose products differ as scores of queries do."""
    moment = queries.T @ queries / len(queries)
    mean = np.trace(moment) / len(moment)
    if not mean > 0:  # no query says anything
        return np.eye(len(moment), dtype=np.float32)
    # Plus the identity: a direction that no query has counts a little, too.
    moment = moment / mean + np.eye(len(moment))
    return np.linalg.cholesky(moment).astype(np.float32)


def _exact_rows(index: ExactIndex, queries: np.ndarray, k: int) -> np.ndarray:
    """Rows `[Q, k]` of the exact top-K, by blocks of queries."""
    blocks = [
        index.search(tf.constant(queries[at : at + _BLOCK]), k)[0].numpy()
        for at in range(0, len(queries), _BLOCK)
    ]
    return np.concatenate(blocks)


def _finite(queries: Any) -> tf.Tensor:
    """The queries, 0 where NaN or so great that a sum of products isn't finite."""
    queries = tf.cast(queries, tf.float32)
    return tf.where(tf.abs(queries) < _LIMIT, queries, 0.0)


def _checked(vectors: Any) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise ValueError(
            "An index takes a matrix [I, d] of finite item vectors, got shape "
            f"{vectors.shape} with {int((~np.isfinite(vectors)).sum())} that are not "
            "finite. Check the item tower's inputs."
        )
    return vectors
