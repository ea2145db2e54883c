"""Requests as files of tf.Example: one Example per request, read as batches."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data.requests import Requests
from tfdistill.data.targets import (
    choose_positive,
    label_targets,
    pair_weights,
    tasks_of,
)
from tfdistill.files import read_as, written_whole
from tfdistill.spec import LISTED, RESERVED_NAMES, FeatureSpec

__all__ = ["read_tfrecords", "write_tfrecords"]

_ITEM_ROW = "item_row"
_FRAME = 16
"""Bytes of a record besides its data: its length and two checksums."""
_AT_ONCE = 256
_WRITE_AGAIN = " (counted from 0): write the file again, or only the records before"


def write_tfrecords(
    requests: Requests,
    spec: FeatureSpec,
    path: str | Path,
    *,
    label: str = "label",
    weight: str = "weight",
) -> None:
    """Writes one tf.Example per request, in order.

    A user feature is a list of its values. An item or pair feature is one flat list
    over the candidates, padding left out, so that L candidates with shape `(n,)` give
    L * n values. So are the labels (NaN where unlabelled), the labels of further tasks
    and the scores under their names, the weights if there are any, and `item_row`, the
    rows in the catalogue. `request_id` is the request's id, if it has one. The file
    appears when it is whole.

    Args:
        requests: The requests.
        spec: The features to write.
        path: The file.
        label: Name to write the labels under.
        weight: Name to write the weights under.

    Raises:
        ValueError: If the requests lack a feature of the spec, or two lists would have
            one name.

    Example:
        >>> import tempfile
        >>> from tfdistill.spec import Feature
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> requests = Requests({}, {"price": np.array([3.0, 5.0], np.float32)},
        ...     candidates=np.array([[1, 0]], np.int32),
        ...     labels=np.array([[1, 0]], np.float32), group=np.array([0]))
        >>> path = tempfile.mkdtemp() + "/requests.tfrecord"
        >>> write_tfrecords(requests, spec, path)
        >>> x, y, w = next(iter(read_tfrecords(path, spec, batch_size=1)))
        >>> x["price"].numpy().tolist(), y["fine"].numpy().tolist()
        ([[5.0, 3.0]], [[1.0, 0.0]])
    """
    for feature in spec.features:
        side = requests.features(feature.scope)
        if feature.name not in side:
            raise ValueError(
                f"The requests have no {feature.scope} feature {feature.name!r}; they "
                f"have {sorted(side)}."
            )
    lists = _lists(requests, spec, label, weight)
    with written_whole(path) as unfinished:
        with tf.io.TFRecordWriter(str(unfinished)) as writer:
            for row in range(requests.num_requests):
                example = _example(requests, spec, row, lists)
                writer.write(example.SerializeToString())


def read_tfrecords(
    paths: str | Path | Sequence[str | Path],
    spec: FeatureSpec,
    *,
    batch_size: int,
    outputs: Sequence[str] | Mapping[str, str] = ("fine",),
    label: str = "label",
    scores: Sequence[str] = (),
    weight: str | None = None,
    keys: Mapping[str, str] = MappingProxyType({}),
    repeat: bool = False,
) -> tf.data.Dataset:
    """Reads batches of requests from files with one tf.Example per request.

    Examples are batched before they are parsed, which is ten times faster than the
    other way round. Give whole batches to `fit` by `repeat`, and let it resume with
    `lambda step: read_tfrecords(..., repeat=True).skip(step)`; requests come in the
    order of the files, so write them in the order to learn from.

    Args:
        paths: One file or several, in the layout of `write_tfrecords`.
        spec: The features to read, others are not parsed.
        batch_size: B.
        outputs: Names of the model outputs that learn from the labels; or for each
            output the list of its task's labels, `""` for `label`.
        label: The Examples' flat list of labels, one per candidate, NaN where
            unlabelled: its length is the number of candidates.
        scores: Lists of a teacher's scores, to be features of the batch.
        weight: List of the weights; 1 by default.
        keys: Further values of a request, one each, to be features of the batch: dtype
            by name. `{"request_id": "int64"}` is what stored scores are joined by.
        repeat: Begin again after the last request, endlessly, with full batches.

    Returns:
        A dataset of `(x, y, w)` as `RequestBatches` gives it, padded to the longest
        list of the batch; `item_row` is -1 where the files have none, `positive` the
        first interaction of the list. There is no `log_q`: a file does not know how
        often an item comes.

    Raises:
        ValueError: If a file is missing, compressed or of another format, or a list has
            the name of a feature or of another key of a batch. Iterating raises
            `InvalidArgumentError` if a request has no candidate, lists of different
            lengths or a negative label, or where a file is damaged or cut: it names the
            file and the record.

    Example:
        >>> import tempfile
        >>> from tfdistill.spec import Feature
        >>> path = tempfile.mkdtemp() + "/mine.tfrecord"
        >>> floats = {"price": [5.0, 3.0], "click": [1.0, 0.0]}
        >>> example = tf.train.Example(features=tf.train.Features(feature={
        ...     name: tf.train.Feature(float_list=tf.train.FloatList(value=values))
        ...     for name, values in floats.items()}))
        >>> with tf.io.TFRecordWriter(path) as writer:
        ...     writer.write(example.SerializeToString())
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> batches = read_tfrecords(path, spec, batch_size=8, label="click")
        >>> x, y, w = next(iter(batches))
        >>> x["price"].numpy().tolist(), y["fine"].numpy().tolist()
        ([[5.0, 3.0]], [[1.0, 0.0]])
    """
    given = [paths] if isinstance(paths, (str, Path)) else paths
    files = [str(file) for file in given]
    missing = [file for file in files if not tf.io.gfile.exists(file)]
    if missing or not files:
        raise ValueError(f"No TFRecord file at {missing or 'the given paths'}.")
    sizes = [_checked_size(file) for file in files]
    tasks = {task: task or label for task in ("", *tasks_of(outputs).values())}
    lists = {*tasks.values(), *scores} | ({weight} if weight else set())
    clash = sorted(
        (lists | set(keys)) & {*spec.names, _ITEM_ROW} | set(scores) & RESERVED_NAMES
    )
    if clash:
        raise ValueError(
            f"The lists or keys {clash} have names of features or of other keys of a "
            "batch; write them under names of their own."
        )
    sized = tf.data.Dataset.from_tensor_slices((files, np.array(sizes, np.int64)))
    dataset = sized.flat_map(_whole_records)
    if repeat:
        dataset = dataset.repeat()
    dataset = dataset.rebatch(batch_size, drop_remainder=repeat)

    def parse(serialized: tf.Tensor) -> Any:
        x, read = _parse(serialized, spec, lists, label, keys)
        x["positive"] = choose_positive(x["mask"], read[label], None)
        x.update((name, read[name]) for name in scores)
        labels = {task: read[name] for task, name in tasks.items()}
        for name in tasks.values():
            negative = tf.reduce_any(read[name] < 0)
            why = f"{name} is negative; NaN marks a candidate without a label"
            tf.debugging.assert_equal(negative, False, why)
        weights = pair_weights(read[weight] if weight else None, x["mask"])
        x["pair_weight"] = weights
        return (x, *label_targets(labels, weights, x["mask"], tasks_of(outputs)))

    return dataset.map(parse).prefetch(tf.data.AUTOTUNE)


def _checked_size(file: str) -> int:
    """Bytes of a file; refuses one that does not begin with a record, if not empty."""
    with read_as(file, "a TFRecord file", remedy="Write it again, uncompressed."):
        with tf.io.gfile.GFile(file, "rb") as opened:
            size, head = opened.size(), opened.read(8)
        needed = _FRAME + int.from_bytes(head, "little")
        if head.startswith(b"\x1f\x8b"):
            raise ValueError("it is compressed by gzip")
        if head and needed > size:
            raise ValueError(f"its first record has {needed} bytes, the file {size}")
    return int(size)


def _whole_records(file: tf.Tensor, size: tf.Tensor) -> tf.data.Dataset:
    """The records of a file in batches, and an error if they are not all of its bytes.

    TensorFlow's own error names neither the file nor the record.
    """
    batches = tf.data.TFRecordDataset(file).ignore_errors().batch(_AT_ONCE)
    end = tf.data.Dataset.from_tensors(tf.zeros([0], tf.string))

    def counted(read: tuple[tf.Tensor, ...], records: tf.Tensor) -> Any:
        count, place = read
        number = tf.strings.as_string(count)
        told = [
            "The file ",
            file,
            " is damaged or cut in record ",
            number,
            _WRITE_AGAIN,
        ]
        whole = (tf.size(records) > 0) | (place == size)
        with tf.control_dependencies(
            [tf.debugging.Assert(whole, [tf.strings.join(told)])]
        ):
            taken = tf.strings.length(records) + _FRAME
            place += tf.reduce_sum(tf.cast(taken, tf.int64))
        return (count + tf.size(records), place), records

    return batches.concatenate(end).scan((0, np.int64(0)), counted)


def _parse(
    serialized: tf.Tensor,
    spec: FeatureSpec,
    lists: Collection[str],
    label: str,
    keys: Mapping[str, str],
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Makes features and lists `[B, L]` of a batch of serialized Examples `[B]`."""
    item_row = tf.io.FixedLenSequenceFeature(
        (), tf.int64, allow_missing=True, default_value=-1
    )
    ragged = tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64)
    parsing = {**spec.parsing_spec(), _ITEM_ROW: item_row}
    for feature in spec.scope(*LISTED):  # ragged: lists that differ must not be padded
        parsing[feature.name] = tf.io.RaggedFeature(
            feature.dtype, row_splits_dtype=tf.int64
        )
    for name, dtype in keys.items():
        parsing[name] = tf.io.FixedLenFeature((), dtype)
    x = tf.io.parse_example(serialized, {**parsing, **dict.fromkeys(lists, ragged)})
    read = {name: x.pop(name) for name in sorted(lists)}
    length = read[label].row_lengths()
    what = f"a request has an empty list of {label}"
    # What is computed of the lists must wait, or its own error may come first.
    with tf.control_dependencies([tf.debugging.assert_positive(length, what)]):
        length = tf.identity(length)
    for name, values in read.items():
        tf.debugging.assert_equal(
            values.row_lengths(), length, f"{name} and {label} differ in length"
        )
        read[name] = values.to_tensor(np.nan)
    size = tf.shape(read[label])[1]
    for feature in spec.scope(*LISTED):
        values = x[feature.name]
        wrong = tf.debugging.assert_equal(
            values.row_lengths(),
            length * math.prod(feature.shape),
            f"{feature.scope} feature {feature.name} and the labels differ in length",
        )
        with tf.control_dependencies([wrong]):
            flat = values.to_tensor(feature.default)
        x[feature.name] = tf.reshape(flat, [-1, size, *feature.shape])
    rows = tf.cast(x[_ITEM_ROW], tf.int32)  # [B, L], or [B, 0] if not written
    absent = size - tf.shape(rows)[1]
    x[_ITEM_ROW] = tf.pad(rows, [[0, 0], [0, absent]], constant_values=-1)
    x["mask"] = tf.sequence_mask(length, size)
    return x, read


