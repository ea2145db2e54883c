"""Servables for other runtimes than TensorFlow's, and everything timed in turns."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from timing import in_turns, percentiles

from tfdistill.export.c_loader import Failure, call, timed

PASSES, ROUNDS = 4, 100

Arrays = Mapping[str, np.ndarray]
Engine = Callable[[Arrays], np.ndarray]
"""From a packed request to scores `[B, L]`."""


@dataclasses.dataclass(frozen=True)
class Served:
    """What TensorFlow's C++ loader runs.

    Args:
        path: Folder of the SavedModel.
        signature: The signature to call.
        request: Its inputs.
        output: Which of its outputs are the scores.
    """

    path: str
    signature: str
    request: Arrays
    output: str = "scores"

    def scores(self) -> np.ndarray:
        """What it answers to the request."""
        (found,) = call(self.path, [(self.signature, self.request)])
        if isinstance(found, Failure):
            raise found
        return found[self.output]


def lite_runtime(saved: str, file: pathlib.Path, *, int8: bool = False) -> Engine:
    """The signature `packed` in LiteRT, one thread."""
    from ai_edge_litert.interpreter import Interpreter

    return _runner(Interpreter, _converted(saved, file, int8))


def tf_lite(saved: str, file: pathlib.Path) -> Engine:
    """The signature `packed` in the interpreter that TensorFlow 2.15 has."""
    return _runner(tf.lite.Interpreter, _converted(saved, file, False))


def onnx_runtime(saved: str, file: pathlib.Path) -> Engine:
    """The signature `packed` in ONNX Runtime, one thread."""
    import onnxruntime

    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", saved]
    command += ["--signature_def", "packed", "--output", str(file), "--opset", "17"]
    subprocess.run(command, check=True, capture_output=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options)
    names = [given.name for given in session.get_inputs()]
    # tf2onnx names inputs as tensors of the graph: "packed_mask:0" or "mask".
    keys = {name: name.partition(":")[0].removeprefix("packed_") for name in names}
    return lambda packed: session.run(None, {n: packed[keys[n]] for n in names})[0]


def _converted(saved: str, file: pathlib.Path, int8: bool) -> str:
    if not file.exists():
        converter = tf.lite.TFLiteConverter.from_saved_model(
            saved, signature_keys=["packed"]
        )
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        file.write_bytes(converter.convert())
    return str(file)


def _runner(interpreter: Any, file: str) -> Engine:
    loaded = interpreter(file, num_threads=1)
    run = loaded.get_signature_runner("packed")
    run.interpreter = loaded  # keep it alive
    return lambda packed: run(**packed)["scores"]


def in_engines(
    served: Mapping[str, Served], engines: Mapping[str, Engine], packed: Arrays
) -> dict[str, dict[str, float]]:
    """Milliseconds of a request on one thread, TensorFlow's models without the call.

    The C++ loader and the other engines take turns; the latter are called from Python.
    """
    jobs = [(s.path, s.signature, s.request) for s in served.values()]
    calls = {name: functools.partial(run, packed) for name, run in engines.items()}
    spent: dict[str, list[float]] = {name: [] for name in (*served, *engines)}
    for _ in range(PASSES):
        for name, times in zip(served, timed(jobs, rounds=ROUNDS)):
            spent[name].extend(times)
        for name, clocks in in_turns(calls, ROUNDS, dropped=5).items():
            spent[name].extend(clocks["wall"])
    return {name: percentiles(x, 10, 50, digits=4) for name, x in spent.items()}
