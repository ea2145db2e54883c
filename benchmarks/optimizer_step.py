"""Step cost by table size: LazyAdam, Keras' Adam and a bare gather and scatter.

One training step of a 64-32 student over one embedding table, once with few rows and
once with many, at the same number of distinct ids: the ids of the large table are those
of the small one, spread over it. All six variants run in one process, round by round in
turn, on one thread; the table gives medians. "bare" gathers what the forward pass
gathers, then reads and writes the distinct rows of three tables (weights and two
slots): what no optimizer that keeps two slots can avoid.

    python benchmarks/optimizer_step.py [--rerun]

A finished run is one line of benchmarks/results/optimizer_step.jsonl. The last one is
printed; --rerun measures another one.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import timing
from timing import in_turns, medians, threads

from tfdistill.optimizers import LazyAdam


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured."""

    rows: tuple[int, int] = (100_000, 4_000_000)
    batch: int = 2048
    fields: int = 26
    dim: int = 16
    zipf: float = 1.2
    batches: int = 4
    rounds: int = 21


def draw_ids(settings: Settings) -> list[np.ndarray]:
    """Batches of ids `[batch, fields]` of the small table, by a bounded Zipf law."""
    rng = np.random.default_rng(0)
    share = np.arange(1, settings.rows[0] + 1) ** -settings.zipf
    edges = np.cumsum(share / share.sum())
    order = rng.permutation(settings.rows[0])  # frequent rows are not neighbours
    uniform = rng.random((settings.batches, settings.batch, settings.fields))
    return list(order[np.minimum(np.searchsorted(edges, uniform), len(order) - 1)])


def training_step(
    rows: int, settings: Settings, optimizer: tf.keras.optimizers.Optimizer
) -> Callable[[tf.Tensor], None]:
    """One step of the student, as a function of ids `[batch, fields]`."""
    table = tf.Variable(tf.random.normal([rows, settings.dim], stddev=0.01))
    mlp = tf.keras.Sequential(
        [tf.keras.layers.Dense(n, activation="relu") for n in (64, 32)]
        + [tf.keras.layers.Dense(1)]
    )
    mlp.build([None, settings.fields * settings.dim])
    labels = tf.constant(np.arange(settings.batch)[:, np.newaxis] % 2, tf.float32)
    variables = [table, *mlp.trainable_variables]
    optimizer.build(variables)

    @tf.function
    def step(ids: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            embedded = tf.gather(table, ids)
            flat = tf.reshape(embedded, [-1, settings.fields * settings.dim])
            loss = tf.nn.sigmoid_cross_entropy_with_logits(labels, mlp(flat))
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables))

    return step


def bare_step(rows: int, settings: Settings) -> Callable[[tf.Tensor], None]:
    """The memory traffic alone, as a function of ids `[batch, fields]`."""
    shape = [rows, settings.dim]
    tables = [tf.Variable(tf.random.normal(shape)) for _ in range(3)]

    @tf.function
    def step(ids: tf.Tensor) -> tf.Tensor:
        embedded = tf.gather(tables[0], ids)
        unique, _ = tf.unique(tf.reshape(ids, [-1]))
        for table in tables:
            changed = tf.IndexedSlices(tf.gather(table, unique) * 0.999, unique)
            table.scatter_update(changed)
        return tf.reduce_sum(embedded)

    return step


def measure(settings: Settings, small: list[np.ndarray]) -> list[dict[str, Any]]:
    """Median CPU and wall milliseconds of a step, by variant and table size."""
    variants: dict[tuple[str, int], Callable[[], None]] = {}
    for rows in settings.rows:
        ids = [tf.constant(batch * (rows // settings.rows[0])) for batch in small]
        steps = {
            "bare": bare_step(rows, settings),
            "LazyAdam": training_step(rows, settings, LazyAdam()),
            "Adam": training_step(
                rows, settings, tf.keras.optimizers.Adam(jit_compile=False)
            ),
        }
        for name, step in steps.items():
            batches = itertools.cycle(ids)
            variants[name, rows] = lambda step=step, batches=batches: step(
                next(batches)
            )
    times = in_turns(variants, settings.rounds, calls=settings.batches)
    return [
        {"variant": name, "rows": rows, **medians(spent)}
        for (name, rows), spent in times.items()
    ]


def one_run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one run, with one thread."""
    threads(1)
    settings = Settings()
    ids = draw_ids(settings)
    return {
        "settings": dataclasses.asdict(settings),
        "unique_ids": float(np.mean([len(np.unique(batch)) for batch in ids])),
        "steps": measure(settings, ids),
    }


def show(run: Mapping[str, Any]) -> None:
    """Prints milliseconds of both sizes and their ratio."""
    print(f"{run['run']}: {run['unique_ids']:.0f} distinct ids a batch")
    steps = pd.DataFrame(run["steps"])
    for clock in ("cpu_ms", "wall_ms"):
        table = steps.pivot(index="variant", columns="rows", values=clock)
        small, large = table.columns
        print(f"{clock}\n{table.assign(ratio=table[large] / table[small]).round(2)}")


if __name__ == "__main__":
    timing.main("optimizer_step", one_run, shown=show)
