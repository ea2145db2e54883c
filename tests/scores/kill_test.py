"""A real scoring process is killed and run again: the store is an unbroken run's."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys

import pytest
import scores_fixture as fixture
import scoring_script

SCRIPT = pathlib.Path(__file__).with_name("scoring_script.py")
REQUESTS, SHARD = 4096, 512


def run(directory, file_format, *options):
    """Returns the exit code and the requests that were scored.

    The first eight were asked for what the teacher is.
    """
    environment = {"PYTHONPATH": str(SCRIPT.parents[2]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(directory), file_format, *map(str, options)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout.split()[8:]


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["parquet", "tfrecord"])
def test_a_killed_scoring_ends_as_an_unbroken_one(tmp_path, file_format):
    """Kills at random batches, and one while a shard is written."""
    draw = random.Random(7)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    scoring_script.score(unbroken, file_format, fixture.teacher)
    size = (unbroken / f"shard-00003.{file_format}").stat().st_size
    kills = [("--at-byte", 3, draw.randrange(size))]
    if file_format == "parquet":
        kills = [("--at-batch", n) for n in (draw.randrange(9, 16), 5)] + kills
    kept = 0
    for kill in kills:
        code, scored = run(broken, file_format, *kill)
        assert code == -signal.SIGKILL
        before, kept = kept, len(list(broken.glob("shard-*.json")))
        again = len(scored) - SHARD * (kept - before)
        assert 0 <= again <= SHARD
    code, scored = run(broken, file_format)
    assert code == 0
    assert len(scored) == REQUESTS - SHARD * kept
    assert fixture.fingerprint(broken) == fixture.fingerprint(unbroken)
