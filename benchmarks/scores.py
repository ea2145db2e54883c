"""What storing a teacher's scores costs: to write, to train from, and in memory.

- scoring: `score_batches` beside a loop that only calls the same compiled teacher on
  the same batches; rounds in turn, medians of wall and CPU seconds.
- training: an epoch of a student without a teacher, from scores that were joined in
  memory, and from scores that are looked up inside tf.data; rounds in turn.
- memory: a process of its own reads a store of 1 x and of 20 x the rows, block by block
  and through a lookup; how much its peak, and its memory that is no file of the
  system's cache, grew above what it had after its imports.

    python benchmarks/scores.py [--rerun]

A finished run is one line of benchmarks/results/scores.jsonl; the last one is printed.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import timing
from timing import answer, as_child, child, in_turns, resident

from tfdistill.data import RequestBatches, Requests
from tfdistill.losses import SigmoidCrossEntropy, SigmoidSoftLabel
from tfdistill.models import DcnV2, Dnn, Net, joint_network
from tfdistill.optimizers import LazyAdam
from tfdistill.scores import (
    ScoreLookup,
    ScoreStore,
    StoreWriter,
    join_requests,
    score_batches,
)
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.trainers import Distiller, FrozenTeacher, LoggedTeacher, Transfer

REQUESTS, CANDIDATES, ITEMS, BATCH = 8192, 50, 20_000, 128
ROUNDS = 7
ROWS = 500_000  # of the small store
SPEC = FeatureSpec(
    (
        Feature("user_id", "categorical", "user", table="user"),
        Feature("age", "numeric", "user"),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("genre", "categorical", "item", table="genre"),
        Feature("price", "numeric", "item"),
    ),
    (
        Table("user", dim=16, size=5000),
        Table("item", dim=16, size=ITEMS),
        Table("genre", dim=16, size=50),
    ),
)


def make_requests() -> Requests:
    rng = np.random.default_rng(0)
    return Requests(
        users={
            "user_id": rng.integers(0, 5000, REQUESTS),
            "age": rng.normal(size=REQUESTS).astype(np.float32),
        },
        items={
            "item_id": np.arange(ITEMS),
            "genre": rng.integers(0, 50, ITEMS),
            "price": rng.normal(size=ITEMS).astype(np.float32),
        },
        candidates=np.stack(
            [rng.choice(ITEMS, CANDIDATES, replace=False) for _ in range(REQUESTS)]
        ).astype(np.int32),
        labels=rng.integers(0, 2, (REQUESTS, CANDIDATES)).astype(np.float32),
        group=np.arange(REQUESTS),
        ids=np.arange(REQUESTS),
    )


def compared(variants: Mapping[str, Callable[[], Any]]) -> dict[str, dict[str, float]]:
    """Median wall and CPU seconds of each variant, and its ratios to the first.

    The ratio is the median over the rounds, in which the variants run back to back.
    """
    times = in_turns(variants, ROUNDS)
    base = next(iter(times.values()))
    return {
        name: {
            f"{clock}_{what}": round(float(np.median(values)), 4)
            for clock in ("wall", "cpu")
            for what, values in (
                ("seconds", spent[clock] / 1000),
                ("ratio", spent[clock] / base[clock]),
            )
        }
        for name, spent in times.items()
    }


def scoring(requests: Requests, folder: pathlib.Path) -> dict[str, Any]:
    network = joint_network(SPEC, {"teacher": Net(DcnV2(units=(256, 128)), SPEC.names)})
    frozen = FrozenTeacher(network.part("teacher"), {"score": "teacher"})
    teacher = tf.function(frozen, reduce_retracing=True)

    def bare() -> None:
        for x, _, _ in RequestBatches(requests, batch_size=BATCH).once():
            teacher({name: x[name] for name in SPEC.names})

    def stored(file_format: str) -> ScoreStore:
        place = tempfile.mkdtemp(dir=folder)
        return score_batches(
            requests,
            lambda x: teacher({name: x[name] for name in SPEC.names}),
            place,
            teacher_name="dcn",
            file_format=file_format,
            batch_size=BATCH,
            batches_per_shard=16,
        )

    return compared(
        {
            "bare loop": bare,
            "parquet": lambda: stored("parquet"),
            "tfrecord": lambda: stored("tfrecord"),
        }
    )


def training(requests: Requests, folder: pathlib.Path) -> dict[str, Any]:
    scores = score_batches(
        requests,
        lambda x: {"score": x["price"]},
        folder / "training",
        teacher_name="price",
    )
    joined, _ = join_requests(requests, scores, {"score": "logged"})
    steps = REQUESTS // BATCH
    lookup = ScoreLookup(scores, {"score": "logged"})

    def variant(data: tf.data.Dataset, logged: bool) -> Callable[[], Any]:
        network = joint_network(SPEC, {"fine": Net(Dnn((64, 32)), SPEC.names)})
        soft = Transfer("soft", "score", "fine", SigmoidSoftLabel(), mask="mask")
        student = Distiller(
            network.model,
            [soft] if logged else [],
            teacher=LoggedTeacher({"score": "logged"}) if logged else None,
        )
        student.compile(LazyAdam(1e-3), loss={"fine": SigmoidCrossEntropy()})
        endless = iter(data)

        def epoch() -> None:
            student.fit(endless, steps_per_epoch=steps, epochs=1, verbose=0)

        return epoch

    plain = RequestBatches(requests, batch_size=BATCH)
    return compared(
        {
            "without a teacher": variant(plain(), False),
            "joined in memory": variant(
                RequestBatches(joined, batch_size=BATCH)(), True
            ),
            "looked up in tf.data": variant(lookup(plain()), True),
        }
    )


def memory(folder: pathlib.Path) -> dict[str, Any]:
    """Megabytes above the start of a process that reads, by size of the store."""
    found: dict[str, Any] = {}
    for size in (1, 20):
        place = folder / f"x{size}"
        writer = StoreWriter(
            place,
            teacher="t",
            version="1",
            kind="scores",
            keys=["request_id", "item_id"],
        )
        rng = np.random.default_rng(0)
        for number in range(size):
            row = np.arange(ROWS) + number * ROWS
            columns = {
                "request_id": row // CANDIDATES,
                "item_id": row % CANDIDATES,
                "score": rng.normal(size=ROWS).astype(np.float32),
            }
            writer.write(number, columns)
        writer.finish(size)
        megabytes = sum(f.stat().st_size for f in place.iterdir()) / 2**20
        found[f"{size}x"] = {"store": round(megabytes, 1), "rows": size * ROWS}
        for how in ("read", "look up"):
            found[f"{size}x"][how] = answer(child(__file__, how, place))
    return found


def read_here(how: str, place: str) -> dict[str, float]:
    """Reads a store in this process; the megabytes that this took."""
    tf.constant(0)
    start = resident(), resident("RssAnon")
    store_ = ScoreStore.open(place)
    if how == "read":
        for _ in store_.blocks():
            pass
    else:
        lookup = ScoreLookup(store_, {"score": "logged"})
        rng = np.random.default_rng(0)
        requests = rng.integers(0, store_.manifest.rows // CANDIDATES, (200, BATCH))
        batch = {"request_id": requests, "item_id": np.zeros([200, BATCH, 1], int)}
        batch["item_id"] = batch["item_id"] + np.arange(CANDIDATES)
        for _ in lookup(tf.data.Dataset.from_tensor_slices(batch)):
            pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    grew = {"peak": peak - start[0], "not_files_at_end": resident("RssAnon") - start[1]}
    return {name: round(value, 1) for name, value in grew.items()}


def one_run(options: argparse.Namespace) -> dict[str, Any]:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    requests = make_requests()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        return {
            "pairs": REQUESTS * CANDIDATES,
            "scoring": scoring(requests, folder),
            "training": training(requests, folder),
            "memory": memory(folder),
        }


if __name__ == "__main__":
    if not as_child(read_here):
        timing.main("scores", one_run)
