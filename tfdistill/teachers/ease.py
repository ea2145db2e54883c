"""EASE: the closed-form item-item model, a strong teacher for recall in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.data.teacher_lists import RankedLists
from tfdistill.identity import fingerprint
from tfdistill.metrics.retrieval import retrieval_ndcg, scored_top_k, top_k
from tfdistill.pairs import Pairs

__all__ = ["Ease", "tuned_ease"]

_USERS_AT_ONCE = 512


class Ease:
    """A linear model of each item by all others, by ridge regression.

    `S = X B` with `B = I - P / diag(P)`, `P = (X^T X + l2 I)^-1`, for the users' items
    X `[U, I]` of zeros and ones. The diagonal of B is 0, so an item doesn't explain
    itself. With fewer users than items it is computed by the users' matrix instead:
    `P = (I - X^T A X) / l2`, `A = (X X^T + l2 I)^-1`, equal but for rounding.

    With the order of the users' items, `recent`, the model is asked with weights
    `exp(-place / memory)` instead of ones, the newest item at place 0. That predicts
    what comes next far better, and what comes later a little better: NDCG@10 on
    MovieLens-1M rises from .083 to .126 on validation, which follows training, and from
    .0636 to .0644 on test, which follows validation.

    Cost: one inverse of n = `min(U, I)` rows, n^3 operations in 8 n^2 bytes, and 4 n^2
    bytes for as long as it is kept. The matrix S is never whole in memory: `__call__`
    gives the rows that are asked for.

    Args:
        pairs: Training pairs; users are the rows 0 .. `num_users` - 1.
        num_users: U.
        l2: Ridge penalty, above 0; 50 to 1,000 as a rule.
        recent: int `[U, H]`, each user's last items, the newest first and -1 padded,
            such as `ImplicitFeedback.last`; None where there is no order.
        memory: Places over which the weight falls by e.
        values: float `[P]`, what stands in X instead of ones, in the order of `pairs`:
            ratings about their mean, for example.

    Raises:
        ValueError: If `l2` or `memory` is not above 0, a user is out of range or there
            is not one value for each pair.

    Example:
        >>> pairs = Pairs([0, 0, 1], [0, 1, 1], num_items=3)
        >>> Ease(pairs, 2, l2=1.0)(np.array([1]))[0, 0].round(2)
        0.33

    Reference:
        Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019,
        arXiv:1905.03375.
    """

    def __init__(
        self,
        pairs: Pairs,
        num_users: int,
        *,
        l2: float,
        recent: np.ndarray | None = None,
        memory: float = 10.0,
        values: np.ndarray | None = None,
    ) -> None:
        if not min(l2, memory) > 0:
            raise ValueError(
                f"`l2` and `memory` must be above 0, got {l2!r} and {memory!r}. "
                "Try 100 and 10."
            )
        user, item = pairs.user, pairs.item
        if user.max(initial=-1) >= num_users:
            raise ValueError(
                f"`pairs` must be about users below {num_users}, got "
                f"{user.max()}. Renumber the users from 0."
            )
        self.l2, self.memory, self._recent = l2, memory, recent
        self._seen = pairs
        shape = num_users, pairs.num_items
        given = np.ones(len(user)) if values is None else values
        self._x = sparse.csr_matrix((given.astype(np.float32), (user, item)), shape)
        self._dual = num_users < pairs.num_items
        gram = self._x @ self._x.T if self._dual else self._x.T @ self._x
        gram = gram.astype(np.float64).toarray()
        gram[np.diag_indices_from(gram)] += l2
        self._inverse = _inverted(gram).astype(np.float32)
        if self._dual:
            self._diagonal = ((1.0 - self._explained()) / l2).astype(np.float32)
        else:
            self._diagonal = self._inverse.diagonal().copy()

    @classmethod
    def tuned(cls, interactions: ImplicitFeedback, **options: Any) -> Ease:
        """Fits it with the penalty that is best on validation: `tuned_ease`.

        Args:
            interactions: What users took, such as `problem.interactions`.
            **options: Further arguments of `tuned_ease`.

        Returns:
            The model.
        """
        model, _ = tuned_ease(
            interactions.train,
            interactions.valid,
            interactions.num_users,
            recent=interactions.last,
            **options,
        )
        return model

    def lists(self, size: int) -> RankedLists:
        """Returns the best items of each user that are not among the training pairs.

        Args:
            size: How many items of each user, 500 as a rule.
        """
        users = self._x.shape[0]
        return RankedLists(*scored_top_k(self, users, size, seen=self._seen))

    @property
    def fingerprint(self) -> str:
        """Changes with whatever the scores are computed from."""
        pairs = [self._x.shape, self._x.indptr, self._x.indices, self._x.data]
        return fingerprint([pairs, self.l2, self.memory, self._recent])

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Returns the scores `[b, I]` of user rows `[b]`, float32."""
        if self._recent is not None:
            return self.answer(self._newest(self._recent[rows]))
        if not self._dual:
            return self.answer(self._x[rows])
        through = self._inverse[rows] @ self._x  # X P = A X
        return self._x[rows].toarray() - through / self._diagonal

    def answer(self, asked: sparse.csr_matrix) -> np.ndarray:
        """Returns the scores `[b, I]` of any items with weights, float32 `[b, I]`.

        Args:
            asked: What is known of whoever asks, trained on or not: `S = W B`.
        """
        if self._dual:
            explained = (asked @ self._x.T @ self._inverse) @ self._x
            through = (asked.toarray() - explained) / np.float32(self.l2)
        else:
            through = asked @ self._inverse
        return asked.toarray() - through / self._diagonal  # S = W - W P / diag(P)

    def _newest(self, last: np.ndarray) -> sparse.csr_matrix:
        """The weights `[b, I]` of users' last items `[b, H]`."""
        row, place = np.nonzero(last >= 0)
        weight = np.exp(-place / np.float32(self.memory))
        shape = len(last), self._x.shape[1]
        return sparse.csr_matrix((weight, (row, last[row, place])), shape)

    def _explained(self) -> np.ndarray:
        """`x_j^T A x_j` of each item, by blocks of users."""
        total = np.zeros(self._x.shape[1])
        for begin in range(0, self._x.shape[0], _USERS_AT_ONCE):
            rows = slice(begin, begin + _USERS_AT_ONCE)
            explained = self._x[rows].multiply(self._inverse[rows] @ self._x)
            total += explained.sum(axis=0).A1
        return total


