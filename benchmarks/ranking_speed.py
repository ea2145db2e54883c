"""Speed of a distilled ranker beside its teacher: a request served, a step of training.

The model has 26 categorical features with a million rows and 13 numeric ones, half of
them the user's. Served: teacher (DCN-v2, 3 cross layers beside 1024-512-256) and
student (64-32) as SavedModels with one user and 500 candidates, in turns in one
process; both are in their best exported form, with fused tables and folded first
layers. Beside them a graph that only adds the inputs up: what the call costs. Trained:
a step on 64 requests of 20 candidates, of the teacher alone and of both in each joint
recipe, in turns in one process. The weights are not trained: only time is measured.

    python benchmarks/ranking_speed.py [--rerun]

A run is one line of benchmarks/results/ranking_speed.jsonl; --rerun measures another.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import store
import tensorflow as tf

from tfdistill.data import Feature, FeatureSpec, RequestBatches, Requests, Table
from tfdistill.export import flops, latency, parameters, publish, ranker_servable
from tfdistill.layers import standalone
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.models import DcnV2, Dnn, Net
from tfdistill.optimizers import LazyAdam
from tfdistill.trainers import Distiller
from tfdistill.zoo import dual_dnn, privileged_coarse, ranking_pair, rocket
from tfdistill.zoo.ranking_pair import Pair
from tfdistill.zoo.recipe import Recipe

NAME = "ranking_speed"
FIELDS, NUMERIC, DIM = 26, 13, 16
CANDIDATES = 500
ROUNDS = 31


def feature_spec() -> FeatureSpec:
    """13 categorical features a side, tables of 1,000,000 rows in all; 13 numbers."""
    share = 1.0 / np.arange(1, FIELDS + 1)
    sizes = np.maximum(10, 1_000_000 * share / share.sum()).astype(int)
    sides = ("user", "item")
    categorical = [
        Feature(f"c{field}", "categorical", sides[field % 2], table=f"c{field}")
        for field in range(FIELDS)
    ]
    numeric = [
        Feature(f"n{field}", "numeric", sides[field % 2]) for field in range(NUMERIC)
    ]
    tables = [Table(f"c{i}", DIM, size=int(size)) for i, size in enumerate(sizes)]
    return FeatureSpec((*categorical, *numeric), tuple(tables))


def make_requests(spec: FeatureSpec, size: int, candidates: int) -> Requests:
    """Requests of drawn features; ids follow a power law."""
    rng = np.random.default_rng(0)
    items = 10_000

    def column(feature: Feature, rows: int) -> np.ndarray:
        if feature.kind == "numeric":
            return rng.normal(size=rows).astype(np.float32)
        uniform = rng.random(rows)
        return (spec.table_of(feature).size * uniform**3).astype(np.int64)

    return Requests(
        users={f.name: column(f, size) for f in spec.scope("user")},
        items={f.name: column(f, items) for f in spec.scope("item")},
        candidates=rng.integers(0, items, (size, candidates)).astype(np.int32),
        labels=rng.integers(0, 2, (size, candidates)).astype(np.float32),
        group=np.arange(size),
    )


def make_pair(spec: FeatureSpec) -> Pair:
    """The teacher and the student."""
    return Pair(
        Net(DcnV2(3, (1024, 512, 256)), spec.names), Net(Dnn((64, 32)), spec.names)
    )


def sum_of_inputs(spec: FeatureSpec) -> tf.keras.Model:
    """The least that reads every feature: what a request costs before any network."""
    inputs = spec.keras_inputs()
    user, item = (
        tf.add_n([tf.cast(inputs[f.name], tf.float32) for f in spec.scope(scope)])
        for scope in ("user", "item")
    )
    total = item + user[:, tf.newaxis]
    return tf.keras.Model(inputs, {"sum": 1e-9 * total})  # ids are large


def serve(spec: FeatureSpec, folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Size and latency of the exported teacher and student."""
    network = make_pair(spec).recipe.network(spec)
    models = {name: standalone(network.part(name)) for name in ("teacher", "fine")}
    models["sum of the inputs"] = sum_of_inputs(spec)
    servables = {folder / n: ranker_servable(m, spec) for n, m in models.items()}
    paths = {pathlib.Path(d).name: r.path for d, r in publish(servables).items()}
    data = make_requests(spec, 8, CANDIDATES)
    sent = [
        {k: v[row][np.newaxis] for k, v in data.users.items()}
        | {k: v[data.candidates[row]][np.newaxis] for k, v in data.items.items()}
        for row in range(8)
    ]
    timed = {n: latency(paths, sent, baseline="teacher", threads=n) for n in (1, 2)}
    found = {}
    for name, model in models.items():
        counted = parameters(model)
        found[name] = {
            "parameters in tables": counted.tables,
            "parameters outside": counted.rest,
            "mflop": round(flops(model, list_size=CANDIDATES), 2),
        }
        for threads, measured in timed.items():
            for what in ("p50", "p99", "speedup"):
                value = round(getattr(measured[name], what), 3)
                found[name][f"{what}, {threads} threads"] = value
    return found


def training_step(recipe: Recipe, spec: FeatureSpec) -> Callable[[], Any]:
    """A step of a recipe on one batch of 64 requests of 20 candidates."""
    distiller = Distiller(recipe.network(spec).model, recipe.transfers)
    distiller.compile(
        LazyAdam(recipe.learning_rate),
        loss={output: SigmoidCrossEntropy() for output in recipe.labelled},
    )
    requests = make_requests(spec, 64, 20)
    batches = RequestBatches(requests, batch_size=64, outputs=recipe.labelled)
    data = iter(batches(0).take(1).cache().repeat())
    step = distiller.make_train_function()
    return lambda: step(data)


def joint_steps(spec: FeatureSpec) -> dict[str, float]:
    """Median milliseconds of a step, by recipe."""
    pair = make_pair(spec)
    recipes = {
        "teacher alone": ranking_pair.teacher(pair),
        "soft labels and hint": ranking_pair.joint(pair),
        "Rocket Launching": rocket.recipe(pair),
        "dual-DNN, tables shared": dataclasses.replace(
            dual_dnn.recipe(pair), representation=None
        ),
        "privileged features": privileged_coarse.recipe(pair.teacher, pair.fine),
        "student alone": ranking_pair.alone(pair),
    }
    steps = {name: training_step(recipe, spec) for name, recipe in recipes.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(ROUNDS + 2):
        for name, step in steps.items():
            start = time.process_time()
            for _ in range(3):
                step()
            if round_ > 1:  # the first ones trace
                times[name].append(1000 * (time.process_time() - start) / 3)
    return {name: round(statistics.median(spent), 2) for name, spent in times.items()}


def measure() -> dict[str, Any]:
    """What is served and what is trained, with one thread."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    spec = feature_spec()
    with tempfile.TemporaryDirectory() as folder:
        served = serve(spec, pathlib.Path(folder))
    return {"served": served, "steps": joint_steps(spec)}


def show(run: Mapping[str, Any]) -> None:
    """Prints both tables."""
    for name, values in run["served"].items():
        print(f"{name}: " + ", ".join(f"{k} {v:,}" for k, v in values.items()))
    alone = run["steps"]["teacher alone"]
    for name, spent in run["steps"].items():
        print(f"{name}: {spent:.1f} ms of CPU time a step, {spent / alone:.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rerun", action="store_true", help="measure once more")
    options = parser.parse_args()
    show(store.newest(NAME, measure, rerun=options.rerun))


if __name__ == "__main__":
    main()
