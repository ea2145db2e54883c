"""The scoring of many files as an Apache Beam pipeline.

It needs Beam: `pip install 'tfdistill[beam]'`. `score_batches`, on one machine, does
not. This is for files that many workers share, under the DirectRunner or, by `options`,
another runner:

- one machine, two processes: `["--direct_num_workers=2",
  "--direct_running_mode=multi_processing"]`;
- Dataflow (not run by us): `["--runner=DataflowRunner", "--project=...",
  "--region=...", "--temp_location=gs://..."]`;
- Flink (not run by us): `["--runner=FlinkRunner", "--flink_master=host:8081"]`;
- Spark (not run by us): `["--runner=SparkRunner", "--spark_master_url=spark://host:7077"]`.

Files and store must lie where every worker sees them under the same path. Beam's
`RunInference` is not used: its TensorFlow handler takes one tensor per element, and a
ranker takes one per feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tfdistill.files import locked
from tfdistill.scores.rows import (
    REQUEST_KEYS,
    SCORE,
    Batch,
    ReadBatches,
    Scorer,
    joined_rows,
    scored_rows,
)
from tfdistill.scores.scoring import stream_identity
from tfdistill.scores.store import ScoreStore
from tfdistill.scores.writer import StoreWriter

__all__ = ["score_files"]


def score_files(
    files: Sequence[str | Path],
    read: Callable[[str], Iterable[Batch]],
    make_teacher: Callable[[], Scorer],
    directory: str | Path,
    *,
    teacher_name: str,
    version: str = "1",
    keys: Sequence[str] = REQUEST_KEYS,
    signals: Sequence[str] = (SCORE,),
    kind: str = "scores",
    dtype: str = "float32",
    file_format: str = "parquet",
    options: Sequence[str] = (),
) -> ScoreStore:
    """Scores files in parallel, one shard of the store for each.

    The store is what `score_batches` writes, cut by files. A pipeline that was killed
    goes on with the files that have no shard; the others are read once more, without
    the teacher, and refused if they have changed. The first batch of all is scored once
    more, to describe the store before the workers start.

    Args:
        files: The files, in an order that is always the same.
        read: From a file's name to its batches, such as
            `functools.partial(read_tfrecords, spec=spec, batch_size=256)`. It and
            `make_teacher` are sent to the workers by pickle.
        make_teacher: Makes the teacher, once in each worker, such as
            `functools.partial(SavedModelTeacher, path)`.
        directory: Folder of the store.
        teacher_name: As for `score_batches`.
        version: As for `score_batches`.
        keys: As for `score_batches`.
        signals: As for `score_batches`.
        kind: As for `score_batches`.
        dtype: As for `score_batches`.
        file_format: As for `score_batches`.
        options: Flags of the runner.

    Returns:
        The verified store.

    Raises:
        ValueError: As for `score_batches`.

    Example:
        >>> import tempfile
        >>> store = score_files(
        ...     ["1 2", "3"],
        ...     lambda file: [{"item": np.array([int(n) for n in file.split()])}],
        ...     lambda: lambda x: x["item"] / 2,
        ...     tempfile.mkdtemp(), teacher_name="half", keys=["item"])
        >>> [shard.rows for shard in store.manifest.shards]
        [2, 1]
    """
    if not files:
        raise ValueError("There is no file to score.")
    store: dict[str, Any] = {
        "directory": str(directory),
        "teacher": teacher_name,
        "version": version,
        "kind": kind,
        "keys": list(keys),
        "dtype": dtype,
        "file_format": file_format,
        "plan": {"files": len(files)},
    }
    teacher, first = make_teacher(), next(iter(read(str(files[0]))), None)
    if first is None:
        raise ValueError(f"There is no batch in {str(files[0])!r}.")
    store["identity"] = {"signals": list(signals), **stream_identity(first, teacher)}
    names = list(enumerate(map(str, files)))
    with locked(directory):
        rows = joined_rows([scored_rows(first, teacher, keys, signals)])
        StoreWriter(**store).describe(rows or {})
        scoring = _ScoreFile(store, read, make_teacher, list(signals))
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            numbered = pipeline | "Files" >> beam.Create(names)
            _ = numbered | "Spread" >> beam.Reshuffle() | "Score" >> beam.ParDo(scoring)
        return StoreWriter(**store).finish(len(files))


class _ScoreFile(beam.DoFn):
    """Scores a file and writes its shard, or compares the file with what it was."""

    def __init__(
        self,
        store: Mapping[str, Any],
        read: Callable[[str], Iterable[Batch]],
        make_teacher: Callable[[], Scorer],
        signals: Sequence[str],
    ) -> None:
        self._store, self._read = dict(store), read
        self._make_teacher, self._signals = make_teacher, list(signals)

    def setup(self) -> None:
        self._teacher = self._make_teacher()
        self._writer = StoreWriter(**self._store)

    def process(self, numbered: tuple[int, str]) -> Iterator[int]:
        number, file = numbered
        read = ReadBatches(self._read(file))
        if self._writer.has(number):
            self._writer.require(number, read.read().fingerprint)
        else:
            keys, signals = self._store["keys"], self._signals
            rows = [scored_rows(batch, self._teacher, keys, signals) for batch in read]
            self._writer.write(number, joined_rows(rows) or {}, read.fingerprint)
        yield number