def tuned_ease(
    train: Pairs,
    valid: Pairs,
    num_users: int,
    penalties: Sequence[float] = (20.0, 80.0, 300.0, 1000.0),
    *,
    recent: np.ndarray | None = None,
    memory: float = 10.0,
) -> tuple[Ease, dict[float, float]]:
    """Fits EASE with the penalty that is best on validation.

    Args:
        train: Training pairs.
        valid: Validation pairs, of the same users.
        num_users: U.
        penalties: The candidates for `l2`.
        recent: As for `Ease`.
        memory: As for `Ease`.

    Returns:
        The best model, and NDCG@10 over the whole catalogue by penalty.

    Example:
        >>> train = Pairs([0, 0, 1, 2, 2], [0, 1, 1, 0, 2], num_items=12)
        >>> valid = Pairs([1], [0], num_items=12)
        >>> model, scores = tuned_ease(train, valid, 3, penalties=(1.0,))
        >>> model.l2, scores
        (1.0, {1.0: 1.0})
    """
    found, best = {}, None
    for l2 in penalties:
        model = Ease(train, num_users, l2=l2, recent=recent, memory=memory)
        top = top_k(model, num_users, 10, seen=train)
        found[l2] = retrieval_ndcg(top, valid, 10).value
        if found[l2] == max(found.values()):
            best = model
    if best is None:
        raise ValueError("`penalties` must have at least one candidate, got none.")
    return best, found


def _inverted(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite float64 matrix, in the matrix's own memory."""
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    inverse, singular = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or singular:
        raise ValueError(
            "EASE: the users' items have no inverse at this precision; raise `l2`."
        )
    for row in range(len(inverse)):  # LAPACK fills the lower half
        inverse[row, row + 1 :] = inverse[row + 1 :, row]
    return inverse.T  # rows in one piece
