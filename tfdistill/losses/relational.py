"""Relational losses: how the rows of a batch lie to each other, not where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill.losses import base, checks, masking, replicas

__all__ = ["Contrastive", "FullTopology", "HierarchicalTopology"]

_ONE_BATCH = "every row meets every row: the batch is one axis"


class _RelationalLoss(base.DistillationLoss):
    """Rows `[N, d]` of one batch against each other; widths may differ."""

    example_rank = 1
    item_rank = 1
    not_applicable: Mapping[str, str] = {
        "leading": _ONE_BATCH,
        "shift": "directions are compared, and a shift changes them",
    }

    def __init__(
        self,
        *,
        gather: bool = False,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.gather = gather

    def _check_shapes(self, student: tf.Tensor, teacher: tf.Tensor) -> None:
        if student.shape.rank != 2 or not student.shape[:1].is_compatible_with(
            teacher.shape[:1]
        ):
            raise ValueError(
                f"{self.name} takes one row per entity, [N, d], got student "
                f"{student.shape} and teacher {teacher.shape}. Flatten leading axes."
            )

    def _gathered(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows of all replicas with `gather`, of this one without."""
        return replicas.gather_rows(rows) if self.gather else rows

    def _cosines(self, rows: tf.Tensor) -> tf.Tensor:
        """Cosines of this replica's rows with all rows: `[N, M]`."""
        rows = _unit(rows)
        return tf.matmul(rows, self._gathered(rows), transpose_b=True)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "gather": self.gather}


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class FullTopology(_RelationalLoss):
    """Squared difference of the cosines between all rows of the batch (FTD).

    loss_i = w_i sum_j (cos(s_i, s_j) - cos(t_i, t_j))^2 / count(j)

    Transfers which users and items are alike; needs no projection, since the widths may
    differ. With equal weights the mean is ||A_s - A_t||_F^2 / N^2. For a tiny student
    the whole topology can be too hard: see `HierarchicalTopology`. Under a distribution
    strategy a replica compares its own rows, unless `gather`.

    Args:
        gather: Whether rows of all replicas are compared.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> rows = tf.random.normal([5, 8])
        >>> FullTopology()(y_true=rows, y_pred=3.0 * rows).numpy().round(6)
        0.0

    Departures:
        The paper sums over all pairs of rows; here it is a mean, so that the weight
        doesn't change with the batch.

    Reference:
        Kang et al., Topology distillation for recommender system, arXiv:2106.08700.
    """

    def _per_example(self, items: base.Items) -> tf.Tensor:
        gaps = tf.math.squared_difference(
            self._cosines(items.student), self._cosines(items.teacher)
        )
        return items.weights * masking.masked_mean(
            gaps, tf.broadcast_to(self._gathered(items.valid), tf.shape(gaps))
        )


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class HierarchicalTopology(_RelationalLoss):
    """Cosines to the groups' centres, and within groups only (HTD's topology).

    loss_i = w_i [sum_k (cos(s_i, P^s_k) - cos(t_i, P^t_k))^2 / count(groups present)
                  + sum_{j in group of i} (cos(s_i, s_j) - cos(t_i, t_j))^2 / count(j)]

    with P_k the mean of the rows assigned to group k. Easier for a small student than
    the full topology. `assignment` `[N, K]` gives each row's share in the groups:
    one-hot clusters of the teacher's embeddings, or the selection of
    `tfdistill.layers.DistillationExperts`, whose `Hint` completes HTD.

    Args:
        gather: Whether rows of all replicas are compared.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> rows = tf.random.normal([4, 8])
        >>> groups = tf.one_hot([0, 1, 1, 0], 2)
        >>> loss = HierarchicalTopology()
        >>> loss.reduce(student=rows, teacher=rows, assignment=groups).numpy()
        0.0

    Departures:
        The paper assigns groups by a trained Gumbel softmax and sums; here the
        assignment is given, both parts are means, and the hint is a loss of its own.

    Reference:
        Kang et al., Topology distillation for recommender system, arXiv:2106.08700.
    """

    inputs = ("assignment",)
    not_applicable = {
        **_RelationalLoss.not_applicable,
        "keras": "the assignment to groups doesn't fit (y_true, y_pred)",
    }

    def _per_example(self, items: base.Items) -> tf.Tensor:
        share = tf.cast(items.inputs["assignment"], tf.float32)
        share = tf.where(items.valid[:, tf.newaxis], share, 0.0)
        everyone = self._gathered(share)
        size = tf.reduce_sum(everyone, axis=0)
        present = tf.broadcast_to(size > 0.0, tf.shape(share))
        gaps = tf.math.squared_difference(
            self._to_centres(items.student, everyone, size),
            self._to_centres(items.teacher, everyone, size),
        )
        group = tf.argmax(share, axis=1)
        mates = tf.equal(group[:, tf.newaxis], self._gathered(group))
        mates &= self._gathered(items.valid)
        within = tf.math.squared_difference(
            self._cosines(items.student), self._cosines(items.teacher)
        )
        return items.weights * (
            masking.masked_mean(gaps, present) + masking.masked_mean(within, mates)
        )

    def _to_centres(
        self, rows: tf.Tensor, share: tf.Tensor, size: tf.Tensor
    ) -> tf.Tensor:
        """Cosines of the rows with the groups' centres: `[N, K]`."""
        sums = tf.matmul(share, self._gathered(rows), transpose_a=True)
        centres = tf.math.divide_no_nan(sums, size[:, tf.newaxis])
        return tf.matmul(_unit(rows), _unit(centres), transpose_b=True)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class Contrastive(_RelationalLoss):
    """InfoNCE: each student row must find its own teacher row among the batch's.

    loss_i = -w_i log softmax_j(cos(s_i, t_j) / T)[i]

    Unlike `Hint` it doesn't fit the teacher's coordinates, only that rows stay
    apart as the teacher keeps them. Needs equal widths (a projection layer) and large
    batches without repeated entities. Under a distribution strategy a replica contrasts
    its own rows, unless `gather`.

    Args:
        temperature: T > 0; a call may override it, for schedules.
        gather: Whether rows of all replicas serve as negatives.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> rows = tf.eye(2)
        >>> Contrastive(temperature=1.0)(y_true=rows, y_pred=rows).numpy().round(4)
        0.3133

    Departures:
        Tian et al. contrast with a memory of other batches by a trained critic; here
        the batch's rows are contrasted by cosines, as van den Oord et al. do.

    Reference:
        Tian et al., Contrastive representation distillation, arXiv:1910.10699; van den
        Oord et al., arXiv:1807.03748.
    """

    overrides = ("temperature",)
    not_applicable = {
        **_RelationalLoss.not_applicable,
        "minimum": "rows are pushed apart even where the student equals the teacher",
    }

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        gather: bool = False,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(gather=gather, reduction=reduction, name=name)
        self.temperature = checks.positive("temperature", temperature)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = items.inputs.get("temperature", self.temperature)
        targets = self._gathered(_unit(items.teacher))
        logits = tf.matmul(_unit(items.student), targets, transpose_b=True) / t
        allowed = items.valid[:, tf.newaxis] & self._gathered(items.valid)
        log_p = masking.masked_log_softmax(logits, allowed)
        own = tf.range(tf.shape(logits)[0])
        if self.gather:
            own += replicas.first_row(items.student)
        return -items.weights * tf.gather(log_p, own, batch_dims=1)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "temperature": self.temperature}


def _unit(rows: tf.Tensor) -> tf.Tensor:
    """Rows of length 1; the gradient at a row of zeros is finite."""
    return tf.math.l2_normalize(rows, axis=-1)
