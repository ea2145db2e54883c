"""Weights of a teacher, found by their values in what leaves the training process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["leaving", "refuse_values"]

_WINDOW = 8
"""Neighbouring values that are compared as one."""
_ALIKE = 1
"""So many pairs of a window may be equal: few values, such as those of gains that are
all about 1, meet by chance."""
_ENOUGH = 4
"""So many windows in common are no chance."""
_SMALLEST = 16
"""Smaller weights are not compared: they are equal by chance."""
_SAMPLED = 2**20
_CHUNK = 2**22
_FACTORS = tuple(
    2 * int(drawn) + 1
    for drawn in np.random.default_rng(0).integers(2**62, size=_WINDOW)
)


def leaving(
    signatures: Mapping[str, Any], variables: Iterable[Any], lookups: Iterable[Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """Gives all values that a SavedModel of these signatures will hold, and of what.

    Args:
        signatures: Concrete functions by signature.
        variables: The variables that they use.
        lookups: Their lookup tables.

    Yields:
        What holds the values, for an error, and the values.
    """
    for variable in variables:
        yield f"variable {variable.name!r}", variable.numpy()
    for lookup in lookups:
        if hasattr(lookup, "export"):
            keys, values = (tensor.numpy() for tensor in lookup.export())
            order = np.argsort(keys)  # a table gives them in the order of its hashes
            yield f"lookup table {lookup.name!r}", keys[order]
            yield f"lookup table {lookup.name!r}", values[order]
    for name, function in signatures.items():
        for tensor in function.captured_inputs:
            if tensor.dtype not in (tf.resource, tf.variant):
                yield f"a constant of signature {name!r}", tensor.numpy()
        graph = function.graph.as_graph_def()
        bodies = (graph.node, *(x.node_def for x in graph.library.function))
        for node in (node for body in bodies for node in body if node.op == "Const"):
            values = tf.make_ndarray(node.attr["value"].tensor)
            yield f"constant {node.name!r} of signature {name!r}", values


def refuse_values(
    outgoing: Iterable[tuple[str, np.ndarray]],
    forbidden: Iterable[tf.Variable],
    shared: Sequence[tf.Variable],
) -> None:
    """Raises if values of a forbidden model would be served, whatever holds them.

    Compared are runs of 8 neighbouring values, along the rows and down the columns, by
    magnitude and in the precision of bfloat16. So a weight is found as a constant, as a
    clone, cast to another type, negated, transposed, cut to some rows or columns, or
    as a part of something larger. Runs with a zero or of few values count for
    nothing, and neither do weights of less than 16 values or the statistics of a
    normalisation, which are the data's.

    Args:
        outgoing: What `leaving` gives, without the variables in `shared`.
        forbidden: Weights of the teachers.
        shared: The student's own tables and representation: it may have them in common
            with a teacher, so what is in them is no secret.

    Raises:
        ValueError: If there are such values; it names what holds them, and the weight.
    """
    held = {what: keys for what, values in outgoing if (keys := _sampled(values)).size}
    every = np.unique(np.concatenate([*held.values(), np.zeros(0, np.uint64)]))
    if not every.size:
        return
    known: np.ndarray | None = None
    for weight in forbidden:
        if weight.shape.num_elements() < _SMALLEST:
            continue
        found = _found(every, weight)
        if found.any():
            # What the student shares with its teacher goes out rightly.
            if known is None:
                known = np.zeros(len(every), bool)
                for variable in shared:
                    known |= _found(every, variable)
            found &= ~known
        for what, keys in held.items():
            if found[np.searchsorted(every, keys)].sum() >= _ENOUGH:
                raise ValueError(
                    f"The export would hold values of a forbidden model: {what} has "
                    f"those of the weight {weight.name!r}. Export a student that was "
                    "built without the teacher's layers and without copies of them."
                )


def _found(every: np.ndarray, variable: tf.Variable) -> np.ndarray:
    """Which of some sorted keys are those of a variable, bool `[keys]`."""
    found = np.zeros(len(every), bool)
    for bits in _runs(variable.numpy()):
        for start in range(0, len(bits), _CHUNK):
            keys = _keys(bits[start : start + _CHUNK + _WINDOW - 1])
            place = np.minimum(np.searchsorted(every, keys), len(every) - 1)
            found[place[every[place] == keys]] = True
    return found


def _sampled(values: np.ndarray) -> np.ndarray:
    """Different keys of an array, of a very large one of a part of its windows."""
    keys = [
        found[:: max(1, len(found) // _SAMPLED)]
        for bits in _runs(values)
        for found in (_keys(bits),)
    ]
    return np.unique(np.concatenate([*keys, np.zeros(0, np.uint64)]))


def _runs(values: np.ndarray) -> Iterator[np.ndarray]:
    """The values as lines: row after row, and column after column."""
    if values.dtype == object:
        long = [text for text in values.flat if len(text) >= 4 * _SMALLEST]
        for text in long:
            yield _magnitudes(np.frombuffer(text[: len(text) // 4 * 4], np.float32))
    elif values.size * values.itemsize >= 2 * _SMALLEST:
        bits = _magnitudes(values)
        yield bits.ravel()
        # The transposed weight too, as a layout may be turned when it is stored.
        if bits.ndim > 1:
            yield bits.T.ravel()


def _magnitudes(values: np.ndarray) -> np.ndarray:
    """Absolute values in bfloat16, as the integers of their bits.

    Of what are no floats the bytes are read as float32.
    """
    if tf.as_dtype(values.dtype).is_floating:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
    elif values.nbytes % 4 == 0:
        values = np.frombuffer(values.tobytes(), np.float32)
    else:
        values = np.zeros(0, np.float32)
    # Rounded to bfloat16, without the sign: a copy in another float type has the same
    # bits.
    bits = values.view(np.uint32) & 0x7FFFFFFF
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def _keys(bits: np.ndarray) -> np.ndarray:
    """A number for each window of a line in which almost all differs, and no 0 is."""
    count = len(bits) - _WINDOW + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    keys = np.zeros(count, np.uint64)
    # Rolling sums of odd multiples: one key for each window, at any offset of a copy.
    for place, factor in enumerate(_FACTORS):
        keys += bits[place : place + count].astype(np.uint64) * np.uint64(factor)
    # Windows with a zero, or of values much alike, meet by chance and say nothing.
    zeros = np.concatenate([[0], np.cumsum(bits == 0)])
    some = zeros[_WINDOW:] == zeros[:-_WINDOW]
    alike = np.zeros(count, np.int64)
    for apart in range(1, _WINDOW):
        equal = np.concatenate([[0], np.cumsum(bits[apart:] == bits[:-apart])])
        alike += equal[_WINDOW - apart :] - equal[:count]
    return keys[some & (alike <= _ALIKE)]
