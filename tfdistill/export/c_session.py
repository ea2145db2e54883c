"""SavedModels run by TensorFlow's own C++ loader, the one that TensorFlow Serving uses.

This file is imported by the package and also run as a script. As a script it runs with
`python -S -E`: the standard library, `ctypes` and the C API of TensorFlow's wheel are
all that it has, so an answer proves that no Python code is needed to serve the model.
"""

from __future__ import annotations

import array
import contextlib
import ctypes as C
import itertools
import math
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["DTYPES", "STRING", "WIDTHS", "Failure", "Library", "Model"]

STRING = 7
DTYPES = {1: "float32", 2: "float64", 3: "int32", 7: "string", 9: "int64", 10: "bool"}
WIDTHS = {1: 4, 2: 8, 3: 4, 7: 24, 9: 8, 10: 1}
"""Bytes of a value, of a string its TF_TString without what it points to."""
_SMALL, _, _OFFSET, _VIEW = range(4)  # the last two bits of a TF_TString
_EMPTY = 2**18
_MOST_AXES = 32
_MESSAGE = 8000

Head = tuple[int, tuple[int, ...]]
"""Number of the dtype, and shape."""
Wire = tuple
"""An array between the processes: number of its dtype, shape, bytes or strings."""


class Failure(Exception):
    """What the C++ runtime answered instead of outputs: `(code, message)`."""


class _Tensor(NamedTuple):
    """A tensor of a signature; its shape has -1 for any size, None is any shape."""

    place: str
    number: int
    shape: tuple[int, ...] | None


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
                # A parser quotes a whole record, of megabytes perhaps.
                raise Failure(code, message[:_MESSAGE].decode(errors="replace"))
        finally:
            self("DeleteStatus", None, status)

    def tensor(self, wire: Wire) -> tuple[int, Any]:
        """Makes a tensor: its address, and what must live as long as it."""
        number, shape, content = wire
        kept = content
        if number == STRING:
            content, kept = _views(content)
        size = math.prod(shape) * WIDTHS[number]
        if len(content) != size:
            raise Failure(3, f"A tensor {shape} needs {size} bytes, not {len(content)}")
        dims = (C.c_int64 * len(shape))(*shape)
        arguments = (number, dims, len(shape), C.c_size_t(size))
        tensor = self("AllocateTensor", C.c_void_p, *arguments)
        data = self("TensorData", C.c_void_p, C.c_void_p(tensor))
        C.memmove(data, content, size)
        return int(tensor), kept

    def wire(self, tensor: C.c_void_p) -> Wire:
        """Reads a tensor."""
        number = self("TensorType", C.c_int, tensor)
        rank = self("NumDims", C.c_int, tensor)
        shape = tuple(self("Dim", C.c_int64, tensor, axis) for axis in range(rank))
        data = self("TensorData", C.c_void_p, tensor)
        content = C.string_at(data, self("TensorByteSize", C.c_size_t, tensor))
        if number == STRING:
            return number, shape, list(_texts(content, data))
        return number, shape, content


