"""LazyAdam: Adam for embedding tables, at a cost that doesn't grow with the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill import _keras

__all__ = ["LazyAdam"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class LazyAdam(tf.keras.optimizers.Adam):
    r"""Adam that reads and writes only the table rows a batch has gathered.

    For a gathered row with gradient `g` (the sum over its occurrences) at step t:

        g += rows_l2 * row
        m  = beta_1 m + (1 - beta_1) g
        v  = beta_2 v + (1 - beta_2) g^2
        row -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)

    A row that was not gathered keeps its value and its slots bit by bit. That is the
    difference from `tf.keras.optimizers.Adam`, which decays both slots of every row
    and moves every row by its old momentum at every step: three passes over the whole
    table. Where a step gathers every row, the two are the same. Dense variables are
    updated as in Keras.

    Use it for any model with embedding tables; with none it is Keras' Adam. The
    gradient of a table has to be sparse: gather from the variable itself, not from a
    cast, sliced or regularised copy of it, which makes the gradient a full table.

    Args:
        learning_rate: A float or a `LearningRateSchedule` of `iterations`.
        beta_1: Decay of the first moment, in [0, 1).
        beta_2: Decay of the second moment, in [0, 1).
        epsilon: Added to the root of the second moment.
        rows_l2: Weight of an L2 penalty `rows_l2 / 2 * |row|^2` on the distinct rows
            of each step; not on dense variables, which have `kernel_regularizer`.
        clipnorm: Upper bound of each gradient's norm. As everywhere in Keras, the norm
            of a sparse gradient counts the occurrences of a row one by one.
        clipvalue: Upper bound of each gradient element's size.
        global_clipnorm: Upper bound of the norm of all gradients together.
        amsgrad: Only False: the maximum is kept over every row.
        weight_decay: Only None: it rewrites every row. Use `rows_l2`.
        use_ema: Only False: the average is kept over every row.
        jit_compile: Only False: XLA turns the row updates into full-table ones.
        name: Name of the optimizer and its scope.

    Raises:
        ValueError: An option that would touch the whole table, or `rows_l2` < 0.

    Example:
        >>> table = tf.Variable([[1.0], [2.0], [3.0]])
        >>> optimizer = LazyAdam(learning_rate=0.1)
        >>> with tf.GradientTape() as tape:
        ...     loss = tf.reduce_sum(tf.gather(table, [0, 2, 2]))
        >>> gradients = tape.gradient(loss, [table])
        >>> step = optimizer.apply_gradients(zip(gradients, [table]))
        >>> print(table.numpy().ravel().round(2))
        [0.9 2.  2.9]

    Reference:
        Kingma & Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980.
    """

    def __init__(
        self,
        learning_rate: float
        | tf.keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        rows_l2: float = 0.0,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        use_ema: bool = False,
        jit_compile: bool = False,
        name: str = "LazyAdam",
    ) -> None:
        _refuse("amsgrad", amsgrad, "keeps a maximum over the whole table")
        _refuse("weight_decay", weight_decay, "rewrites the whole table; use `rows_l2`")
        _refuse("use_ema", use_ema, "keeps an average of the whole table")
        _refuse("jit_compile", jit_compile, "has XLA rewrite the whole table")
        if rows_l2 < 0:
            raise ValueError(
                f"`rows_l2` must be >= 0, got rows_l2={rows_l2}. Use 0 for none."
            )
        super().__init__(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            name=name,
            **_keras.ADAM_WITHOUT_XLA,
        )
        self.rows_l2 = rows_l2

    def update_step(self, gradient: Any, variable: tf.Variable, *rate: Any) -> None:
        """Update one variable; called by Keras.

        Args:
            gradient: `[rows, dim]` tensor, or IndexedSlices.
            variable: `[rows, dim]` variable.
            *rate: The learning rate, from Keras 3.
        """
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, *rate)
            return
        momentum, velocity = _keras.adam_slots(self, variable)
        rows, values = _keras.each_row_once(gradient)
        if self.rows_l2:
            values += self.rows_l2 * tf.gather(variable, rows)

        m = tf.gather(momentum, rows)
        m += (values - m) * (1 - self.beta_1)
        v = tf.gather(velocity, rows)
        v += (tf.square(values) - v) * (1 - self.beta_2)
        step = tf.cast(self.iterations + 1, variable.dtype)
        # Both corrections of Adam's bias in one factor, as in Keras.
        alpha = (
            tf.cast(self.learning_rate, variable.dtype)
            * tf.sqrt(1 - tf.pow(tf.cast(self.beta_2, variable.dtype), step))
            / (1 - tf.pow(tf.cast(self.beta_1, variable.dtype), step))
        )
        momentum.scatter_update(tf.IndexedSlices(m, rows))
        velocity.scatter_update(tf.IndexedSlices(v, rows))
        change = alpha * m / (tf.sqrt(v) + self.epsilon)
        variable.scatter_sub(tf.IndexedSlices(change, rows))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments beside those Keras writes itself."""
        return {**super().get_config(), "rows_l2": self.rows_l2}

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        custom_objects: Mapping[str, Any] | None = None,
    ) -> LazyAdam:
        """Make the optimizer from `get_config()`, without what it doesn't take."""
        unused = {"ema_momentum", "ema_overwrite_frequency", "is_legacy_optimizer"}
        unused |= {"loss_scale_factor", "gradient_accumulation_steps"}
        config = {k: v for k, v in config.items() if k not in unused}
        return super().from_config(config, custom_objects)


def _refuse(name: str, value: Any, reason: str) -> None:
    if value:
        raise ValueError(
            f"LazyAdam has no `{name}`: it {reason}, a step's cost would grow with the "
            f"table, got {name}={value}. Leave it out, or use "
            "tf.keras.optimizers.Adam."
        )
