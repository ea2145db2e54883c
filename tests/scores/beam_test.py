"""The pipeline writes what one machine writes, in one process and in several."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import scores_fixture as fixture

from tfdistill.data import read_tfrecords, write_tfrecords
from tfdistill.scores import ScoreStore, join_requests, score_batches
from tfdistill.spec import Feature, FeatureSpec
from tfdistill.teachers import PairTeacher

pytest.importorskip("apache_beam")
from tfdistill.scores.beam import score_files  # noqa: E402

SPEC = FeatureSpec(
    (Feature("age", "numeric", "user"), Feature("price", "numeric", "item"))
)
READ = functools.partial(
    read_tfrecords, spec=SPEC, batch_size=8, keys={"request_id": "string"}
)
KEYS = ["request_id", "item_row"]


@pytest.fixture
def files(tmp_path):
    requests = fixture.requests()
    paths = []
    for number, rows in enumerate(np.array_split(np.arange(50), 3)):
        paths.append(tmp_path / f"part-{number}.tfrecord")
        write_tfrecords(requests.select(rows), SPEC, paths[-1])
    return paths


def make_teacher():
    return fixture.teacher


def test_the_pipeline_writes_the_same_scores(tmp_path, files):
    settings = {"teacher_name": "sum", "keys": KEYS}
    store = score_files(files, READ, make_teacher, tmp_path / "beam", **settings)
    batches = [batch for file in files for batch in READ(file)]
    one = score_batches(batches, fixture.teacher, tmp_path / "one", **settings)
    for name in one.columns:
        ours, theirs = (
            np.concatenate([block[name] for block in s.blocks()]) for s in (store, one)
        )
        np.testing.assert_array_equal(ours, theirs)
    joined, coverage = join_requests(fixture.requests(), store, {"score": "sum"})
    assert coverage.missing == 0
    np.testing.assert_array_equal(
        joined.scores["sum"], fixture.expected(fixture.requests())
    )


@pytest.mark.slow
def test_it_runs_in_several_processes(tmp_path, files, monkeypatch):
    """The documented flags, on files in a place that all of them see."""
    here = Path(__file__)
    monkeypatch.setenv("PYTHONPATH", f"{here.parent}:{here.parents[2]}")
    settings = {"teacher_name": "sum", "keys": KEYS}
    flags = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    score_files(
        files,
        READ,
        functools.partial(PairTeacher, older, users=["age"], items=["price"]),
        tmp_path / "beam",
        options=flags,
        **settings,
    )
    score_files(files, READ, make_teacher, tmp_path / "one", **settings)
    parts = [fixture.fingerprint(tmp_path / name) for name in ("beam", "one")]
    for files_of_store in parts:
        del files_of_store["manifest.json"]  # the two teachers are not one
    assert parts[0] == parts[1] != {}


def older(pairs):
    return pairs["age"] + pairs["price"]


def test_it_scores_only_files_without_a_shard(tmp_path, files):
    folder = tmp_path / "beam"
    settings = {"teacher_name": "sum", "keys": KEYS}
    score_files(files, READ, make_teacher, folder, **settings)
    before = fixture.fingerprint(folder)
    (folder / "shard-00001.parquet").unlink()
    with pytest.raises(ValueError, match="shard-00001.parquet' is missing"):
        ScoreStore.open(folder)
    SCORED.clear()
    score_files(files, READ, make_counted, folder, **settings)
    assert fixture.fingerprint(folder) == before
    asked = 8  # the first batch: for the fingerprint, and for the store's columns
    assert sum(SCORED) == asked + asked + len(np.array_split(np.arange(50), 3)[1])


SCORED: list[int] = []


def make_counted():
    def counted(features):
        SCORED.append(len(features["age"]))
        return fixture.teacher(features)

    return counted


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="There is no file to score"):
        score_files([], READ, make_teacher, tmp_path, teacher_name="t")
