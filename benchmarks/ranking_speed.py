"""Speed of a distilled ranker beside its teacher: a request served, a step of training.

The model has 26 categorical features with a million rows and 13 numeric ones, half of
them the user's. Served: teacher (DCN-v2, 3 cross layers beside 1024-512-256) and
student (64-32) as SavedModels with one user and 500 candidates, in turns in one
process, with fused tables and folded first layers; both through the signature with a
tensor per feature and through the packed one, called from Python and run by
TensorFlow's C++ loader. Beside them a graph that only adds the inputs up, which is what
the call costs, and what the machine needs at least: the student's FLOPs at the speed of
a large matrix product, and its gathers in a call of their own. Trained: a step on 64
requests of 20 candidates, of the teacher alone and of both in each joint recipe, in
turns in one process. The weights are not trained: only time is measured.

    python benchmarks/ranking_speed.py [--rerun]

A run is one line of benchmarks/results/ranking_speed.jsonl; --rerun measures another.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import timing
from timing import in_turns, medians, percentiles, show_ratios, threads

from tfdistill.data import RequestBatches, Requests
from tfdistill.export import flops, latency, pack, parameters, publish, ranker_servable
from tfdistill.export.c_loader import timed
from tfdistill.layers import standalone
from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.models import DcnV2, Dnn, JointNetwork, Net
from tfdistill.optimizers import LazyAdam
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study import Recipe
from tfdistill.trainers import Distiller
from tfdistill.zoo import dual_dnn, privileged_coarse, ranking_pair, rocket
from tfdistill.zoo.ranking_pair import Pair

FIELDS, NUMERIC, DIM = 26, 13, 16
CANDIDATES = 500
ROUNDS = 31
CPP_ROUNDS = 500
PRODUCT = 1024
ADDED = "sum of the inputs"


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


def bound_model(rows: int, gathered: int) -> tf.Module:
    """A large matrix product and the gathers of a request, to be served."""
    root = tf.Module()
    root.square = tf.Variable(tf.random.normal([PRODUCT, PRODUCT]))
    root.table = tf.Variable(tf.random.normal([rows, DIM]))
    root.gather = tf.function(
        lambda rows: {"vectors": tf.gather(root.table, rows)},
        [tf.TensorSpec([gathered], tf.int64, name="rows")],
    )
    root.product = tf.function(
        lambda x: {"product": tf.matmul(root.square, x)},
        [tf.TensorSpec([PRODUCT, PRODUCT], name="x")],
    )
    return root


def in_cpp(
    network: JointNetwork,
    folder: pathlib.Path,
    paths: Mapping[str, str],
    features: Mapping[str, np.ndarray],
) -> dict[str, dict[str, float]]:
    """Milliseconds of a request in TensorFlow's C++ loader, one thread, in turns."""
    spec, tables = network.spec, network.embeddings
    row = [np.ravel(tables.rows(f, features[f.name])) for f in spec.features if f.table]
    gathered = np.concatenate(row)
    root = bound_model(tables.tables[str(DIM)].shape[0], len(gathered))
    bound, packed = str(folder / "bound"), pack(features, spec)
    tf.saved_model.save(
        root, bound, signatures={"gather": root.gather, "product": root.product}
    )
    rows = {
        f"{name}, {signature}": (path, signature, sent)
        for name, path in paths.items()
        if name != ADDED
        for signature, sent in (("serving_default", features), ("packed", packed))
    }
    square = np.ones([PRODUCT, PRODUCT], np.float32)
    rows["gathers"] = (bound, "gather", {"rows": gathered})
    rows["matrix product"] = (bound, "product", {"x": square})
    spent = dict(zip(rows, timed(list(rows.values()), rounds=CPP_ROUNDS)))
    found = {name: percentiles(x, 10, 50, 99) for name, x in spent.items()}
    share = flops(network.part("fine"), list_size=CANDIDATES) / (2e-6 * PRODUCT**3)
    found["bound of the student"] = {
        q: round(share * found["matrix product"][q] + found["gathers"][q], 3)
        for q in ("p10", "p50")
    }
    return found


def serve(spec: FeatureSpec, folder: pathlib.Path) -> dict[str, Any]:
    """Size and latency of the exported teacher and student."""
    network = make_pair(spec).recipe.network(spec)
    models = {name: standalone(network.part(name)) for name in ("teacher", "fine")}
    models[ADDED] = sum_of_inputs(spec)
    servables = {folder / n: ranker_servable(m, spec) for n, m in models.items()}
    paths = {pathlib.Path(d).name: r.path for d, r in publish(servables).items()}
    data = make_requests(spec, 8, CANDIDATES)
    requests = [
        {k: v[row][np.newaxis] for k, v in data.users.items()}
        | {k: v[data.candidates[row]][np.newaxis] for k, v in data.items.items()}
        for row in range(8)
    ]
    sent = [{**features, **pack(features, spec)} for features in requests]
    packed = {f"{name}, packed": path for name, path in paths.items()}
    measured = {
        number: latency(
            {**paths, **packed},
            sent,
            baseline="teacher, packed",
            threads=number,
            signatures=dict.fromkeys(packed, "packed"),
        )
        for number in (1, 2)
    }
    found: dict[str, Any] = {}
    for name, model in models.items():
        counted = parameters(model)
        found[name] = {
            "parameters in tables": counted.tables,
            "parameters outside": counted.rest,
            "mflop": round(flops(model, list_size=CANDIDATES), 2),
        }
        for number, form in itertools.product(measured, ("", ", packed")):
            times = measured[number][name + form]
            for what in ("p50", "p99", "speedup"):
                value = round(getattr(times, what), 3)
                found[name][f"{what}{form}, {number} threads"] = value
    return {"served": found, "C++": in_cpp(network, folder, paths, requests[0])}


def training_step(
    recipe: Recipe, spec: FeatureSpec, *, resting: Sequence[str] = ()
) -> Callable[[], Any]:
    """A step of a recipe on one batch of 64 requests of 20 candidates."""
    network = recipe.network(spec)
    for name in resting:
        network.part(name).trainable = False
    distiller = Distiller(network.model, recipe.terms.transfers)
    distiller.compile(
        LazyAdam(recipe.schedule.learning_rate),
        loss={output: SigmoidCrossEntropy() for output in recipe.labelled},
    )
    requests = make_requests(spec, 64, 20)
    outputs = {**recipe.labelled, **dict.fromkeys(recipe.recallers, "")}
    batches = RequestBatches(requests, batch_size=64, outputs=outputs)
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
        "dual-DNN, tables shared": dual_dnn.recipe(pair).changed(representation=None),
        "privileged features": privileged_coarse.recipe(pair.teacher, pair.fine),
        "student alone": ranking_pair.alone(pair),
    }
    return step_times({name: training_step(r, spec) for name, r in recipes.items()})


def step_times(steps: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median milliseconds of processor time of each step, in turns."""
    times = in_turns(steps, ROUNDS, dropped=2, calls=3)
    return {name: medians(spent, 2)["cpu_ms"] for name, spent in times.items()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """What is served and what is trained, with one thread."""
    threads(1)
    spec = feature_spec()
    with tempfile.TemporaryDirectory() as folder:
        served = serve(spec, pathlib.Path(folder))
    return {**served, "steps": joint_steps(spec)}


def show(run: Mapping[str, Any]) -> None:
    """Prints the tables."""
    timing.show({part: run[part] for part in ("served", "C++")})
    show_ratios("ms of CPU time a step", run["steps"])


if __name__ == "__main__":
    timing.main("ranking_speed", measure, shown=show)
