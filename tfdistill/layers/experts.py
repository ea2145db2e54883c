"""Distillation experts: several projections, one chosen per row by the teacher."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfdistill import _keras
from tfdistill.layers.kernels import stacked_glorot

__all__ = ["DistillationExperts"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class DistillationExperts(tf.keras.layers.Layer):
    """Projects a student's vectors to the teacher's width with the expert they need.

    h = sum_m c_m E_m(h_s),  c = softmax((log softmax(v(h_t)) + g) / tau)

    with two-layer experts E_m of width (d_s + d_t) / 2, a linear selector v on the
    teacher's vector and Gumbel noise g. tau falls geometrically from `start` to `end`
    over `steps` training calls, so that a mixture becomes a choice. A function of
    (seed, call number), which is saved in checkpoints; without training there is no
    noise. Used under a `Hint` towards the teacher's vector, and dropped at export: one
    projection for all users and items fits worse than experts for groups of them.

    Args:
        width: d_t, width of the teacher's vectors.
        experts: M.
        start: First temperature tau.
        end: Last temperature tau.
        steps: Training calls over which tau falls.
        seed: Seed of the noise.
        name: Name of the layer.
        dtype: The layer's dtype or policy.
        trainable: Whether experts and selector are trained.

    Raises:
        ValueError: If a number isn't above 0 and finite.

    Shapes:
        `(student [..., d_s], teacher [..., d_t])` -> `(projected [..., d_t],
        selection [..., M])`; the selection is an `assignment` for
        `HierarchicalTopology`.

    Example:
        >>> layer = DistillationExperts(8, experts=3)
        >>> h, selection = layer((tf.ones([4, 2]), tf.ones([4, 8])))
        >>> h.shape.as_list(), selection.shape.as_list()
        ([4, 8], [4, 3])

    Reference:
        Kang et al., DE-RRD, arXiv:2012.04357.
    """

    def __init__(
        self,
        width: int,
        *,
        experts: int = 30,
        start: float = 1.0,
        end: float = 1e-10,
        steps: int = 10_000,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        numbers = {"width": width, "experts": experts, "start": start}
        numbers |= {"end": end, "steps": steps}
        for key, value in numbers.items():
            if not 0 < value < math.inf:
                raise ValueError(
                    f"`{key}` must be above 0, got {value!r}. Take a finite one."
                )
        self.width = width
        self.experts = experts
        self.start = start
        self.end = end
        self.steps = steps
        self.seed = seed
        self.selector = tf.keras.layers.Dense(experts, name="selector")
        self.step = _keras.add_step_counter(self)

    def build(self, input_shape: Any) -> None:
        """Makes the experts' kernels.

        Args:
            input_shape: Shapes of the student's and the teacher's vectors.
        """
        narrow = int(input_shape[0][-1])
        middle = (narrow + self.width + 1) // 2
        sizes = {"first": (narrow, middle), "second": (middle, self.width)}
        for name, (rows, columns) in sizes.items():
            kernel = self.add_weight(
                name=f"{name}_kernel",
                shape=(self.experts, rows, columns),
                initializer=stacked_glorot(self.experts),
            )
            bias = self.add_weight(
                name=f"{name}_bias", shape=(self.experts, columns), initializer="zeros"
            )
            setattr(self, name, (kernel, bias))
        super().build(input_shape)

    def call(
        self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Projects the student's vectors.

        Args:
            inputs: The student's `[..., d_s]` and the teacher's `[..., d_t]` vectors.
            training: Whether noise is added and the temperature falls.

        Returns:
            The projected vectors `[..., d_t]` and the selection `[..., M]`.
        """
        student, teacher = inputs
        # No gradient to the teacher's vectors: they choose the expert and learn nothing
        # by it.
        scores = tf.cast(self.selector(tf.stop_gradient(teacher)), tf.float32)
        scores = tf.nn.log_softmax(scores)
        done = tf.minimum(tf.cast(self.step, tf.float32) / self.steps, 1.0)
        temperature = self.start * (self.end / self.start) ** done
        if training:
            # By the checkpointed step, so that a run that goes on draws the same noise.
            seed = tf.stack([tf.constant(self.seed, tf.int64), self.step])
            uniform = tf.random.stateless_uniform(tf.shape(scores), seed, minval=1e-20)
            scores -= tf.math.log(-tf.math.log(uniform))
            self.step.assign_add(1)
        selection = tf.cast(tf.nn.softmax(scores / temperature), student.dtype)
        (kernel_1, bias_1), (kernel_2, bias_2) = self.first, self.second
        hidden = tf.einsum("...d,mdh->...mh", student, kernel_1) + bias_1
        experts = tf.einsum("...mh,mhw->...mw", tf.nn.relu(hidden), kernel_2) + bias_2
        return tf.einsum("...m,...mw->...w", selection, experts), selection

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments.

        Returns:
            A JSON-serialisable dict.
        """
        return {
            **super().get_config(),
            "width": self.width,
            "experts": self.experts,
            "start": self.start,
            "end": self.end,
            "steps": self.steps,
            "seed": self.seed,
        }
