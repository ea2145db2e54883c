"""Cost of the losses beside TF-Ranking's: forward and gradient, time and memory.

Each loss is measured in a process of its own, in turn with its counterpart of
TF-Ranking (which gets its labels by the same or a cheaper relevance map, since it can't
take a teacher's logits) and with itself under XLA. The table gives medians of CPU time
and of wall time, ratios within one process, and the peak of the process above what it
held before the first step, from a process per variant that may use 12 GB at most.

    python benchmarks/losses.py [--rerun NAME ...]

A finished row is one line of benchmarks/results/losses.jsonl and is not measured again
unless its loss is named (`all` names every one).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import resource
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import store
import tensorflow as tf
import tensorflow_ranking as tfr
from timing import answer, as_child, child, in_turns, medians, threads

from tfdistill import losses

NAME = "losses"
LISTS = 64
SIZES = (100, 1000)
SECONDS = 3.0
MEMORY = 12 * 2**30
K = tfr.keras.losses
LAMBDA = {"lambda_weight": K.NDCGLambdaWeight(smooth_fraction=1.0)}


@dataclasses.dataclass(frozen=True)
class Rival:
    """A loss, what TF-Ranking has in its place, and the map for that.

    With `apart`, TF-Ranking's long lists are timed in the process with the limit;
    without `xla`, TF-Ranking's code doesn't compile.
    """

    ours: Callable[[int], losses.DistillationLoss]
    theirs: Callable[[int], Any] | None = None
    relevance_map: losses.RelevanceMap = losses.MinMax()
    apart: bool = False
    xla: bool = True


class SoftTarget(losses.RelevanceMap):
    """The teacher's softmax as labels, which makes TF-Ranking's softmax loss a KL."""

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to shares of the list."""
        return tf.nn.softmax(scores)