def _lists(
    requests: Requests, spec: FeatureSpec, label: str, weight: str
) -> dict[str, np.ndarray]:
    """What a file has once per candidate besides features, by name: `[R, L]`."""
    lists = [
        (_ITEM_ROW, requests.candidates.astype(np.int64)),
        (label, requests.labels),
        *requests.tasks.items(),
        *requests.scores.items(),
    ]
    if requests.weights is not None:
        lists.append((weight, requests.weights))
    names = [*spec.names, *(name for name, _ in lists)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"The file would have {twice} twice: features, tasks, scores, the label "
            "and the weight need names of their own."
        )
    return dict(lists)


def _example(
    requests: Requests, spec: FeatureSpec, row: int, lists: Mapping[str, np.ndarray]
) -> tf.train.Example:
    listed = requests.candidates[row] >= 0
    values = {name: array[row][listed] for name, array in lists.items()}
    for feature in spec.features:
        name = feature.name
        array = requests.features(feature.scope)[name]
        if feature.scope == "item":
            values[name] = array[values[_ITEM_ROW]]
        else:
            values[name] = array[row][listed if feature.scope == "pair" else ...]
    if requests.ids is not None:
        values["request_id"] = requests.ids[row]
    return tf.train.Example(features=tf.train.Features(feature=_encode(values)))


def _encode(values: Mapping[str, np.ndarray]) -> dict[str, tf.train.Feature]:
    features = {}
    for name, array in values.items():
        flat = np.ravel(array)
        if flat.dtype == np.float32:
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=flat))
        elif flat.dtype == np.int64:
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=flat))
        else:
            texts = [t if isinstance(t, bytes) else str(t).encode() for t in flat]
            features[name] = tf.train.Feature(
                bytes_list=tf.train.BytesList(value=texts)
            )
    return features
