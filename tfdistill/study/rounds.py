"""Rounds of training between which recall's candidates are searched for anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfdistill.arrays import read_array
from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.files import written_whole
from tfdistill.identity import described
from tfdistill.metrics import dot_scores, top_k
from tfdistill.pairs import Pairs
from tfdistill.study.evaluators import Recaller

__all__ = ["Batches", "Candidates", "Rounds"]


class Batches(Protocol):
    """Makes the batches of a training, such as `RequestBatches`."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""

    def __call__(self, start_step: int = 0) -> tf.data.Dataset:
        """Returns the endless dataset from this step on."""


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Unlabelled candidates that the recall net finds while it is trained.

    A later stage ranks what recall returns, which is not what users were shown: labels
    say nothing about most of it (sample-selection bias). A teacher in the
    graph scores these candidates, so each student learns where it will be used, and
    recall learns from a list over the top of the catalogue.

    Args:
        per_list: How many are appended to each list, from all parts of the ranking.
        depth: How many recall returns to each user, as when it is served.
        epochs: Epochs in a round, after which all users' candidates are searched for
            anew. In the first round they are drawn uniformly, and in every round where
            no net is trained for recall.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> Candidates(per_list=10).depth
        500

    Reference:
        Xiong et al., ANCE, ICLR 2021, arXiv:2007.00808, for negatives of the net as it
        is trained; UKDSL, arXiv:2502.06834, for unlabelled pairs under a teacher.
    """

    per_list: int = 20
    depth: int = 500
    epochs: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.per_list <= self.depth or self.epochs < 1:
            raise ValueError(
                "Candidates: epochs must be at least 1 and per_list between 1 and "
                f"depth, got epochs={self.epochs}, per_list={self.per_list}, "
                f"depth={self.depth}."
            )


class Rounds:
    """The batches of a training in rounds, resumable at any step: a `Batches`.

    Round r has the pools `pool-r.npy`, int32 `[users, N]`, which are written whole
    before it begins. So a killed training reads them back, and goes on bit by bit. They
    lie in the training's backup, so that who deletes it begins anew; the first ones are
    drawn, not read.

    Args:
        make: Makes the batches of the requests with a `pool` and `from_pool`.
        requests: The training requests; recall answers the last one of each user.
        candidates: The rounds and their pools.
        epochs: Epochs of the training.
        directory: Where the pools are kept: the backup of the training.
        known: Pairs that are no candidates.
        seed: Seed of the drawn pools.
    """

    def __init__(
        self,
        make: Callable[..., RequestBatches],
        requests: Requests,
        candidates: Candidates,
        epochs: int,
        directory: Path,
        *,
        known: Pairs | None = None,
        seed: int = 0,
    ) -> None:
        self._make, self.requests, self._candidates = make, requests, candidates
        self._epochs, self._directory = epochs, directory
        self._known, self._seed = known, seed
        self._first = self._batches(0)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the batches, as JSON values, but for what recall learns."""
        searched = described({"candidates": self._candidates, "pool_seed": self._seed})
        known = None if self._known is None else self._known.fingerprint
        return {**self._first.identity, **searched, "not_recalled": known}

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every request has come once."""
        return self._first.steps_per_epoch

    def __call__(self, start_step: int = 0) -> tf.data.Dataset:
        """Returns the endless dataset of the round that this step is in."""
        round_ = start_step // (self.steps_per_epoch * self._candidates.epochs)
        while round_ and not self._path(round_).exists():
            round_ -= 1  # its pools are yet to come, or the training is over
        batches = self._batches(round_) if round_ else self._first
        return batches(start_step)

    def _batches(self, round_: int) -> RequestBatches:
        pool = self._pool(round_, None)
        return self._make(pool=pool, from_pool=self._candidates.per_list)

    def ends(self, recaller: Recaller | None) -> Iterator[int]:
        """Yields the epoch at which each round ends, when its pools are there.

        A round whose successor has its pools is over, and left out.

        Args:
            recaller: The net that is trained for recall, as it is at the time.
        """
        last = (self._epochs - 1) // self._candidates.epochs
        for round_ in range(last + 1):
            if round_ < last and self._path(round_ + 1).exists():
                continue
            self._pool(round_, recaller)
            yield min((round_ + 1) * self._candidates.epochs, self._epochs)

    def _path(self, round_: int) -> Path:
        return self._directory / f"pool-{round_}.npy"

    def _pool(self, round_: int, recaller: Recaller | None) -> np.ndarray:
        """The pools of a round, made where there are none yet; the first are drawn."""
        if not round_:
            return self._drawn(round_)
        path = self._path(round_)
        if not path.exists():
            made = self._drawn(round_) if recaller is None else self._recalled(recaller)
            with written_whole(path) as file, open(file, "wb") as stream:
                np.save(stream, made)
        remedy = f"Delete the folder {str(self._directory)!r} to begin anew."
        return read_array(path, what="the pools of a round", remedy=remedy)

    def _drawn(self, round_: int) -> np.ndarray:
        """Pools from the whole catalogue, uniformly and with replacement."""
        rng = np.random.default_rng((self._seed, round_))
        shape = (1 + self.requests.group.max(), self._candidates.depth)
        return rng.integers(self.requests.num_items, size=shape, dtype=np.int32)

    def _recalled(self, recaller: Recaller) -> np.ndarray:
        """What recall returns to each user, best first; the known is left out."""
        requests = self.requests
        # The last request of each user, by the first one of the reversed line.
        users, last = np.unique(requests.group[::-1], return_index=True)
        seen = None if self._known is None else self._known.among(users)
        queries = recaller.queries(requests.num_requests - 1 - last)
        score = dot_scores(queries, recaller.items())
        shape = (1 + requests.group.max(), self._candidates.depth)
        pool = np.full(shape, -1, np.int32)
        pool[users] = top_k(score, len(users), self._candidates.depth, seen=seen)
        return pool
