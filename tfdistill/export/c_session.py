"""SavedModels run by TensorFlow's own C++ loader, the one that TensorFlow Serving uses.

This file is imported by the package and also run as a script. As a script it runs with
`python -S -E`: the standard library, `ctypes` and the C API of TensorFlow's wheel are
all that it has, so an answer proves that no Python code is needed to serve the model.
"""

from __future__ import annotations

import contextlib
import ctypes as C
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["DTYPES", "STRING", "Failure", "Library", "Model"]

STRING = 7
DTYPES = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 10: "bool"}
_STRING_BYTES = 24

Wire = tuple
"""An array between the processes: number of its dtype, shape, bytes or strings."""


class Failure(Exception):
    """What the C++ runtime answered instead of outputs: `(code, message)`."""


class _Output(C.Structure):
    _fields_ = [("operation", C.c_void_p), ("index", C.c_int)]


class Library:
    """The few functions of the C API that serving needs, with Python errors."""

    def __init__(self, folder: str) -> None:
        framework = os.path.join(folder, "libtensorflow_framework.so.2")
        C.CDLL(framework, mode=C.RTLD_GLOBAL)
        self._c = C.CDLL(os.path.join(folder, "libtensorflow_cc.so.2"))

    def __call__(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls `TF_name` with a result of this ctype."""
        function = getattr(self._c, f"TF_{name}")
        function.restype = result
        return function(*arguments)

    @contextlib.contextmanager
    def status(self) -> Iterator[C.c_void_p]:
        """A status for calls; what they report is raised."""
        status = C.c_void_p(self("NewStatus", C.c_void_p))
        try:
            yield status
            code = self("GetCode", C.c_int, status)
            if code:
                message = self("Message", C.c_char_p, status)
                raise Failure(code, message.decode(errors="replace"))
        finally:
            self("DeleteStatus", None, status)

    def tensor(self, number: int, shape: Sequence[int], content: Any) -> int:
        """Makes a tensor and returns its address."""
        dims = (C.c_int64 * len(shape))(*shape)
        size = len(content) * (_STRING_BYTES if number == STRING else 1)
        arguments = (number, dims, len(shape), C.c_size_t(size))
        tensor = self("AllocateTensor", C.c_void_p, *arguments)
        data = self("TensorData", C.c_void_p, C.c_void_p(tensor))
        if number != STRING:
            C.memmove(data, content, size)
            return int(tensor)
        for row, text in enumerate(content):
            place = C.c_void_p(data + row * _STRING_BYTES)
            self("StringInit", None, place)
            self("StringCopy", None, place, text, C.c_size_t(len(text)))
        return int(tensor)

    def wire(self, tensor: C.c_void_p) -> Wire:
        """Reads a tensor."""
        number = self("TensorType", C.c_int, tensor)
        rank = self("NumDims", C.c_int, tensor)
        shape = tuple(self("Dim", C.c_int64, tensor, axis) for axis in range(rank))
        data = self("TensorData", C.c_void_p, tensor)
        size = self("TensorByteSize", C.c_size_t, tensor)
        if number != STRING:
            return number, shape, C.string_at(data, size)
        places = range(data or 0, (data or 0) + size, _STRING_BYTES)
        return number, shape, [self._text(C.c_void_p(place)) for place in places]

    def _text(self, place: C.c_void_p) -> bytes:
        start = self("StringGetDataPointer", C.c_void_p, place)
        return C.string_at(start, self("StringGetSize", C.c_size_t, place))


class _Tensors:
    """Tensors that live as long as this object."""

    def __init__(self, library: Library, wires: Sequence[Wire]) -> None:
        self._c = library
        self.handles = (C.c_void_p * len(wires))()
        for place, (number, shape, content) in enumerate(wires):
            self.handles[place] = library.tensor(number, shape, content)

    def __del__(self) -> None:
        for handle in self.handles:
            if handle:
                self._c("DeleteTensor", None, C.c_void_p(handle))


class Model:
    """A SavedModel in a C++ session.

    Args:
        library: TensorFlow's C API.
        path: Folder of the SavedModel, version included.
        threads: Threads within and between operations.

    Raises:
        Failure: If it can't be loaded.
    """

    def __init__(self, library: Library, path: str, threads: int) -> None:
        self._c = library
        options = C.c_void_p(library("NewSessionOptions", C.c_void_p))
        config = bytes([0x10, threads, 0x28, threads])  # intra_op = 2, inter_op = 5
        self._graph = C.c_void_p(library("NewGraph", C.c_void_p))
        meta = library("NewBuffer", C.POINTER(C.c_void_p * 3))
        tags = (C.c_char_p * 1)(b"serve")
        load = (options, None, path.encode(), tags, 1, self._graph, meta)
        with library.status() as status:
            library("SetConfig", None, options, config, C.c_size_t(4), status)
            session = library("LoadSessionFromSavedModel", C.c_void_p, *load, status)
        self._session = C.c_void_p(session)
        data, length = meta.contents[0], meta.contents[1]
        self.signatures = dict(_signatures(C.string_at(data, length or 0)))

    def prepared(
        self, signature: str, inputs: Mapping[str, Wire]
    ) -> Callable[[], dict[str, C.c_void_p]]:
        """Returns a function without arguments that runs the session once."""
        if signature not in self.signatures:
            raise Failure(9, f'Serving signature key "{signature}" not found.')
        takes, gives = self.signatures[signature]
        if set(takes) != set(inputs):
            missing, extra = set(takes) - set(inputs), set(inputs) - set(takes)
            raise Failure(
                3,
                f"Inputs do not match signature {signature}. Sent extra: "
                f"{sorted(extra)}. Missing but required: {sorted(missing)}.",
            )
        feeds = (_Output * len(inputs))(*(self._output(takes[name]) for name in inputs))
        fetches = (_Output * len(gives))(*map(self._output, gives.values()))
        tensors = _Tensors(self._c, list(inputs.values()))

        def once() -> dict[str, C.c_void_p]:
            got = (C.c_void_p * len(gives))()
            run = (feeds, tensors.handles, len(inputs), fetches, got, len(gives))
            with self._c.status() as status:
                session = (self._session, None)
                self._c("SessionRun", None, *session, *run, None, 0, None, status)
            return {name: C.c_void_p(found) for name, found in zip(gives, got)}

        return once

    def answer(self, signature: str, inputs: Mapping[str, Wire]) -> dict[str, Wire]:
        """Runs a signature once.

        Args:
            signature: Name of the signature.
            inputs: Its inputs by name, as `wire` makes them.

        Returns:
            The outputs by name.

        Raises:
            Failure: What the runtime reports.
        """
        found = self.prepared(signature, inputs)()
        answer = {name: self._c.wire(tensor) for name, tensor in found.items()}
        for tensor in found.values():
            self._c("DeleteTensor", None, tensor)
        return answer

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


def _answers(library: Library, job: Any, threads: int) -> tuple[Any, list[Any]]:
    answers: list[list[Any]] = []
    failures = []
    for path, requests in job:
        model = Model(library, path, threads)
        answers.append([])
        for signature, inputs in requests:
            try:
                answers[-1].append(model.answer(signature, inputs))
            except Failure as failure:
                place = (len(answers) - 1, len(answers[-1]))
                failures.append((*place, *failure.args))
                answers[-1].append(None)
    return answers, failures


def _times(library: Library, job: Any, threads: int) -> tuple[Any, list[Any]]:
    models, rounds = job
    loaded: dict[str, Model] = {}
    runs = []
    for path, signature, inputs in models:
        if path not in loaded:
            loaded[path] = Model(library, path, threads)
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
    result = run(Library(libraries), job, threads)
    if "numpy" in sys.modules or "tensorflow" in sys.modules:
        raise RuntimeError("Python's TensorFlow was imported, so this proves nothing.")
    file.with_name("result.pickle").write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
