"""Multi-task rankers: several logits over shared experts."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tfdistill.layers.gating import GatedSum
from tfdistill.layers.towers import FoldedDense, folded_mlp, mlp
from tfdistill.models.architectures import kernel_l2, ranker_outputs
from tfdistill.models.inputs import NetInputs
from tfdistill.names import check_name, renamed, safe_name

__all__ = ["Mmoe"]


@dataclasses.dataclass(frozen=True)
class Mmoe:
    """MMoE: experts shared by all tasks, mixed by a gate of each task.

    `z_t = w_t . h_t(sum_e g_te(x) f_e(x))` with `g_t = softmax(W_t x + b_t)`, experts
    f_e, towers h_t and `x = [u | i]`; experts and gates are folded. As a teacher its
    logits and towers teach students task by task; with one expert of few units it is a
    small multi-task student (shared bottom: there is nothing to choose, and no gate).

    Args:
        tasks: Names of the tasks.
        experts: Number of experts.
        units: Widths of the layers of each expert.
        tower: Widths of the layers of each task's tower, at least one.
        dropout: Rate of the dropout after each layer.
        l2: L2 on the kernels.

    Raises:
        ValueError: If there are no tasks, experts or tower layers, or a task repeats.

    Example:
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> net = Mmoe(("click", "like"), units=(16,), tower=(8,))
        >>> out = net(NetInputs({"u": user}, {"i": item}), name="teacher")
        >>> [name for name in out if "click" in name]
        ['teacher_click', 'teacher_click_hidden', 'teacher_click_hidden_0']

    Reference:
        Ma et al., Multi-gate Mixture-of-Experts, KDD 2018,
        doi:10.1145/3219819.3220007.
    """

    tasks: tuple[str, ...]
    experts: int = 4
    units: tuple[int, ...] = (128,)
    tower: tuple[int, ...] = (64,)
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise ValueError(
                f"Mmoe needs tasks of different names, got tasks={self.tasks!r}."
            )
        for task in self.tasks:
            check_name("Mmoe: task", task)
        if self.experts < 1 or not self.tower:
            raise ValueError(
                "Mmoe needs at least one expert and one layer in its towers, got "
                f"experts={self.experts} and tower={self.tower}."
            )

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        """Returns `name_task` `[B, L]` and the tower's layers for each task."""
        sides, regularizer = (inputs.user, inputs.item), kernel_l2(self.l2)
        options = {"dropout": self.dropout, "kernel_regularizer": regularizer}
        experts = [
            folded_mlp(*sides, self.units, name=f"{name}_expert_{index}", **options)[-1]
            for index in range(self.experts)
        ]
        outputs: dict[str, tf.Tensor] = {}
        for task in self.tasks:
            label = f"{name}_{safe_name(task)}"
            mixed = self._mixed(experts, sides, label)
            layers = mlp(mixed, self.tower, name=label, **options)[1:]
            found = ranker_outputs(layers[-1], layers, label)
            outputs.update(renamed(found, label, f"{name}_{task}"))
        return outputs

    def _mixed(
        self, experts: list[tf.Tensor], sides: tuple[tf.Tensor, tf.Tensor], label: str
    ) -> tf.Tensor:
        """The experts as a task's gate mixes them; one alone needs no gate."""
        if len(experts) == 1:
            return experts[0]
        gates = FoldedDense(
            self.experts,
            "softmax",
            kernel_regularizer=kernel_l2(self.l2),
            name=f"{label}_gates",
        )(sides)
        return GatedSum(name=f"{label}_mixture")((gates, experts))