def _views(texts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """TF_TStrings that show parts of one buffer, and that buffer."""
    buffer = b"".join(texts)
    start = C.cast(C.c_char_p(buffer), C.c_void_p).value
    places = itertools.accumulate(map(len, texts), initial=start)
    words = array.array("Q", bytes(WIDTHS[STRING] * len(texts)))
    words[0::3] = array.array("Q", (len(text) << 2 | _VIEW for text in texts))
    words[1::3] = array.array("Q", itertools.islice(places, len(texts)))
    return words.tobytes(), buffer


def _texts(content: bytes, data: int) -> Iterator[bytes]:
    """What TF_TStrings that lie at an address hold."""
    words = array.array("Q", content)
    for row, (size, second, third) in enumerate(zip(*(words[n::3] for n in range(3)))):
        kind, start = size & 3, WIDTHS[STRING] * row
        if kind == _SMALL:  # the first byte is its size, the text follows
            yield content[start + 1 : start + 1 + (content[start] >> 2)]
        elif kind == _OFFSET:  # 32 bits of size, and as many from here to the text
            yield C.string_at(data + start + (size >> 32), (size & 0xFFFFFFFF) >> 2)
        else:
            yield C.string_at(second if kind == _VIEW else third, size >> 2)


class _Tensors:
    """Tensors that live as long as this object."""

    def __init__(self, library: Library, wires: Sequence[Wire]) -> None:
        self._c = library
        self._kept: list[Any] = []
        self.handles = (C.c_void_p * len(wires))()
        for place, wire in enumerate(wires):
            self.handles[place], kept = library.tensor(wire)
            self._kept.append(kept)

    def __del__(self) -> None:
        for handle in self.handles:
            if handle:
                self._c("DeleteTensor", None, C.c_void_p(handle))


class Model:
    """A SavedModel in a C++ session, which ends with this object.

    Args:
        library: TensorFlow's C API.
        path: Folder of the SavedModel, version included.
        threads: Threads within and between operations.

    Raises:
        Failure: If it can't be loaded.
    """

    def __init__(self, library: Library, path: str, threads: int) -> None:
        self._c = library
        self._session = C.c_void_p()
        self._graph = C.c_void_p(library("NewGraph", C.c_void_p))
        options = C.c_void_p(library("NewSessionOptions", C.c_void_p))
        count = _varint(threads)
        config = b"\x10" + count + b"\x28" + count  # intra_op = 2, inter_op = 5
        meta = library("NewBuffer", C.POINTER(C.c_void_p * 3))
        tags = (C.c_char_p * 1)(b"serve")
        load = (options, None, path.encode(), tags, 1, self._graph, meta)
        try:
            with library.status() as status:
                size = C.c_size_t(len(config))
                library("SetConfig", None, options, config, size, status)
                start = library("LoadSessionFromSavedModel", C.c_void_p, *load, status)
            self._session = C.c_void_p(start)
            data, length = meta.contents[0], meta.contents[1]
            self.signatures = dict(_signatures(C.string_at(data, length or 0)))
        finally:
            library("DeleteBuffer", None, meta)
            library("DeleteSessionOptions", None, options)

    def __del__(self) -> None:
        with contextlib.suppress(Failure):
            if self._session:
                with self._c.status() as status:
                    self._c("DeleteSession", None, self._session, status)
            self._c("DeleteGraph", None, self._graph)

    def check(self, signature: str, heads: Mapping[str, Head]) -> None:
        """Compares dtypes and shapes with a signature, before anything is allocated.

        Args:
            signature: Name of the signature.
            heads: Of each input the number of its dtype, and its shape.

        Raises:
            Failure: If there is no such signature, or it takes something else.
        """
        if signature not in self.signatures:
            raise Failure(9, f'Serving signature key "{signature}" not found.')
        takes, _ = self.signatures[signature]
        if set(takes) != set(heads):
            missing, extra = set(takes) - set(heads), set(heads) - set(takes)
            raise Failure(
                3,
                f"Inputs do not match signature {signature}. Sent extra: "
                f"{sorted(extra)}. Missing but required: {sorted(missing)}.",
            )
        for name, head in heads.items():
            wrong = _difference(takes[name], *head)
            if wrong:
                raise Failure(3, f"Input {name!r} of signature {signature} {wrong}.")

    def prepared(
        self, signature: str, inputs: Mapping[str, Wire]
    ) -> Callable[[], dict[str, C.c_void_p]]:
        """Returns a function without arguments that runs the session once."""
        heads = {name: (wire[0], wire[1]) for name, wire in inputs.items()}
        self.check(signature, heads)
        takes, gives = self.signatures[signature]
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
        once = self.prepared(signature, inputs)
        found = once()
        # An output may be an input's text: `once` keeps that until it has been read.
        answer = {name: self._c.wire(tensor) for name, tensor in found.items()}
        for tensor in found.values():
            self._c("DeleteTensor", None, tensor)
        return answer

    def _output(self, tensor: _Tensor) -> _Output:
        operation, _, index = tensor.place.partition(":")
        found = self._c(
            "GraphOperationByName", C.c_void_p, self._graph, operation.encode()
        )
        if not found:  # to run it would end the process
            raise Failure(5, f"The graph has no tensor {tensor.place!r}.")
        return _Output(found, int(index or 0))


def _difference(wanted: _Tensor, number: int, shape: Sequence[int]) -> str:
    """What is wrong with a tensor that is sent; "" if nothing is."""
    if number != wanted.number or number not in WIDTHS:
        named, sent = (DTYPES.get(x, f"dtype {x}") for x in (wanted.number, number))
        return f"takes {named}, got {sent}"
    got = list(shape)
    if any(size < 0 for size in got) or len(got) > _MOST_AXES:
        return f"needs a full shape of at most {_MOST_AXES} axes, got {got[:40]}"
    if wanted.shape is not None and (
        len(got) != len(wanted.shape)
        or any(want not in (-1, size) for want, size in zip(wanted.shape, got))
    ):
        sizes = ["any" if size < 0 else size for size in wanted.shape]
        return f"takes the shape {sizes}, got {got}".replace("'", "")
    if 0 in got and math.prod(size or 1 for size in got) > _EMPTY:
        return f"has no values and so must be small, got the shape {got}"
    return ""


def _varint(value: int) -> bytes:
    """A number as a protocol buffer has it."""
    low = []
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


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


def _signatures(meta: bytes) -> Iterator[tuple[str, tuple[dict[str, _Tensor], ...]]]:
    """From each signature to the tensors that it takes and gives, by name."""
    for entry in (dict(_fields(x)) for number, x in _fields(meta) if number == 5):
        tensors: tuple[dict[str, _Tensor], dict[str, _Tensor]] = ({}, {})
        for number, content in _fields(entry[2]):
            if number in (1, 2):
                named = dict(_fields(content))
                tensors[number - 1][named[1].decode()] = _tensor(named[2])
        yield entry[1].decode(), tensors


def _tensor(info: bytes) -> _Tensor:
    """Reads a TensorInfo."""
    found = dict(_fields(info))
    place, number = found.get(1, b"").decode(), found.get(2, 0)
    shape = list(_fields(found.get(3, b"")))
    if (3, 1) in shape:  # unknown_rank
        return _Tensor(place, number, None)
    sizes = [dict(_fields(x)).get(1, 0) for field, x in shape if field == 2]
    return _Tensor(place, number, tuple(-1 if x >> 63 else x for x in sizes))


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
