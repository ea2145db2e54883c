"""Trained vectors of users and items as a scorer of pairs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.data.interactions import InteractionLog
from tfdistill.pairs import Pairs
from tfdistill.scorers.base import FittedScorer, PairScorer
from tfdistill.teachers.lightgcn import lightgcn_vectors

__all__ = ["LightGcn"]


@dataclasses.dataclass(frozen=True)
class LightGcn(PairScorer):
    """LightGCN's product of a user's and an item's vector, trained anew at each cut.

    The last `valid` of the positives that are known choose the epoch. A vector is of
    the user as of the cut: what the user did since is not in it, and a user without
    positives has a score of 0 for all.

    Args:
        directory: Where the trainings are kept, one folder for each log.
        dim: Width of the vectors.
        epochs: Passes over the pairs.
        valid: Share of the positives, in the order of the clock.
        seed: Seed of the training.

    Example:
        >>> import tempfile
        >>> user, item = np.divmod(np.arange(24), 12)
        >>> log = InteractionLog(user, item, np.arange(24) % 12 / 12, 3, 12)
        >>> scorer = LightGcn(Path(tempfile.mkdtemp()), dim=4, epochs=2)
        >>> scores = scorer.fit(log)(log.histories([0, 2], 1.0))
        >>> scores.shape, bool(scores[0].any()), bool(scores[1].any())
        ((2, 12), True, False)

    Reference:
        He et al., LightGCN, SIGIR 2020, arXiv:2002.02126.
    """

    directory: Path
    dim: int = 64
    epochs: int = 40
    valid: float = 0.1
    seed: int = 0

    @property
    def name(self) -> str:
        """For example `"LightGCN, width 64"`."""
        return f"LightGCN, width {self.dim}"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """Trains; a log that was trained on is read back."""
        liked = log.positives
        early = liked.before(float(np.quantile(liked.clock, 1.0 - self.valid)))
        users = np.unique(early.user)
        late = liked.select(
            ~early.pairs.contains(liked.user, liked.item) & np.isin(liked.user, users)
        )
        train, valid = (
            Pairs(np.searchsorted(users, part.user), part.item, log.num_items)
            for part in (early, late)
        )
        vectors, items = lightgcn_vectors(
            ImplicitFeedback(self.name, len(users), train, valid, valid),
            self.directory / log.fingerprint,
            dim=self.dim,
            epochs=self.epochs,
            batch_size=max(1, min(512, len(train), log.num_items // 2)),
            seed=self.seed,
        )
        table = np.zeros((log.num_users, self.dim), np.float32)
        table[users] = vectors
        return lambda histories: np.asarray(table[histories.user] @ items.T)
