"""SavedModels run by TensorFlow's own C++ loader, the one that TensorFlow Serving uses.

`call` and `timed` use a process that has no Python code but `c_session`, which proves
that the model needs none; `loaded` runs it here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.export import c_session
from tfdistill.export.c_session import (
    DTYPES,
    STRING,
    WIDTHS,
    Failure,
    Head,
    Library,
    Model,
    Wire,
)
from tfdistill.export.standalone import run_script

__all__ = [
    "DTYPES",
    "STRING",
    "WIDTHS",
    "Failure",
    "Head",
    "Model",
    "Wire",
    "arrays",
    "call",
    "loaded",
    "timed",
    "wire",
]


def call(
    path: str | Path,
    requests: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    threads: int = 1,
) -> list[Any]:
    """Loads a SavedModel with the C++ loader and runs requests one after the other.

    Args:
        path: Folder of the SavedModel, version included.
        requests: Pairs of a signature and its inputs by name.
        threads: Threads within and between operations.

    Returns:
        For each request the outputs by name, or the `Failure` that it met.

    Raises:
        RuntimeError: If the model can't be loaded.

    Example:
        >>> import tempfile
        >>> root = tf.Module()
        >>> double = tf.function(lambda x: {"y": 2.0 * x})
        >>> double = double.get_concrete_function(tf.TensorSpec([None], name="x"))
        >>> with tempfile.TemporaryDirectory() as path:
        ...     tf.saved_model.save(root, path, signatures={"double": double})
        ...     call(path, [("double", {"x": np.array([1.5], np.float32)})])
        [{'y': array([3.], dtype=float32)}]
    """
    wired = [(signature, wire(inputs)) for signature, inputs in requests]
    (answers,) = _in_c_process("answers", [(os.path.abspath(path), wired)], threads)
    return [
        answer if isinstance(answer, Failure) else arrays(answer) for answer in answers
    ]


def loaded(path: str | Path, *, threads: int = 1) -> Model:
    """Loads a SavedModel with the C++ loader into this process.

    Args:
        path: Folder of the SavedModel, version included.
        threads: Threads within and between operations.

    Returns:
        The model; calls of `answer` from several threads may run at the same time.

    Raises:
        Failure: If it can't be loaded.
    """
    return Model(Library(os.path.dirname(tf.__file__)), str(path), threads)


def timed(
    models: Sequence[tuple[str | Path, str, Mapping[str, Any]]],
    *,
    rounds: int,
    threads: int = 1,
) -> list[list[float]]:
    """Times signatures of SavedModels in turns, as a C++ server would run them.

    Args:
        models: Folder, signature and inputs of each.
        rounds: How often each is run.
        threads: Threads within and between operations.

    Returns:
        The milliseconds of each.

    Raises:
        RuntimeError: If a model can't be loaded or run.
    """
    jobs = [
        (os.path.abspath(path), signature, wire(sent))
        for path, signature, sent in models
    ]
    found: list[list[float]] = _in_c_process("times", (jobs, rounds), threads)
    return found


def _in_c_process(task: str, job: Any, threads: int) -> Any:
    answers, failures = run_script(
        c_session.__file__,
        (os.path.dirname(tf.__file__), threads, task, job),
        "TensorFlow's C++ loader",
        flags=("-S", "-E"),
    )
    for row, column, code, message in failures:
        answers[row][column] = Failure(code, message)
    return answers


def wire(given: Mapping[str, Any]) -> dict[str, Wire]:
    """Takes arrays apart for `Model.answer`."""
    numbers = {name: number for number, name in DTYPES.items()}
    wired: dict[str, Wire] = {}
    for name, values in given.items():
        array = np.asarray(values)
        if array.dtype.kind in "OSU":
            text = [x if isinstance(x, bytes) else str(x).encode() for x in array.flat]
            wired[name] = (STRING, array.shape, text)
        else:
            wired[name] = (numbers[array.dtype.name], array.shape, array.tobytes())
    return wired


def arrays(wired: Mapping[str, Wire]) -> dict[str, Any]:
    """Puts together the arrays that `Model.answer` returns."""
    found = {}
    for name, (number, shape, content) in wired.items():
        if number == STRING:
            found[name] = np.array(content, dtype=object).reshape(shape)
        else:
            found[name] = np.frombuffer(content, DTYPES[number]).reshape(shape)
    return found
