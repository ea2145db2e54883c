"""Which list-wise loss, and which relevance map, on two public ranking sets.

A wide teacher (an ensemble) and a small student on MQ2008 (LETOR 4.0, its five folds)
and on LightGBM's lambdarank example. The student reads every sixth feature: with all of
them a student of 8 units is as good as the teacher on sets this small, and there is
nothing to distil. Every row is the student with the hard loss plus one distillation
loss. Five seeds and three trials per row (learning rates for the row
without distillation, weights for the others) are trained as one batched model; the
trial and the epoch are chosen on validation. NDCG@10 is printed with empty queries as
0 and without them, beside the paired difference to "none" and its standard error over
seeds (each the mean over its folds).

    python benchmarks/ranking_sets.py DATA [--rerun]

DATA holds mq2008/S1.txt.gz ... S5.txt.gz and lambdarank/rank.{train,test}.gz with their
.query files. A finished row is one line of benchmarks/results/ranking_sets.jsonl.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import store
import tensorflow as tf
import tensorflow_ranking as tfr
import timing
from pages import markdown, spread

from tfdistill import losses

NAME = "ranking_sets"
SEEDS, EPOCHS, BATCH, TRAIN_LENGTH = 5, 60, 128, 40
STUDENT_FEATURES = slice(None, None, 6)
RATES, WEIGHTS, RATE = (0.003, 0.01, 0.03), (0.3, 1.0, 3.0), 0.01

MAPS: dict[str, losses.RelevanceMap] = {
    "RankLinear(10)": losses.RankLinear(topk=10),
    "RankLog": losses.RankLog(),
    "Exponential(10)": losses.Exponential(),
    "Sigmoid": losses.Sigmoid(),
    "MinMax": losses.MinMax(),
    "QuantileBuckets(5)": losses.QuantileBuckets(),
}


def rows() -> dict[str, losses.DistillationLoss | None]:
    """The table's rows."""
    table: dict[str, losses.DistillationLoss | None] = {
        "none": None,
        "LogitMSE": losses.LogitMSE(),
        "ListSoftmaxKL": losses.ListSoftmaxKL(),
        "PlackettLuce": losses.PlackettLuce(),
    }
    for name, relevance_map in MAPS.items():
        table[f"ApproxNDCG {name}"] = losses.ApproxNDCG(relevance_map)
    for name, relevance_map in MAPS.items():
        gumbel = tfr.keras.losses.GumbelApproxNDCGLoss(sample_size=4)
        table[f"Gumbel {name}"] = losses.RankingLossAdapter(gumbel, relevance_map)
    return table


@dataclasses.dataclass(frozen=True)
class Lists:
    """Queries: features `[Q, L, F]`, grades `[Q, L]`, mask `[Q, L]`."""

    features: np.ndarray
    grades: np.ndarray
    mask: np.ndarray

    def select(self, which: Any) -> Lists:
        """Some of the queries."""
        return Lists(self.features[which], self.grades[which], self.mask[which])


def pad(groups: list[tuple[np.ndarray, np.ndarray]]) -> Lists:
    """Pads lists of (features, grades) to the longest."""
    length = max(len(grades) for _, grades in groups)
    shape = (len(groups), length)
    features = np.zeros((*shape, groups[0][0].shape[1]), np.float32)
    grades, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for row, (x, y) in enumerate(groups):
        features[row, : len(y)], grades[row, : len(y)] = x, y
        mask[row, : len(y)] = True
    return Lists(features, grades, mask)


def read(path: pathlib.Path, width: int, sizes: Any = None) -> Lists:
    """Reads SVMlight lines, grouped by `qid` or by the sizes of the groups."""
    groups: dict[Any, list[tuple[float, np.ndarray]]] = {}
    owner = None if sizes is None else iter(np.repeat(np.arange(len(sizes)), sizes))
    with gzip.open(path, "rt") as file:
        for line in file:
            grade, *fields = line.split("#")[0].split()
            query = fields.pop(0) if owner is None else next(owner)
            x = np.zeros(width, np.float32)
            for field in fields:
                place, value = field.split(":")
                x[int(place) - 1] = float(value)
            groups.setdefault(query, []).append((float(grade), x))
    return pad(
        [
            (np.stack([x for _, x in items]), np.array([y for y, _ in items]))
            for items in groups.values()
        ]
    )


