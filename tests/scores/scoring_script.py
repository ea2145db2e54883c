"""One scoring, run by kill_test.py as a process that may be told to die.

Usage: python scoring_script.py DIRECTORY FORMAT [--at-batch N | --at-byte SHARD N]
Prints the number of every request that the teacher scores.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import signal
from collections.abc import Callable

import numpy as np
import scores_fixture as fixture

from tfdistill.scores import score_batches
from tfdistill.scores.shards import FORMATS


def die_at_byte(file_format: str, shard: int, size: int) -> None:
    """Leaves the unfinished file of a shard with so many bytes, and sends SIGKILL."""
    files = FORMATS[file_format]
    write = files.write

    def cut_short(path: pathlib.Path, columns: dict) -> None:
        write(path, columns)
        if f"shard-{shard:05d}" in path.name:
            os.truncate(path, size)
            os.kill(os.getpid(), signal.SIGKILL)

    files.write = cut_short


def score(directory: pathlib.Path, file_format: str, teacher: Callable) -> None:
    """Scores 4096 requests into eight shards."""
    score_batches(
        fixture.requests(count=4096, length=40, items=3000),
        teacher,
        directory,
        teacher_name="sum",
        file_format=file_format,
        batch_size=64,
        batches_per_shard=8,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("file_format")
    parser.add_argument("--at-batch", type=int)
    parser.add_argument("--at-byte", type=int, nargs=2)
    options = parser.parse_args()
    calls = 0

    @functools.wraps(fixture.teacher)
    def teacher(features: dict) -> dict:
        nonlocal calls
        if calls == options.at_batch:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        for name in np.asarray(features["request_id"]):
            print(name.decode(), flush=True)
        return fixture.teacher(features)

    if options.at_byte is not None:
        die_at_byte(options.file_format, *options.at_byte)
    score(options.directory, options.file_format, teacher)


if __name__ == "__main__":
    main()
