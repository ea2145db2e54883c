"""Requests as files of tf.Example: one Example per request, read as batches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data.batching import choose_positive, label_targets
from tfdistill.data.requests import Requests
from tfdistill.data.spec import FeatureSpec

__all__ = ["read_tfrecords", "write_tfrecords"]

_ITEM_ROW = "item_row"


def write_tfrecords(
    requests: Requests, spec: FeatureSpec, path: str | Path, *, label: str = "label"
) -> None:
    """Writes one tf.Example per request, in order.

    A user feature is a list of its values. An item feature is one flat list over the
    candidates, padding left out, so that L candidates with shape `(n,)` give L * n
    values. So are the labels (NaN where unlabelled) and `item_row`, the rows in the
    catalogue. The file appears when it is whole.

    Args:
        requests: The requests.
        spec: The features to write.
        path: The file.
        label: Name to write the labels under.

    Raises:
        ValueError: If the requests lack a feature of the spec.

    Example:
        >>> import tempfile
        >>> from tfdistill.data.spec import Feature
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
        side = requests.users if feature.scope == "user" else requests.items
        if feature.name not in side:
            raise ValueError(
                f"The requests have no {feature.scope} feature {feature.name!r}; they "
                f"have {sorted(side)}."
            )
    unfinished = f"{path}.unfinished"
    try:
        with tf.io.TFRecordWriter(unfinished) as writer:
            for row in range(requests.num_requests):
                example = _example(requests, spec, row, label)
                writer.write(example.SerializeToString())
        os.replace(unfinished, path)
    finally:
        Path(unfinished).unlink(missing_ok=True)


def read_tfrecords(
    paths: str | Path | Sequence[str | Path],
    spec: FeatureSpec,
    *,
    batch_size: int,
    outputs: Sequence[str] = ("fine",),
    label: str = "label",
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
        outputs: Names of the model outputs that learn from the labels.
        label: The Examples' flat list of labels, one per candidate, NaN where
            unlabelled: its length is the number of candidates.
        repeat: Begin again after the last request, endlessly, with full batches.

    Returns:
        A dataset of `(x, y, w)` as `RequestBatches` gives it, padded to the longest
        list of the batch; `item_row` is -1 where the files have none, `positive` the
        first interaction of the list. There is no `log_q`: a file does not know how
        often an item comes.

    Raises:
        ValueError: If a file is missing. Iterating raises `InvalidArgumentError` if a
            request has no candidate, or fewer labels than an item feature has values.

    Example:
        >>> import tempfile
        >>> from tfdistill.data.spec import Feature
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
    files = [paths] if isinstance(paths, (str, Path)) else list(paths)
    files = [str(file) for file in files]
    missing = [file for file in files if not tf.io.gfile.exists(file)]
    if missing or not files:
        raise ValueError(f"No TFRecord file at {missing or 'the given paths'}.")
    dataset = tf.data.TFRecordDataset(files)
    if repeat:
        dataset = dataset.repeat()
    dataset = dataset.batch(batch_size, drop_remainder=repeat)
    dataset = dataset.map(lambda batch: _parse(batch, spec, label, outputs))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _parse(
    serialized: tf.Tensor, spec: FeatureSpec, label: str, outputs: Sequence[str]
) -> Any:
    """Makes `(x, y, w)` of a batch of serialized Examples `[B]`."""
    item_row = tf.io.FixedLenSequenceFeature(
        (), tf.int64, allow_missing=True, default_value=-1
    )
    ragged = tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64)
    parsing = {**spec.parsing_spec(), label: ragged, _ITEM_ROW: item_row}
    x = tf.io.parse_example(serialized, parsing)
    ragged_labels = x.pop(label)
    length = ragged_labels.row_lengths()
    tf.debugging.assert_positive(length, f"a request has an empty list of {label}")
    labels = ragged_labels.to_tensor(np.nan)  # [B, L]
    size = tf.shape(labels)[1]
    for feature in spec.scope("item"):
        tf.debugging.assert_equal(
            tf.shape(x[feature.name])[1],
            size,
            f"item feature {feature.name} and the labels differ in length",
        )
    rows = tf.cast(x[_ITEM_ROW], tf.int32)  # [B, L], or [B, 0] if not written
    absent = size - tf.shape(rows)[1]
    x[_ITEM_ROW] = tf.pad(rows, [[0, 0], [0, absent]], constant_values=-1)
    x["mask"] = tf.sequence_mask(length, size)
    x["positive"] = choose_positive(x["mask"], labels, None)
    return (x, *label_targets(labels, x["mask"], outputs))


def _example(
    requests: Requests, spec: FeatureSpec, row: int, label: str
) -> tf.train.Example:
    listed = requests.candidates[row] >= 0
    candidates = requests.candidates[row][listed].astype(np.int64)
    values: dict[str, np.ndarray] = {
        label: requests.labels[row][listed],
        _ITEM_ROW: candidates,
    }
    for feature in spec.features:
        name = feature.name
        values[name] = (
            requests.users[name][row]
            if feature.scope == "user"
            else requests.items[name][candidates]
        )
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