def folds(data: pathlib.Path, name: str) -> Iterator[tuple[Lists, Lists, Lists]]:
    """Yields (train, validation, test)."""
    if name == "mq2008":
        parts = [read(data / name / f"S{i}.txt.gz", 46) for i in range(1, 6)]
        for fold in range(5):
            turn = [parts[(fold + i) % 5] for i in range(5)]
            yield join(turn[:3]), turn[3], turn[4]
        return
    train, test = (
        read(
            data / name / f"rank.{part}.gz",
            300,
            np.loadtxt(data / name / f"rank.{part}.query", dtype=int),
        )
        for part in ("train", "test")
    )
    order = np.random.default_rng(0).permutation(len(train.grades))
    yield train.select(order[40:]), train.select(order[:40]), test


def join(parts: list[Lists]) -> Lists:
    groups = [
        (part.features[q][part.mask[q]], part.grades[q][part.mask[q]])
        for part in parts
        for q in range(len(part.grades))
    ]
    return pad(groups)


def ndcg(scores: np.ndarray, lists: Lists) -> tuple[np.ndarray, np.ndarray]:
    """NDCG@10 of models `[M, Q, L]`: empty queries as 0, and without them."""
    discounts = 1.0 / np.log2(2.0 + np.arange(10))
    gains = np.where(lists.mask, 2.0**lists.grades - 1.0, 0.0)
    order = np.argsort(-np.where(lists.mask, scores, -np.inf), axis=-1, kind="stable")
    ranked = np.take_along_axis(np.broadcast_to(gains, scores.shape), order, -1)
    best = -np.sort(-gains, axis=-1)
    size = min(10, gains.shape[-1])
    ideal = best[:, :size] @ discounts[:size]
    value = ranked[..., :size] @ discounts[:size] / np.maximum(ideal, 1e-9)
    return value.mean(-1), value[:, ideal > 0].mean(-1)


def scores_of(weights: list[tf.Tensor], features: tf.Tensor) -> tf.Tensor:
    """Logits `[M, B, L]` of M two-layer networks."""
    w1, b1, w2, b2 = weights
    hidden = tf.einsum("blf,mfh->mblh", features, w1) + b1[:, tf.newaxis, tf.newaxis]
    return tf.einsum("mblh,mh->mbl", tf.nn.relu(hidden), w2) + b2[:, None, None]


