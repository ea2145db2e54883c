"""Rounds: pools are searched by the recall net, and a killed training goes on."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from zoo_fixture import movielens

from tfdistill.data import RequestBatches
from tfdistill.study.public import movielens_problem
from tfdistill.study.rounds import Candidates, Rounds

SCRIPT = Path(__file__).with_name("rounds_script.py")


def run(directory: Path, *arguments: object) -> int:
    command = [sys.executable, str(SCRIPT), str(directory), *map(str, arguments)]
    places = (str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", ""))
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_a_killed_training_in_rounds_ends_as_an_unbroken_one(tmp_path):
    run(tmp_path / "whole")
    for epoch in (2, 3):  # the first of a round, and one within it
        assert run(tmp_path / "killed", "--kill-at", epoch) == -signal.SIGKILL
    run(tmp_path / "killed")
    with pytest.raises(AssertionError, match="has been trained for 5 epochs"):
        run(tmp_path / "whole", "--epochs", 3)
    whole, killed = (
        np.load(tmp_path / name / "weights.npz") for name in ("whole", "killed")
    )
    for name in whole.files:
        np.testing.assert_array_equal(killed[name], whole[name])
    pools = [np.load(tmp_path / "whole/joint/backup" / f"pool-{n}.npy") for n in (1, 2)]
    for number, pool in enumerate(pools, 1):
        again = np.load(tmp_path / "killed/joint/backup" / f"pool-{number}.npy")
        np.testing.assert_array_equal(again, pool)
    assert (pools[1] != pools[0]).any()


class Popular:
    """Recalls the same items for everyone: the last rows of the catalogue."""

    def queries(self, rows):
        return np.ones((len(rows), 1), np.float32)

    def items(self):
        return np.arange(60, dtype=np.float32)[:, np.newaxis]


@pytest.fixture(scope="module")
def parts():
    return movielens_problem(movielens())


def rounds(parts, directory, epochs=4, known=True) -> Rounds:
    return Rounds(
        functools.partial(RequestBatches, parts.train, batch_size=8),
        parts.train,
        Candidates(per_list=2, depth=6, epochs=2),
        epochs,
        directory,
        known=parts.known if known else None,
        seed=3,
    )


def test_a_pool_holds_what_recall_returns_without_what_the_user_knows(parts, tmp_path):
    made = rounds(parts, tmp_path)
    assert list(made.ends(Popular())) == [2, 4]
    pool = np.load(tmp_path / "pool-1.npy")
    assert pool.shape == (40, 6) and pool.dtype == np.int32
    for user, items in enumerate(pool):
        own = parts.known.item[parts.known.user == user]
        best = np.setdiff1d(np.arange(60), own)[::-1][:6]
        np.testing.assert_array_equal(items, best)
    x, _, _ = next(iter(made(0)))
    drawn = x["item_row"].numpy()[:, -2:]
    assert (drawn >= 0).all() and len(np.unique(drawn)) > 6  # of the whole catalogue


def test_rounds_that_are_over_are_left_out_and_the_last_one_is_not(parts, tmp_path):
    """So a training goes on within a round, and fewer epochs meet the later backup."""
    list(rounds(parts, tmp_path, epochs=5).ends(Popular()))
    ends = {n: list(rounds(parts, tmp_path, n).ends(Popular())) for n in (7, 5, 4, 1)}
    assert ends == {7: [6, 7], 5: [5], 4: [4], 1: [1]}


def test_a_damaged_pool_begins_the_training_anew(parts, tmp_path):
    """Made again in the midst of its round, it would be another one."""
    list(rounds(parts, tmp_path).ends(Popular()))
    (tmp_path / "pool-1.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pool-1.*Delete the folder '.*' to begin"):
        list(rounds(parts, tmp_path).ends(Popular()))


def test_each_step_has_the_pools_of_its_round(parts, tmp_path):
    made = rounds(parts, tmp_path)
    border = 2 * made.steps_per_epoch

    def pooled(step):
        x, _, _ = next(iter(made(step)))
        return x["item_row"].numpy()[:, -2:]

    before = [pooled(step) for step in (0, border)]  # no second pool yet
    list(made.ends(Popular()))
    after = [pooled(step) for step in (0, border - 1, border, 2 * border)]
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[1] != after[2]).any()
    pool = np.load(tmp_path / "pool-1.npy")
    assert np.isin(after[2], pool).all() and np.isin(after[3], pool).all()
    assert not np.isin(after[1], pool).all()


def test_without_a_recall_net_every_round_draws_anew(parts, tmp_path):
    list(rounds(parts, tmp_path, epochs=5, known=False).ends(None))
    pools = [np.load(tmp_path / f"pool-{n}.npy") for n in (1, 2)]
    assert (pools[0] != pools[1]).any()


@pytest.mark.parametrize(
    "wrong", [{"per_list": 0}, {"per_list": 501}, {"epochs": 0}, {"depth": 0}]
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="Candidates: epochs must"):
        Candidates(**wrong)
