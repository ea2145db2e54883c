"""k-means in numpy, for the lists of an index."""

from __future__ import annotations

import numpy as np

__all__ = ["k_means", "nearest"]

_BLOCK = 8192
_ROUNDS = 6
_PER_CENTROID = 32  # vectors that are enough to place one centroid


def k_means(vectors: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Places centroids so that vectors are near to one: Lloyd's algorithm.

    Six rounds over at most 32 vectors for each centroid, drawn at random; a centroid
    that has lost all its vectors starts again at one of them.

    Args:
        vectors: float32 `[I, d]`.
        count: Number of centroids, at most I.
        seed: Seed of the draws.

    Returns:
        Centroids float32 `[count, d]`.

    Example:
        >>> sorted(k_means(np.array([[0.0], [1.0], [8.0], [9.0]]), 2).ravel().tolist())
        [0.5, 8.5]

    Reference:
        Lloyd, "Least Squares Quantization in PCM", 1982.
    """
    rng = np.random.default_rng(seed)
    size = min(len(vectors), count * _PER_CENTROID)
    sample = vectors[rng.choice(len(vectors), size, replace=False)]
    centroids = sample[:count].copy()
    for _ in range(_ROUNDS):
        owner = nearest(sample, centroids)
        used, first, sizes = np.unique(
            np.sort(owner), return_index=True, return_counts=True
        )
        # Each centroid's vectors lie in one stretch, so that one pass sums them all.
        sums = np.add.reduceat(sample[np.argsort(owner, kind="stable")], first, axis=0)
        centroids[used] = sums / sizes[:, np.newaxis]
        # A centroid without a vector begins anew at one drawn.
        lost = np.setdiff1d(np.arange(count), used)
        centroids[lost] = sample[rng.choice(size, len(lost), replace=False)]
    return centroids


def nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Finds the nearest centroid of each vector by Euclidean distance, in blocks.

    Args:
        vectors: `[I, d]`.
        centroids: `[C, d]`.

    Returns:
        int64 `[I]`.

    Example:
        >>> nearest(np.array([[0.2], [0.9]]), np.array([[0.0], [1.0]])).tolist()
        [0, 1]
    """
    # |v - c|^2 is least where v.c - |c|^2 / 2 is greatest: one product and no
    # difference.
    half_norms = (centroids**2).sum(axis=1) / 2
    blocks = [
        np.argmax(vectors[at : at + _BLOCK] @ centroids.T - half_norms, axis=1)
        for at in range(0, len(vectors), _BLOCK)
    ]
    return np.concatenate([np.zeros(0, np.int64), *blocks])
