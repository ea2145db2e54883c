"""Trained rankers with less precision, or compiled: what it costs and what it gives."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from formats_engines import (
    Arrays,
    Engine,
    Served,
    in_engines,
    lite_runtime,
    onnx_runtime,
)
from ranking import Ranking

from tfdistill.data import Requests
from tfdistill.export import pack, packing
from tfdistill.jobs.exports import CANDIDATES, request_of
from tfdistill.layers import FeatureEmbeddings, restricted
from tfdistill.layers.extraction import above_embeddings
from tfdistill.layers.packed import PackedEmbeddings
from tfdistill.names import feature_names
from tfdistill.spec import Feature, FeatureSpec

ROWS = {"teacher": "teacher", "student": "small soft"}
METRICS = ("auc", "gauc", "ndcg@10", "log_loss")
BLOCK = 256
DTYPES = {"ids": tf.int64, "numbers": tf.float32}


class RoundedTables(FeatureEmbeddings):
    """Tables of int8 with a scale for each row, made float32 after the gather."""

    @classmethod
    def of(cls, layer: FeatureEmbeddings) -> RoundedTables:
        """Rounds the tables of a built layer."""
        found = cls(layer.spec, name=layer.name)
        found.rounded = {}
        for dim, table in layer.tables.items():
            values = table.numpy()
            scale = np.abs(values).max(axis=1, keepdims=True) / 127 + 1e-12
            whole = np.round(values / scale).astype(np.int8)
            pair = (tf.Variable(x, trainable=False) for x in (whole, scale))
            found.rounded[dim] = tuple(pair)
        return found

    def _vectors(self, feature: Feature, rows: tf.Tensor) -> tf.Tensor:
        table, scale = self.rounded[str(self.spec.table_of(feature).dim)]
        return tf.cast(tf.gather(table, rows), tf.float32) * tf.gather(scale, rows)


def in_bfloat16(model: tf.keras.Model) -> tf.keras.Model:
    """The same layers with arithmetic in bfloat16."""

    def narrow(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        config = {**layer.get_config(), "dtype": "mixed_bfloat16"}
        return type(layer).from_config(config)

    copy = tf.keras.models.clone_model(model, clone_function=narrow)
    copy.set_weights(model.get_weights())
    return copy


def variants(model: tf.keras.Model, spec: FeatureSpec) -> dict[str, tf.Module]:
    """Modules with one signature `packed`."""
    (scores,) = model.output.values()
    small = restricted([tf.keras.Model(model.input, scores)])[0]
    groups, above = above_embeddings(small)
    (tables,) = (x for x in small.layers if isinstance(x, FeatureEmbeddings))
    narrow = in_bfloat16(above)
    compiled = tf.function(lambda *x: above(list(x)), jit_compile=True)
    kinds: dict[str, tuple[FeatureEmbeddings, Callable[[Any], Any]]] = {
        "float32": (tables, above),
        "bfloat16 arithmetic": (tables, narrow),
        "int8 tables": (RoundedTables.of(tables), above),
        "compiled by XLA": (tables, lambda x: compiled(*x)),
    }
    inputs = {"mask": tf.TensorSpec([None, None], tf.bool, name="mask")}
    for name, columns in packing(spec).items():
        side, kind = name.split("_")
        shape = [None] * (2 if side == "item" else 1)
        count = sum(column["columns"] for column in columns)
        inputs[name] = tf.TensorSpec([*shape, count], DTYPES[kind], name=name)

    def module(layer: FeatureEmbeddings, head: Callable[[Any], Any]) -> tf.Module:
        def answer(packed: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            embedded = PackedEmbeddings(layer, spec, packed)
            found = tf.cast(head([embedded.joined(g) for g in groups]), tf.float32)
            return {"scores": tf.where(packed["mask"], found, found.dtype.min)}

        root = tf.Module()
        root.tracked = [small, narrow, getattr(layer, "rounded", None), compiled]
        root.packed = tf.function(answer).get_concrete_function(inputs)
        return root

    return {name: module(*kind) for name, kind in kinds.items()}


def saved_engine(path: str) -> Engine:
    """The signature `packed` of a SavedModel, called from Python."""
    loaded = tf.saved_model.load(path)
    run = loaded.signatures["packed"]
    run.loaded = loaded  # keep it alive

    def scores(packed: Arrays) -> np.ndarray:
        return run(**{k: tf.constant(v) for k, v in packed.items()})["scores"].numpy()

    return scores


def logits(engine: Engine, requests: Requests, spec: FeatureSpec) -> np.ndarray:
    """Scores of all lists of a part, `[R, L]`."""
    found = []
    for at in range(0, len(requests.candidates), BLOCK):
        listed = np.maximum(requests.candidates[at : at + BLOCK], 0)
        features = {k: v[at : at + BLOCK] for k, v in requests.users.items()}
        features.update({k: v[listed] for k, v in requests.items.items()})
        found.append(engine(pack(features, spec)))
    return np.concatenate(found)


def measure_precision(work: pathlib.Path) -> dict[str, Any]:
    """Accuracy on the test part and time with 500 candidates, of every variant."""
    bench, rows = Ranking("simulator", None, work), {}
    for title, name in ROWS.items():
        model = bench.net(name, 0)
        spec = bench.data.spec.select(feature_names(model))
        with tempfile.TemporaryDirectory() as folder:
            found = measured(model, spec, bench, pathlib.Path(folder))
        rows.update({f"{title}, {variant}": row for variant, row in found.items()})
    return {"rows": rows}


def measured(
    model: tf.keras.Model, spec: FeatureSpec, bench: Ranking, folder: pathlib.Path
) -> dict[str, dict[str, float]]:
    """All variants of one ranker."""
    evaluator, test = bench.evaluators["test"], bench.data.test
    packed = pack(request_of(test, 0, CANDIDATES), spec)
    served, engines = {}, {}
    for name, root in variants(model, spec).items():
        path = str(folder / name.replace(" ", "_"))
        tf.saved_model.save(root, path, signatures={"packed": root.packed})
        served[name] = Served(path, "packed", packed)
        engines[name] = saved_engine(path)
    saved = served["float32"].path
    others = {
        "LiteRT": lite_runtime(saved, folder / "float.tflite"),
        "LiteRT, int8 weights": lite_runtime(saved, folder / "int8.tflite", int8=True),
        "ONNX Runtime": onnx_runtime(saved, folder / "model.onnx"),
    }
    rows = in_engines(served, others, packed)
    answers = {n: logits(e, test, spec) for n, e in {**engines, **others}.items()}
    mask = test.candidates >= 0
    for name, scores in answers.items():
        apart = np.abs(scores - answers["float32"])[mask]
        ranking = evaluator.ranking(scores)
        rows[name].update({m: round(float(ranking[m]), 5) for m in METRICS})
        rows[name]["difference"] = float(apart.max())
    return rows
