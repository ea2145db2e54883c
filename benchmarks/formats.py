"""One student in the forms that it can be served in, and what precision costs.

`formats`: the student of ranking_speed.py (64-32 over 26 + 13 fields, not trained), one
user and 500 candidates: each signature of the export, with integer ids and with
strings; the same Keras model by a plain `model.save`; LiteRT and ONNX Runtime from the
signature `packed`. Beside it a student of recall over 10,000 items: our export and that
of TFRS' BruteForce. `precision`: teacher and student of ranking.py's simulator, with
weights and arithmetic of less precision or compiled, judged on its test part.

    python benchmarks/formats.py formats
    python benchmarks/formats.py precision [--work DIR]
    python benchmarks/formats.py table

Needs ai-edge-litert, tf2onnx, onnx<1.19 and onnxruntime. A run is one line of
benchmarks/results/formats_<part>.jsonl; --rerun measures another; `table` writes the
tables of docs/serving.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import tempfile
from typing import Any

import numpy as np
import store
import tensorflow as tf
import tensorflow_recommenders as tfrs
import timing
from formats_engines import (
    Arrays,
    Served,
    in_engines,
    lite_runtime,
    onnx_runtime,
    tf_lite,
)
from formats_precision import measure_precision
from pages import markdown
from ranking_speed import CANDIDATES, feature_spec, make_pair, make_requests
from timing import threads

from tfdistill.export import (
    candidate_examples,
    export_ranker,
    export_recall,
    pack,
    tf_examples,
)
from tfdistill.layers import standalone
from tfdistill.models import Net, TwoTower, joint_network
from tfdistill.spec import FeatureSpec

NAME = "formats"
K = 100
TITLES = {
    "p10": "ms, first decile",
    "p50": "ms, median",
    "difference": "largest difference",
    "auc": "AUC",
    "gauc": "GAUC",
    "ndcg@10": "NDCG@10",
    "log_loss": "log loss",
}


def as_text(spec: FeatureSpec) -> FeatureSpec:
    """The same features with strings for ids, hashed to tables of the same sizes."""
    features = [
        dataclasses.replace(f, dtype="string", default="") if f.table else f
        for f in spec.features
    ]
    tables = [dataclasses.replace(table, kind="hash") for table in spec.tables]
    return FeatureSpec(tuple(features), tuple(tables))


def request_of(spec: FeatureSpec) -> dict[str, np.ndarray]:
    """One user and the candidates."""
    data = make_requests(spec, 1, CANDIDATES)
    drawn = {k: v[:1] for k, v in data.users.items()}
    drawn.update({k: v[data.candidates[0]][np.newaxis] for k, v in data.items.items()})
    return drawn


def signatures(
    spec: FeatureSpec, request: Arrays, folder: pathlib.Path, ids: str
) -> tuple[tf.keras.Model, dict[str, Served]]:
    """A student, and its export by signature."""
    model = standalone(make_pair(spec).recipe.network(spec).part("fine"))
    path = export_ranker(model, spec, folder / ids, example=request).path
    records = {"inputs": candidate_examples(request, spec)}
    serialized = {"serialized": tf_examples(request, spec)}
    forms = {
        "packed": Served(path, "packed", pack(request, spec)),
        "a tensor per feature": Served(path, "serving_default", request),
        "a tf.Example per request": Served(path, "tf_example", serialized),
        "a tf.Example per candidate": Served(path, "regress", records, "outputs"),
    }
    return model, {f"{form}, {ids}": served for form, served in forms.items()}


def recall(spec: FeatureSpec, folder: pathlib.Path) -> dict[str, Served]:
    """A student of recall: our export, and TFRS' own of the same towers."""
    network = joint_network(
        spec, {"recall": Net(TwoTower((64,), 32), spec.names, task="recall")}
    )
    query, item = (
        network.part("recall", output=f"recall_{tower}", scope=scope)
        for tower, scope in (("query", "user"), ("item", "item"))
    )
    data = make_requests(spec, 1, CANDIDATES)
    items, ids = data.items, np.arange(data.num_items)
    ours = export_recall(query, item, spec, items, ids, folder / "recall", k=K).path
    listed = {name: column[np.newaxis] for name, column in items.items()}
    vectors = item(listed)["recall_item"][0]
    tower = tf.keras.Model(query.input, query.output["recall_query"])
    index = tfrs.layers.factorized_top_k.BruteForce(tower, k=K)
    index.index(vectors, tf.constant(ids))
    index({name: tf.constant(column[:1]) for name, column in data.users.items()})
    theirs = str(folder / "TFRS")
    tf.saved_model.save(index, theirs)
    user = {name: column[:1] for name, column in data.users.items()}
    return {
        "top 100 of 10,000, our export": Served(ours, "serving_default", user),
        "top 100 of 10,000, TFRS' BruteForce": Served(
            theirs, "serving_default", user, "output_1"
        ),
    }


def measure_formats() -> dict[str, Any]:
    """Time and largest difference of every form."""
    tf.keras.utils.set_random_seed(0)
    spec = feature_spec()
    request = request_of(spec)
    text = {
        k: v.astype("U").astype(object) if v.dtype.kind == "i" else v
        for k, v in request.items()
    }
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model, served = signatures(spec, request, folder, "integers")
        _, strings = signatures(as_text(spec), text, folder, "strings")
        keras = str(folder / "keras")
        model.save(keras)
        served["plain model.save, integers"] = Served(
            keras, "serving_default", request, "fine"
        )
        saved, packed = served["packed, integers"].path, pack(request, spec)
        engines = {
            "LiteRT": lite_runtime(saved, folder / "float.tflite"),
            "LiteRT, int8 weights": lite_runtime(
                saved, folder / "int8.tflite", int8=True
            ),
            "TF 2.15's tf.lite": tf_lite(saved, folder / "float.tflite"),
            "ONNX Runtime": onnx_runtime(saved, folder / "student.onnx"),
        }
        expected = served["packed, integers"].scores().ravel()
        answers = {name: form.scores() for name, form in served.items()}
        answers.update({name: engine(packed) for name, engine in engines.items()})
        found = recall(spec, folder)
        ours, theirs = (np.sort(form.scores()) for form in found.values())
        rows = in_engines({**served, **strings, **found}, engines, packed)
    for name, scores in answers.items():
        rows[name]["difference"] = float(np.abs(scores.ravel() - expected).max())
    rows["top 100 of 10,000, TFRS' BruteForce"]["difference"] = float(
        np.abs(ours - theirs).max()
    )
    return {"rows": rows}


def table(part: str) -> str:
    """A part's newest run in Markdown."""
    rows = list(store.finished(f"{NAME}_{part}").values())[-1]["rows"]
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    cells = [[n, *(_shown(c, row.get(c)) for c in columns)] for n, row in rows.items()]
    shown = markdown(["", *(TITLES[column] for column in columns)], cells)
    return shown.replace("|  |", "| |", 1)  # as the page has it


def _shown(column: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if column == "difference":
        return f"{value:.0e}" if value else "0"
    return f"{value:.{3 if column in ('p10', 'p50') else 4}g}"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    threads(1)
    if options.part == "formats":
        return measure_formats()
    return measure_precision(options.work)


if __name__ == "__main__":
    timing.main(
        NAME,
        measure,
        parts=("formats", "precision"),
        arguments={"--work": timing.folder("runs/ranking")},
        table=table,
        page="serving.md",
    )