def started(
    models: int, inputs: int, width: int, rng: np.random.Generator
) -> list[tf.Variable]:
    """Weights of M two-layer networks.

    Equal seeds start equally in every trial and row: differences are paired.
    """
    start = [rng.normal(0, (2 / inputs) ** 0.5, (SEEDS, inputs, width))]
    start += [np.zeros((SEEDS, width)), rng.normal(0, width**-0.5, (SEEDS, width))]
    start += [np.zeros(SEEDS)]
    repeats = ([models // SEEDS] + [1] * (w.ndim - 1) for w in start)
    tiled = (np.tile(w, repeat) for w, repeat in zip(start, repeats))
    return [tf.Variable(w, dtype="float32") for w in tiled]


def adam_step(
    weights: list[tf.Variable],
    rates: np.ndarray,
    loss: losses.DistillationLoss | None,
    factors: np.ndarray | None,
) -> Callable[..., None]:
    """A step of all networks on a batch `x, y, mask`, with the teacher's `z`."""
    models, rate = len(rates), tf.constant(rates, tf.float32)
    hard = losses.RelevanceCrossEntropy(losses.MinMax(top=1.0))
    slots = [[tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2)]

    def total(x: tf.Tensor, y: tf.Tensor, mask: tf.Tensor, z: Any) -> tf.Tensor:
        student = scores_of(weights, x)
        shape = tf.shape(student)
        real, grades = (tf.broadcast_to(a, shape) for a in (mask, y))
        each = hard.per_example(student=student, teacher=grades, mask=real)
        if loss is not None:
            scores = tf.broadcast_to(z, shape)
            soft = loss.per_example(student=student, teacher=scores, mask=real)
            soft = tf.reshape(soft, [models, shape[1], -1])
            items = tf.reduce_sum(tf.cast(mask, tf.float32), -1, keepdims=True)
            scale = items if soft.shape[-1] != 1 else 1.0
            soft = tf.reduce_sum(soft / scale, axis=-1)
            each += tf.constant(factors[:, np.newaxis], tf.float32) * soft
        return tf.reduce_sum(tf.reduce_mean(each, axis=1))

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor, mask: tf.Tensor, z: Any, n: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = total(x, y, mask, z)
        for w, m, v, g in zip(weights, *slots, tape.gradient(value, weights)):
            m.assign(0.9 * m + 0.1 * g)
            v.assign(0.999 * v + 0.001 * g * g)
            size = (m / (1 - 0.9**n)) / (tf.sqrt(v / (1 - 0.999**n)) + 1e-7)
            w.assign_sub(tf.reshape(rate, [-1] + [1] * (w.shape.rank - 1)) * size)

    return step


def train(
    parts: tuple[Lists, Lists, Lists],
    width: int,
    rates: np.ndarray,
    teacher: np.ndarray | None = None,
    loss: losses.DistillationLoss | None = None,
    factors: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Trains M networks side by side; returns what the best epoch of each gave."""
    data, valid, test = parts
    rng = np.random.default_rng(seed)
    weights = started(len(rates), data.features.shape[-1], width, rng)
    step = adam_step(weights, rates, loss, factors)
    predict = tf.function(lambda x: scores_of(weights, x))
    best: dict[str, np.ndarray] = {"valid": np.full(len(rates), -1.0)}
    n, cut = 0, slice(0, TRAIN_LENGTH)
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(len(data.grades))
        for at in range(0, len(order) - BATCH + 1 if len(order) >= BATCH else 1, BATCH):
            q, n = order[at : at + BATCH], n + 1
            z = None if teacher is None else teacher[q, cut]
            step(data.features[q, cut], data.grades[q, cut], data.mask[q, cut], z,
                 tf.constant(n, tf.float32))  # fmt: skip
        if epoch % 5 == 0:
            now = {"valid": ndcg(predict(valid.features).numpy(), valid)[1]}
            now["test0"], now["test"] = ndcg(predict(test.features).numpy(), test)
            better = now["valid"] > best["valid"]
            if teacher is None:
                now["scores"] = predict(data.features).numpy()
            for key, value in now.items():
                old = best.get(key, np.zeros_like(value))
                shape = [-1] + [1] * (value.ndim - 1)
                best[key] = np.where(better.reshape(shape), value, old)
    return best


@functools.cache
def taught(data: pathlib.Path, name: str) -> list[tuple[Any, np.ndarray, list[float]]]:
    """Of each fold: what a student sees, the ensemble's scores, a net's NDCG@10."""
    found = []
    for parts in folds(data, name):
        narrow = tuple(
            dataclasses.replace(part, features=part.features[..., STUDENT_FEATURES])
            for part in parts
        )
        net = train(parts, 256, np.full(SEEDS, 0.001), seed=100)
        quality = [net["test0"].mean(), net["test"].mean()]
        found.append((narrow, net["scores"].mean(0), quality))
    return found


def measure(data: pathlib.Path, name: str, row: str) -> dict[str, Any]:
    """A row of one set: the best trial of each seed and fold."""
    loss, found = rows()[row], []
    rates = np.repeat(RATES, SEEDS) if loss is None else np.full(15, RATE)
    for narrow, teacher, _ in taught(data, name):
        best = train(narrow, 8, rates, teacher, loss, np.repeat(WEIGHTS, SEEDS))
        trials = [best[key].reshape(3, SEEDS) for key in ("valid", "test0", "test")]
        chosen = trials[0].argmax(0)
        found.append(np.stack(trials[1:])[:, chosen, np.arange(SEEDS)])
    zero, drop = np.mean(found, axis=0).round(5).tolist()
    nets = np.mean([quality for *_, quality in taught(data, name)], 0)
    quality = {"ndcg_empty_0": zero, "ndcg_without_empty": drop}
    return {"set": name, "row": row, **quality, "teacher_net": nets.round(5).tolist()}


def table(name: str) -> str:
    """The finished rows of a set in Markdown."""
    runs = store.finished(NAME)
    base = runs[f"{NAME}-{name}-none"]
    cells = []
    for run in (run for run in runs.values() if run["set"] == name):
        gain = np.subtract(run["ndcg_without_empty"], base["ndcg_without_empty"])
        error = gain.std(ddof=1) / len(gain) ** 0.5
        both = [spread(run[f"ndcg_{how}"]) for how in ("empty_0", "without_empty")]
        cells.append([run["row"], *both, f"{gain.mean():+.4f} ± {error:.4f}"])
    zero, drop = base["teacher_net"]
    titles = (name, "empty = 0", "without empty", "over none, standard error")
    net = ["one net of the teacher", f"{zero:.4f}", f"{drop:.4f}", ""]
    return markdown(titles, [net, *cells])


def main() -> None:
    data = {"type": pathlib.Path, "help": "folder of both sets"}
    options = timing.parsed({"data": data})
    for name in ("lambdarank", "mq2008"):
        for row in rows():
            run = functools.partial(measure, options.data, name, row)
            store.once(NAME, f"{NAME}-{name}-{row}", run, rerun=options.rerun)
        print(table(name))


if __name__ == "__main__":
    main()