RIVALS: dict[str, Rival] = {
    "SigmoidSoftLabel": Rival(
        lambda n: losses.SigmoidSoftLabel(), lambda n: K.SigmoidCrossEntropyLoss()
    ),
    "LogitMSE": Rival(lambda n: losses.LogitMSE(), lambda n: K.MeanSquaredLoss()),
    "TopKSoftLabel": Rival(lambda n: losses.TopKSoftLabel()),
    "RankingDistillation": Rival(lambda n: losses.RankingDistillation(10_000)),
    "BPR": Rival(lambda n: losses.BPR(), lambda n: K.PairwiseLogisticLoss()),
    "RankNet": Rival(lambda n: losses.RankNet(), lambda n: K.PairwiseLogisticLoss()),
    "MarginMSE": Rival(lambda n: losses.MarginMSE(), lambda n: K.PairwiseMSELoss()),
    "DeltaNDCG": Rival(
        lambda n: losses.DeltaNDCG(),
        lambda n: K.PairwiseLogisticLoss(**LAMBDA),
        losses.RankLinear(),
    ),
    "DeltaNDCG(MinMax)": Rival(
        lambda n: losses.DeltaNDCG(losses.MinMax()),
        lambda n: K.PairwiseLogisticLoss(**LAMBDA),
    ),
    "ListSoftmaxKL": Rival(
        lambda n: losses.ListSoftmaxKL(), lambda n: K.SoftmaxLoss(), SoftTarget()
    ),
    "CalibratedListKL": Rival(lambda n: losses.CalibratedListKL()),
    "RelevanceCrossEntropy": Rival(
        lambda n: losses.RelevanceCrossEntropy(losses.Exponential(20.0, topk=100)),
        lambda n: K.SoftmaxLoss(),
        losses.Exponential(20.0, topk=100),
    ),
    "PlackettLuce": Rival(lambda n: losses.PlackettLuce(), lambda n: K.ListMLELoss()),
    "PlackettLuce(50)": Rival(
        lambda n: losses.PlackettLuce(50), lambda n: K.ListMLELoss()
    ),
    "PlackettLuce / RankDistil": Rival(
        lambda n: losses.PlackettLuce(),
        lambda n: K.CoupledRankDistilLoss(sample_size=8),
        apart=True,
    ),
    "ApproxNDCG": Rival(
        lambda n: losses.ApproxNDCG(), lambda n: K.ApproxNDCGLoss(), losses.RankLinear()
    ),
    "ApproxNDCG(MinMax)": Rival(
        lambda n: losses.ApproxNDCG(losses.MinMax()), lambda n: K.ApproxNDCGLoss()
    ),
    "RankDistil(10)": Rival(
        lambda n: losses.RankDistil(10),
        lambda n: K.CoupledRankDistilLoss(sample_size=8, topk=10),
    ),
    "RankDistil(L)": Rival(
        lambda n: losses.RankDistil(n),
        lambda n: K.CoupledRankDistilLoss(sample_size=8),
        apart=True,
    ),
    "Adapter(Pairwise)": Rival(
        lambda n: losses.RankingLossAdapter(K.PairwiseLogisticLoss(), losses.MinMax()),
        lambda n: K.PairwiseLogisticLoss(),
    ),
    "Adapter(Gumbel)": Rival(
        lambda n: losses.RankingLossAdapter(K.GumbelApproxNDCGLoss(), losses.MinMax()),
        lambda n: K.GumbelApproxNDCGLoss(),
        xla=False,
    ),
}

Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def step_of(loss: Callable[..., tf.Tensor], jit: bool = False) -> Step:
    """One value and gradient, as a function of student and teacher `[B, L]`."""

    @tf.function(jit_compile=jit or None)
    def step(student: tf.Tensor, teacher: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(teacher, student)
        return value, tape.gradient(value, student)

    return step


def steps_of(name: str, size: int) -> dict[str, Step]:
    """The variants of a row: ours, TF-Ranking's and ours under XLA."""
    rival = RIVALS[name]
    ours = rival.ours(size)
    steps = {"ours": step_of(ours)}
    if rival.theirs is not None:
        theirs = rival.theirs(size)

        def mapped(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
            valid = tf.ones_like(teacher, tf.bool)
            return theirs(rival.relevance_map(teacher, valid), student)

        steps["theirs"] = step_of(mapped)
    if rival.xla:
        steps["xla"] = step_of(ours, jit=True)
    return steps


def inputs(size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Student and teacher logits."""
    shape = [LISTS, size]
    student = tf.random.stateless_normal(shape, [0, 1])
    return student, student + tf.random.stateless_normal(shape, [0, 2])


def measure_time(name: str, size: int) -> dict[str, Any]:
    """Median milliseconds of the variants, in turn."""
    student, teacher = inputs(size)
    steps = {}
    for variant, step in steps_of(name, size).items():
        if variant == "theirs" and RIVALS[name].apart and size == SIZES[-1]:
            continue
        value, gradient = step(student, teacher)  # traces
        steps[variant] = step, float(value), gradient
    calls = {
        variant: functools.partial(lambda step: step(student, teacher)[1].numpy(), step)
        for variant, (step, _, _) in steps.items()
    }
    times = in_turns(calls, 3, dropped=0, seconds=SECONDS)
    row: dict[str, Any] = {
        f"{variant}_{clock}": value
        for variant, spent in times.items()
        for clock, value in medians(spent).items()
    }
    if "xla" in steps and not name.startswith("RankDistil("):  # which draws
        _, value, gradient = steps["ours"]
        _, other, slope = steps["xla"]
        row["xla_value_error"] = abs(value - other) / max(abs(value), 1e-6)
        row["xla_gradient_error"] = float(
            tf.reduce_max(tf.abs(gradient - slope)) / tf.reduce_max(tf.abs(gradient))
        )
    return row


def measure_memory(name: str, size: int, variant: str) -> dict[str, Any]:
    """Peak megabytes above what the process held before the first step."""
    student, teacher = inputs(size)
    step_of(losses.LogitMSE())(student, teacher)  # TensorFlow's own warm-up
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = steps_of(name, size)[variant]
    step(student, teacher)[1].numpy()
    spent = in_turns({"": lambda: step(student, teacher)[1].numpy()}, 1, dropped=0)[""]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row: dict[str, Any] = {f"{variant}_mb": round((after - before) / 1024)}
    if variant == "theirs" and RIVALS[name].apart:
        row.update({f"theirs_{clock}": x for clock, x in medians(spent).items()})
    return row


def measure_here(name: str, size: str, *variant: str) -> dict[str, Any]:
    """One measurement in this process: the time, or the memory of a variant."""
    threads(2)
    measure = measure_memory if variant else measure_time
    return measure(name, int(size), *variant)


def apart(*arguments: Any) -> dict[str, Any]:
    """One measurement in a fresh process; {} if that runs out of memory."""
    try:
        return answer(child(__file__, *arguments, stderr=subprocess.DEVNULL))
    except RuntimeError:
        return {}


def show(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints milliseconds, ratios to ours, megabytes, and the growth with the list."""
    frame = pd.DataFrame(list(rows.values())).set_index(["loss", "size"])
    for clock in ("cpu", "wall"):
        frame[f"theirs/ours {clock}"] = frame[f"theirs_{clock}_ms"].div(
            frame[f"ours_{clock}_ms"]
        )
    frame["xla/ours cpu"] = frame["xla_cpu_ms"] / frame["ours_cpu_ms"]
    endings = ("_cpu_ms", "_wall_ms", " cpu", " wall", "_mb")
    print(f"{LISTS} lists; theirs is TF-Ranking's")
    print(frame[[c for c in frame if c.endswith(endings)]].round(2).to_string())
    small, large = (frame["ours_cpu_ms"].xs(size, level="size") for size in SIZES)
    each = (large / SIZES[1]) / (small / SIZES[0])
    print(f"time per item at {SIZES[1]} over {SIZES[0]}\n{each.round(2).to_string()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rerun",
        nargs="+",
        default=[],
        choices=["all", *RIVALS],
        metavar="NAME",
        help="losses to measure again, or `all`",
    )
    options = parser.parse_args()
    for size, name in itertools.product(SIZES, RIVALS):

        def measure(name: str = name, size: int = size) -> dict[str, Any]:
            row = {"loss": name, "size": size, **apart(name, size)}
            variants = ("ours", "theirs")[: 1 + (RIVALS[name].theirs is not None)]
            for variant in variants if size == SIZES[-1] else ():
                row |= apart(name, size, variant)
            return row

        rerun = bool({"all", name} & set(options.rerun))
        store.once(NAME, f"{NAME}-{name}-{size}", measure, rerun=rerun)
    show(store.finished(NAME))


if __name__ == "__main__":
    if not as_child(measure_here):
        main()
