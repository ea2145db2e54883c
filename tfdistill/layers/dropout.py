"""Dropout whose masks are a function of a seed and a checkpointed step."""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf

from tfdistill import _keras

__all__ = ["SteppedDropout"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class SteppedDropout(tf.keras.layers.Layer):
    """Dropout that a resumed run repeats exactly.

    In training, element x of call number s becomes:

        x / (1 - rate)  if uniform(seed, s) >= rate,  else 0

    s is a variable of the layer, saved in every checkpoint and raised by each training
    call; nothing else is random and no generator has a state. `tf.keras.layers.
    Dropout` starts a new stream in a resumed process, and with
    `rng_type="stateless"` it repeats one mask at every step. Evaluation and
    prediction return the input and change no variable.

    Use it in place of `tf.keras.layers.Dropout` in whatever is trained with
    `tfdistill.trainers.fit`. Each replica of a `tf.distribute` strategy draws its
    own masks; XLA draws others than plain TensorFlow, as repeatable.

    Args:
        rate: Share of elements set to 0, in [0, 1).
        seed: An integer; layers with equal seeds draw equal numbers. By default one is
            drawn for each layer from Python's `random`, which
            `tf.keras.utils.set_random_seed` seeds together with the initial weights.
        name: Name of the layer.
        dtype: The layer's dtype or `tf.keras.mixed_precision` policy.
        trainable: The layer has nothing to train; at False, as in a net that has been
            frozen, it drops nothing.

    Raises:
        ValueError: `rate` is not in [0, 1).

    Shapes:
        Any float tensor in, the same shape and dtype out.

    Example:
        >>> layer = SteppedDropout(0.5, seed=1)
        >>> first, second = (layer(tf.ones([2, 4]), training=True) for _ in range(2))
        >>> bool(tf.reduce_all(first == second)), int(layer.step)
        (False, 2)
        >>> again = SteppedDropout(0.5, seed=1)(tf.ones([2, 4]), training=True)
        >>> bool(tf.reduce_all(first == again))
        True

    Reference:
        Srivastava et al., "Dropout", JMLR 2014; Hinton et al., arXiv:1207.0580.
    """

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if not 0 <= rate < 1:
            raise ValueError(
                f"`rate` must be in [0, 1), got rate={rate}. It is the share of "
                "elements that is dropped."
            )
        self.rate = rate
        self.seed = random.getrandbits(31) if seed is None else seed
        self.step = _keras.add_step_counter(self)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Drop elements in training.

        Args:
            inputs: `[...]` float.
            training: Whether to drop.

        Returns:
            `[...]`, of the dtype of `inputs`.
        """
        if not (training and self.trainable) or self.rate == 0:
            return inputs
        replica = tf.distribute.get_replica_context()
        stream = self.step * replica.num_replicas_in_sync + tf.cast(
            replica.replica_id_in_sync_group, tf.int64
        )
        uniform = tf.random.stateless_uniform(
            tf.shape(inputs), tf.stack([self.seed, stream]), alg="philox"
        )
        self.step.assign_add(1)
        scaled = inputs * tf.cast(1 / (1 - self.rate), inputs.dtype)
        return tf.where(uniform >= self.rate, scaled, tf.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
