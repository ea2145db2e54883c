"""What a server sees: SavedModels run by TensorFlow alone, in a process of its own.

This file is imported by the package and also run as a script. As a script it must work
without tfdistill, so it imports the standard library, numpy and TensorFlow only.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["answers", "in_fresh_process", "run_script", "timings"]

Arrays = Mapping[str, np.ndarray]

_WARM_UP = 5
_TIMEOUT = 900.0


def answers(
    paths: Sequence[str], requests: Sequence[Mapping[str, Arrays]]
) -> list[dict[str, dict[str, np.ndarray]]]:
    """Calls signatures of SavedModels.

    Args:
        paths: Folders of SavedModels.
        requests: For each of them, the inputs of each signature to call.

    Returns:
        For each of them, the outputs of each signature.
    """
    results = []
    for path, calls in zip(paths, requests):
        loaded = tf.saved_model.load(path)  # must outlive its signatures
        answer = {}
        for signature, inputs in calls.items():
            function = loaded.signatures[signature]
            outputs = function(**_feed(function, inputs))
            answer[signature] = {name: x.numpy() for name, x in outputs.items()}
        results.append(answer)
    return results


def timings(
    served: Sequence[tuple[str, str, Arrays]], requests: Sequence[Arrays], rounds: int
) -> np.ndarray:
    """Times signatures of several SavedModels in turns.

    The models take turns within every request, each round in another order, so that
    whatever else the machine does meets all of them. The tensors are made beforehand.

    Args:
        served: Folder, signature and inputs of its own of each of M.
        requests: Inputs by name, those of all signatures together; each takes those
            that it names.
        rounds: How often all requests are sent.

    Returns:
        Milliseconds `[M, rounds * requests]`.
    """
    models = {path: tf.saved_model.load(path) for path in {path for path, *_ in served}}
    functions = [models[path].signatures[signature] for path, signature, _ in served]
    calls = [
        [_feed(f, {**sent, **own}) for f, (*_, own) in zip(functions, served)]
        for sent in requests
    ]
    for _ in range(_WARM_UP):
        for feeds in calls:
            for function, feed in zip(functions, feeds):
                function(**feed)
    spent = np.zeros([len(functions), rounds * len(calls)])
    order = np.random.default_rng(0)
    for column in range(spent.shape[1]):
        feeds = calls[column % len(calls)]
        # Drawn, because a call after a large one finds its caches emptied.
        for row in order.permutation(len(functions)):
            start = time.perf_counter()
            functions[row](**feeds[row])
            spent[row, column] = time.perf_counter() - start
    return spent * 1e3


def in_fresh_process(
    task: str, *arguments: Any, threads: int | None = None
) -> tuple[Any, str]:
    """Runs `answers` or `timings` in a new Python process that has no tfdistill.

    Args:
        task: Name of the function.
        *arguments: Its arguments.
        threads: Threads within and between operations; by default TensorFlow's choice.

    Returns:
        What the function returned, and a description of the process.

    Raises:
        RuntimeError: If the process failed; the text has the end of its output.
    """
    job = (task, arguments, threads)
    result: tuple[Any, str] = run_script(__file__, job, "A fresh Python process")
    return result


def run_script(script: str, job: Any, what: str, *, flags: Sequence[str] = ()) -> Any:
    """Runs a script in a new Python process, on a pickled job.

    Args:
        script: It reads the file of the job that is its argument, and writes
            `result.pickle` beside it.
        job: What the file holds.
        what: Name of the process, for the error.
        flags: Of the interpreter.

    Returns:
        What it wrote.

    Raises:
        RuntimeError: If the process failed; the text has the end of its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "job.pickle")
        file.write_bytes(pickle.dumps(job))
        process = subprocess.run(
            [sys.executable, *flags, os.path.abspath(script), str(file)],
            cwd=folder,
            # The parent may hold all memory of the GPUs; a server's CPU is the measure.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if process.returncode:
            raise RuntimeError(
                f"{what} could not serve the SavedModels (exit code "
                f"{process.returncode}). Its last lines:\n{process.stderr[-2000:]}"
            )
        return pickle.loads(Path(folder, "result.pickle").read_bytes())


def _feed(function: Any, arrays: Arrays) -> dict[str, tf.Tensor]:
    """The tensors that a signature takes, in its dtypes."""
    inputs = function.structured_input_signature[1]
    names = {spec.name for spec in inputs.values()}  # the columns'; keys are safe ones
    missing = sorted(names - set(arrays))
    if missing:
        raise ValueError(
            f"The signature takes {sorted(names)}; the request lacks {missing}."
        )
    return {key: tf.constant(arrays[x.name], x.dtype) for key, x in inputs.items()}


def _main(job: Path) -> None:
    """The script: reads a task, runs it and writes the result beside it."""
    task, arguments, threads = pickle.loads(job.read_bytes())
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    tasks: dict[str, Callable[..., Any]] = {"answers": answers, "timings": timings}
    result = tasks[task](*arguments)
    if "tfdistill" in sys.modules:
        raise RuntimeError("tfdistill was imported, so this proves nothing.")
    description = (
        f"a fresh Python process, TensorFlow {tf.__version__}, without tfdistill"
    )
    job.with_name("result.pickle").write_bytes(pickle.dumps((result, description)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
