"""LightGCN: user and item vectors that are averaged along the graph of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.data.recall_batches import RecallBatches
from tfdistill.layers import SharedDot
from tfdistill.losses import MinMax, RelevanceCrossEntropy
from tfdistill.metrics.retrieval import dot_scores, retrieval_ndcg, top_k
from tfdistill.pairs import Pairs
from tfdistill.trainers import (
    Distiller,
    Evaluation,
    SubmodelCheckpoint,
    Transfer,
    fit,
)

__all__ = ["GraphEmbeddings", "lightgcn_vectors"]


class GraphEmbeddings(tf.keras.layers.Layer):
    """Vectors of users and items, averaged over their neighbourhoods.

    `e = mean_{k = 0 .. depth} A^k e_0` with free vectors e_0 `[U + I, d]` and the
    symmetrically normalised graph of pairs, `A_ui = 1 / sqrt(|u| |i|)`: no kernels, no
    activations. A call propagates the whole graph, `2 |pairs| d depth` multiplications.

    Args:
        pairs: Training pairs of users 0 .. U - 1 and items.
        num_users: U.
        dim: d.
        depth: Number of propagations.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: `(user int [B], item int [B, L])`.

    Returns:
        `(query [B, d], candidates [B, L, d])`.

    Example:
        >>> layer = GraphEmbeddings(Pairs([0, 1], [0, 1], 3), 2, dim=4)
        >>> query, candidates = layer((tf.constant([0]), tf.constant([[2, 1]])))
        >>> query.shape, candidates.shape
        (TensorShape([1, 4]), TensorShape([1, 2, 4]))

    Reference:
        He et al., LightGCN, SIGIR 2020, arXiv:2002.02126.
    """

    def __init__(
        self, pairs: Pairs, num_users: int, *, dim: int, depth: int = 2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_users, self.dim, self.depth = num_users, dim, depth
        self.num_items = pairs.num_items
        user, item = pairs.user, num_users + pairs.item
        degree = np.bincount(np.concatenate([user, item]))
        weight = 1.0 / np.sqrt(degree[user] * degree[item])
        edges = np.stack([np.r_[user, item], np.r_[item, user]], axis=1)
        size = num_users + self.num_items
        graph = tf.SparseTensor(edges, np.float32(np.r_[weight, weight]), [size, size])
        self._graph = tf.sparse.reorder(graph)

    def build(self, input_shape: Any) -> None:
        """Creates the free vectors."""
        self.free = self.add_weight(
            name="free",
            shape=(self.num_users + self.num_items, self.dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=0.1),
        )
        super().build(input_shape)

    def propagated(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the vectors of all users `[U, d]` and of all items `[I, d]`."""
        layer = total = tf.convert_to_tensor(self.free)
        for _ in range(self.depth):
            layer = tf.sparse.sparse_dense_matmul(self._graph, layer)
            total += layer
        mean = total / (self.depth + 1.0)
        return mean[: self.num_users], mean[self.num_users :]

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Propagates and gathers."""
        users, items = self.propagated()
        return tf.gather(users, inputs[0]), tf.gather(items, inputs[1])


def lightgcn_vectors(
    data: ImplicitFeedback,
    directory: Path,
    *,
    dim: int = 64,
    depth: int = 2,
    epochs: int = 40,
    learning_rate: float = 2e-2,
    batch_size: int = 512,
    shared: int = 2,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Trains LightGCN and returns its vectors at the best validation epoch.

    It learns by a softmax over each user's items and `batch_size * shared` drawn ones,
    where the paper has BPR: on sparse data the best epoch is then among the first ten.
    A killed training goes on where it stopped.

    Args:
        data: Training pairs, and validation pairs that choose the epoch.
        directory: Where checkpoints are kept.
        dim: Width of the vectors.
        depth: Number of propagations.
        epochs: Passes over the training pairs.
        learning_rate: Of Adam.
        batch_size: Examples in a batch.
        shared: Drawn items per example.
        seed: Seed of the weights and the batches.

    Returns:
        User vectors `[U, dim]` and item vectors `[I, dim]`, for
        `tfdistill.metrics.dot_scores`.

    Example:
        >>> pairs = [Pairs([0, 1], items, 12) for items in ([0, 1], [1, 0], [2, 2])]
        >>> data = ImplicitFeedback("mine", 2, *pairs)
        >>> import tempfile
        >>> users, items = lightgcn_vectors(
        ...     data, Path(tempfile.mkdtemp()), dim=4, epochs=1, batch_size=2
        ... )
        >>> users.shape, items.shape
        ((2, 4), (12, 4))
    """
    tf.keras.utils.set_random_seed(seed)
    vectors = GraphEmbeddings(data.train, data.num_users, dim=dim, depth=depth)
    user = tf.keras.Input([], dtype="int64", name="user_id")
    item = tf.keras.Input([None], dtype="int64", name="item_id")
    scores = SharedDot(shared)(vectors((user, item)))
    model = tf.keras.Model({"user_id": user, "item_id": item}, {"score": scores})
    softmax = RelevanceCrossEntropy(MinMax(top=1.0))
    labels = Transfer("labels", None, "score", softmax, labels="score", weights="score")
    trained = Distiller(model, [labels])
    trained.compile(tf.keras.optimizers.Adam(learning_rate))
    batches = RecallBatches(
        data.users,
        data.items,
        data.train,
        batch_size=batch_size,
        shared=shared,
        output="score",
        seed=seed,
    )

    def propagated() -> tuple[np.ndarray, np.ndarray]:
        users, items = vectors.propagated()
        return users.numpy(), items.numpy()

    def validate() -> dict[str, float]:
        top = top_k(dot_scores(*propagated()), data.num_users, 10, seen=data.train)
        return {"ndcg@10": retrieval_ndcg(top, data.valid, 10).value}

    path = directory / "lightgcn.weights.h5"
    best = SubmodelCheckpoint(model, path, monitor="val_ndcg@10", mode="max")
    fit(
        trained,
        batches,
        steps_per_epoch=batches.steps_per_epoch,
        epochs=epochs,
        callbacks=[Evaluation(validate, every=2), best],
        backup_dir=directory / "backup",
        config={"depth": depth, "seed": seed, "valid": data.valid.fingerprint},
        verbose=0,
    )
    best.restore()
    return propagated()
