"""SavedModels run by TensorFlow's own C++ loader, the one that TensorFlow Serving uses.

This file is imported by the package and also run as a script. As a script it runs with
`python -S -E`: the standard library, `ctypes` and the C API of TensorFlow's wheel are
all that it has, so an answer proves that no Python code is needed to serve the model.
"""

from __future__ import annotations

import ctypes as C
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Failure", "call", "timed"]

_TIMEOUT = 900.0
_STRING = 7
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 10: "bool"}
_STRING_BYTES = 24

Wire = tuple
"""An array between the processes: number of its dtype, shape, bytes or strings."""


class Failure(Exception):
    """What the C++ runtime answered instead of outputs: `(code, message)`."""


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
    wired = [(signature, _wired(inputs)) for signature, inputs in requests]
    (answers,) = _in_c_process("answers", [(str(path), wired)], threads)
    return [
        answer if isinstance(answer, Failure) else _unwired(answer)
        for answer in answers
    ]


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
    jobs = [(str(path), signature, _wired(sent)) for path, signature, sent in models]
    found: list[list[float]] = _in_c_process("times", (jobs, rounds), threads)
    return found


def _in_c_process(task: str, job: Any, threads: int) -> Any:
    import tensorflow as tf  # the script has none

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "job.pickle")
        libraries = os.path.dirname(tf.__file__)
        file.write_bytes(pickle.dumps((libraries, threads, task, job)))
        process = subprocess.run(
            [sys.executable, "-S", "-E", os.path.abspath(__file__), str(file)],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if process.returncode:
            raise RuntimeError(
                "TensorFlow's C++ loader could not serve the SavedModels (exit code "
                f"{process.returncode}). Its last lines:\n{process.stderr[-2000:]}"
            )
        answers, failures = pickle.loads(Path(folder, "result.pickle").read_bytes())
    for row, column, code, message in failures:
        answers[row][column] = Failure(code, message)
    return answers


def _wired(arrays: Mapping[str, Any]) -> dict[str, Wire]:
    import numpy as np  # the script has none

    numbers = {name: number for number, name in _DTYPES.items()}
    wired: dict[str, Wire] = {}
    for name, given in arrays.items():
        array = np.asarray(given)
        if array.dtype.kind in "OSU":
            text = [x if isinstance(x, bytes) else str(x).encode() for x in array.flat]
            wired[name] = (_STRING, array.shape, text)
        else:
            wired[name] = (numbers[array.dtype.name], array.shape, array.tobytes())
    return wired


def _unwired(wired: Mapping[str, Wire]) -> dict[str, Any]:
    import numpy as np  # the script has none

    arrays = {}
    for name, (number, shape, content) in wired.items():
        if number == _STRING:
            arrays[name] = np.array(content, dtype=object).reshape(shape)
        else:
            arrays[name] = np.frombuffer(content, _DTYPES[number]).reshape(shape)
    return arrays


class _Output(C.Structure):
    _fields_ = [("operation", C.c_void_p), ("index", C.c_int)]


class _Library:
    """The few functions of the C API that serving needs, with Python errors."""

    def __init__(self, folder: str) -> None:
        framework = os.path.join(folder, "libtensorflow_framework.so.2")
        C.CDLL(framework, mode=C.RTLD_GLOBAL)
        self._c = C.CDLL(os.path.join(folder, "libtensorflow_cc.so.2"))
        self.status = C.c_void_p(self("NewStatus", C.c_void_p))

    def __call__(self, name: str, result: Any, *arguments: Any) -> Any:
        function = getattr(self._c, f"TF_{name}")
        function.restype = result
        return function(*arguments)

    def check(self) -> None:
        """Raises what the last call reported."""
        code = self("GetCode", C.c_int, self.status)
        if code:
            message = self("Message", C.c_char_p, self.status)
            raise Failure(code, message.decode(errors="replace"))

    def tensor(self, number: int, shape: Sequence[int], content: Any) -> C.c_void_p:
        """Makes a tensor."""
        dims = (C.c_int64 * len(shape))(*shape)
        size = len(content) * (_STRING_BYTES if number == _STRING else 1)
        arguments = (number, dims, len(shape), C.c_size_t(size))
        tensor = C.c_void_p(self("AllocateTensor", C.c_void_p, *arguments))
        data = self("TensorData", C.c_void_p, tensor)
        if number != _STRING:
            C.memmove(data, content, size)
            return tensor
        for row, text in enumerate(content):
            place = C.c_void_p(data + row * _STRING_BYTES)
            self("StringInit", None, place)
            self("StringCopy", None, place, text, C.c_size_t(len(text)))
        return tensor

    def wire(self, tensor: C.c_void_p) -> Wire:
        """Reads a tensor."""
        number = self("TensorType", C.c_int, tensor)
        rank = self("NumDims", C.c_int, tensor)
        shape = tuple(self("Dim", C.c_int64, tensor, axis) for axis in range(rank))
        data = self("TensorData", C.c_void_p, tensor)
        size = self("TensorByteSize", C.c_size_t, tensor)
        if number != _STRING:
            return number, shape, C.string_at(data, size)
        places = range(data or 0, (data or 0) + size, _STRING_BYTES)
        return number, shape, [self._text(C.c_void_p(place)) for place in places]

    def _text(self, place: C.c_void_p) -> bytes:
        start = self("StringGetDataPointer", C.c_void_p, place)
        return C.string_at(start, self("StringGetSize", C.c_size_t, place))


class _Model:
    """A SavedModel in a C++ session."""

    def __init__(self, library: _Library, path: str, threads: int) -> None:
        self._c = library
        options = C.c_void_p(library("NewSessionOptions", C.c_void_p))
        config = bytes([0x10, threads, 0x28, threads])  # intra_op = 2, inter_op = 5
        library("SetConfig", None, options, config, C.c_size_t(4), library.status)
        self._graph = C.c_void_p(library("NewGraph", C.c_void_p))
        meta = library("NewBuffer", C.POINTER(C.c_void_p * 3))
        tags = (C.c_char_p * 1)(b"serve")
        load = (options, None, path.encode(), tags, 1, self._graph, meta)
        session = library(
            "LoadSessionFromSavedModel", C.c_void_p, *load, library.status
        )
        library.check()
        self._session = C.c_void_p(session)
        data, length = meta.contents[0], meta.contents[1]
        self.signatures = dict(_signatures(C.string_at(data, length or 0)))

    def prepared(self, signature: str, inputs: Mapping[str, Wire]) -> Any:
        """Returns a function without arguments that runs the session once."""
        if signature not in self.signatures:
            raise Failure(9, f'Serving signature key "{signature}" not found.')
        takes, gives = self.signatures[signature]
        if set(takes) != set(inputs):
            names = f"takes {sorted(takes)}, got {sorted(inputs)}"
            raise Failure(3, f"Signature {signature} {names}.")
        feeds = (_Output * len(inputs))(*(self._output(takes[name]) for name in inputs))
        tensors = [self._c.tensor(*wire) for wire in inputs.values()]
        sent = (C.c_void_p * len(tensors))(*tensors)
        fetches = (_Output * len(gives))(*map(self._output, gives.values()))
        got = (C.c_void_p * len(gives))()
        run = (self._session, None, feeds, sent, len(tensors), fetches, got, len(gives))

        def once() -> dict[str, C.c_void_p]:
            self._c("SessionRun", None, *run, None, 0, None, self._c.status)
            self._c.check()
            return {name: C.c_void_p(found) for name, found in zip(gives, got)}

        return once

    def answer(self, signature: str, inputs: Mapping[str, Wire]) -> dict[str, Wire]:
        """Runs a signature once."""
        found = self.prepared(signature, inputs)()
        return {name: self._c.wire(tensor) for name, tensor in found.items()}

    def _output(self, name: str) -> _Output:
        operation, _, index = name.partition(":")
        found = self._c(
            "GraphOperationByName", C.c_void_p, self._graph, operation.encode()
        )
        return _Output(found, int(index))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer: numbers as they are, the rest as bytes."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            value |= (byte & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if byte < 0x80:
                return value

    while place < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            yield number, message[place : place + size]
            place += size


def _signatures(meta: bytes) -> Iterator[tuple[str, tuple[dict[str, str], ...]]]:
    """From each signature to the names of the tensors that it takes and gives."""
    for entry in (dict(_fields(x)) for number, x in _fields(meta) if number == 5):
        tensors: tuple[dict[str, str], dict[str, str]] = ({}, {})
        for number, content in _fields(entry[2]):
            if number in (1, 2):
                named = dict(_fields(content))
                place = dict(_fields(named[2])).get(1, b"")
                tensors[number - 1][named[1].decode()] = place.decode()
        yield entry[1].decode(), tensors


def _answers(library: _Library, job: Any, threads: int) -> tuple[Any, list[Any]]:
    answers: list[list[Any]] = []
    failures = []
    for path, requests in job:
        model = _Model(library, path, threads)
        answers.append([])
        for signature, inputs in requests:
            try:
                answers[-1].append(model.answer(signature, inputs))
            except Failure as failure:
                place = (len(answers) - 1, len(answers[-1]))
                failures.append((*place, *failure.args))
                answers[-1].append(None)
    return answers, failures


def _times(library: _Library, job: Any, threads: int) -> tuple[Any, list[Any]]:
    models, rounds = job
    loaded: dict[str, _Model] = {}
    runs = []
    for path, signature, inputs in models:
        if path not in loaded:
            loaded[path] = _Model(library, path, threads)
        runs.append(loaded[path].prepared(signature, inputs))
    spent: list[list[float]] = [[] for _ in runs]
    for round_ in range(-max(5, rounds // 10), rounds):
        for row in range(len(runs)):
            turn = (row + round_) % len(runs)
            start = time.perf_counter()
            found = runs[turn]()
            duration = time.perf_counter() - start
            for tensor in found.values():
                library("DeleteTensor", None, tensor)
            if round_ >= 0:
                spent[turn].append(1e3 * duration)
    return spent, []


def _main(file: Path) -> None:
    """The script: reads a job, runs it and writes the result beside it."""
    libraries, threads, task, job = pickle.loads(file.read_bytes())
    run = {"answers": _answers, "times": _times}[task]
    result = run(_Library(libraries), job, threads)
    if "numpy" in sys.modules or "tensorflow" in sys.modules:
        raise RuntimeError("Python's TensorFlow was imported, so this proves nothing.")
    file.with_name("result.pickle").write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
