"""A real process is killed and run again: it ends as an unbroken one does."""

import os
import pathlib
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("resume_script.py")
STEPS_PER_EPOCH, SAVE_EVERY = 12, 5


def start(directory, *options):
    """Start the script; it ends by itself, or by its own SIGKILL."""
    directory.mkdir(exist_ok=True)
    environment = {"PYTHONPATH": str(SCRIPT.parents[2]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(directory), *options],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    """Wait for the process; gives its exit code."""
    _, errors = process.communicate(timeout=300)
    if process.returncode not in (0, -signal.SIGKILL):
        pytest.fail(errors)
    return process.returncode


@pytest.mark.slow
def test_a_killed_run_ends_as_an_unbroken_one(tmp_path):
    """Three kills at random steps, one while a checkpoint is written."""
    steps = [s for s in range(SAVE_EVERY + 1, 60) if s % STEPS_PER_EPOCH]
    first, second, third = sorted(random.Random(11).sample(steps, 3))
    in_write = (second // STEPS_PER_EPOCH + 1) * STEPS_PER_EPOCH
    assert second < in_write < third
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    process = start(unbroken)
    for option, step in (
        ("--die-at-step", first),
        ("--die-at-step", second),
        ("--die-in-write", in_write),
        ("--die-at-step", third),
    ):
        assert end(start(broken, option, str(step))) == -signal.SIGKILL
        current = (broken / "backup" / "checkpoint").read_text()
        assert f"step-{step}" not in current
    assert end(start(broken)) == 0
    assert end(process) == 0

    expected = np.load(unbroken / "result.npz")
    actual = np.load(broken / "result.npz")
    assert actual.files == expected.files
    for name in expected.files:  # weights, slots, history, callbacks' states
        # TensorFlow adds the terms of the total in an order that varies.
        ulps = 4 if name in ("history_loss", "history_val_loss") else 0
        one, other = (np.asarray(r[name], np.float32) for r in (actual, expected))
        np.testing.assert_array_max_ulp(one, other, maxulp=ulps)
    # The run was worth comparing: it stopped early, after its best epoch.
    epochs = len(expected["history_loss"])
    wait, stopped_epoch, _, best_epoch = expected["stop"]
    assert stopped_epoch == epochs - 1
    assert 0 < best_epoch == stopped_epoch - wait
    assert third < epochs * STEPS_PER_EPOCH
