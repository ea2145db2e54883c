"""A seeded simulator of impressions whose click probabilities are known."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.datasets.synthetic_features import (
    feature_spec,
    observed_features,
    privileged_features,
)
from tfdistill.datasets.synthetic_settings import SimulatorConfig
from tfdistill.spec import FeatureSpec

__all__ = ["Oracle", "Simulation", "simulate"]

_POOL = 4  # the logging policy picks from this many draws per place in the list
_AT_ONCE = 4096  # requests or pairs in one piece of work, so that it fits the cache
_CALIBRATION_REQUESTS = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Oracle:
    """The true click probability of every user and item, as a product of vectors.

    p(u, i) = sigmoid(user_vectors[u] . item_vectors[i])

    So the truly best items of the whole catalogue are exact at the cost of a matrix
    product: `metrics.top_k(metrics.dot_scores(user_vectors, item_vectors), U, k)`.

    Args:
        user_vectors: float32 `[U, d + 2]`.
        item_vectors: float32 `[I, d + 2]`.

    Example:
        >>> oracle = Oracle(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
        >>> oracle.click_probability([0, 0], [0, 1]).round(3).tolist()
        [0.7310000061988831, 0.5]
    """

    user_vectors: np.ndarray
    item_vectors: np.ndarray

    def click_probability(self, user_rows: Any, item_rows: Any) -> np.ndarray:
        """Returns the probability of a click.

        Args:
            user_rows: Rows of users, broadcast against the items.
            item_rows: Rows of items. Padding (-1) gives the last item's probability.

        Returns:
            float32 of the broadcast shape.
        """
        users, items = np.broadcast_arrays(user_rows, item_rows)
        logits = _dot(
            self.user_vectors, self.item_vectors, users.ravel(), items.ravel()
        )
        return _sigmoid(logits).reshape(users.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Simulation:
    """What `simulate` returns.

    Args:
        config: The configuration.
        spec: The features; those named `*_signal` are privileged.
        requests: R requests in time order; `group` is the row of the user, and
            `history` holds the user's last clicks in earlier requests, newest first.
        teacher_requests: What a teacher is trained on: `requests`, or the same with
            labels from the users' former tastes if `teacher_drift` is above 0.
        oracle: The true click probabilities.
    """

    config: SimulatorConfig
    spec: FeatureSpec
    requests: Requests
    teacher_requests: Requests
    oracle: Oracle


def simulate(config: SimulatorConfig) -> Simulation:
    """Simulates users who are shown lists of items and click.

    Use it where the true quality of a ranking or a cascade must be known, or where data
    of any size is needed. Memory grows with U + I + R * L, never with U * I.

    Args:
        config: Sizes, strengths and noise.

    Returns:
        Requests, feature spec and oracle.

    Example:
        >>> simulation = simulate(SimulatorConfig(users=50, items=40, list_size=5))
        >>> simulation.requests.candidates.shape
        (500, 5)
        >>> simulation.oracle.click_probability(0, [1, 2]).shape
        (2,)
    """
    users, items = (
        config.random(f"{side} latents").standard_normal(
            (size, config.latent_dim + 1), np.float32
        )
        for side, size in (("user", config.users), ("item", config.items))
    )
    user, candidates = _exposures(config, users, items)
    oracle = _oracle(config, users, items, user, candidates)
    labels = _clicks(oracle, user, candidates, config.random("clicks"))
    observed = observed_features(config, "user", users)
    requests = Requests(
        users={
            **{name: values[user] for name, values in observed.items()},
            **privileged_features(config, "user", users[user]),
            "history": _histories(config, user, candidates, labels),
        },
        items={
            **observed_features(config, "item", items),
            **privileged_features(config, "item", items),
        },
        candidates=candidates,
        labels=labels,
        group=user,
    )
    teacher_requests = requests
    if config.teacher_drift:
        former, rng = _before_the_drift(config, oracle), config.random("former clicks")
        labels = _clicks(former, user, candidates, rng)
        teacher_requests = dataclasses.replace(requests, labels=labels)
    return Simulation(config, feature_spec(config), requests, teacher_requests, oracle)


def _exposures(
    config: SimulatorConfig, users: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Users of requests `[R]` and the policy's lists `[R, L]`, the likeliest first."""
    rng = config.random("exposures")
    rank = np.argsort(np.argsort(-items[:, -1] - rng.standard_normal(config.items)))
    share = np.cumsum((rank + 1.0) ** -config.popularity)
    user = np.concatenate(
        [rng.permutation(config.users) for _ in range(config.requests_per_user)]
    )
    listed = [
        _choose(config, rng, share / share[-1], users[rows, :-1], items[:, :-1])
        for rows in np.split(user, np.arange(_AT_ONCE, len(user), _AT_ONCE))
    ]
    return user, np.concatenate(listed)


def _choose(
    config: SimulatorConfig,
    rng: np.random.Generator,
    share: np.ndarray,
    users: np.ndarray,
    items: np.ndarray,
) -> np.ndarray:
    """The policy's list `[n, L]` for n users; -1 where the draws repeat too often."""
    shape = (len(users), _POOL * config.list_size)
    pool = np.searchsorted(share, rng.random(shape)).clip(max=config.items - 1)
    pool.sort(axis=1)
    taste = np.einsum("nd,nmd->nm", users, items[pool]) / math.sqrt(config.latent_dim)
    guess = config.affinity * (taste + rng.standard_normal(shape, np.float32))
    score = config.exposure * guess + rng.gumbel(size=shape)  # draws by softmax(guess)
    score[:, 1:][pool[:, 1:] == pool[:, :-1]] = -np.inf
    best = np.argsort(-score, axis=1)[:, : config.list_size]
    shown = np.isfinite(np.take_along_axis(score, best, 1))
    return np.where(shown, np.take_along_axis(pool, best, 1), -1).astype(np.int32)


def _oracle(
    config: SimulatorConfig,
    users: np.ndarray,
    items: np.ndarray,
    user: np.ndarray,
    candidates: np.ndarray,
) -> Oracle:
    """Solves b for the click rate on some of the requests, by bisection."""
    user_vectors = np.column_stack(
        [
            config.affinity / math.sqrt(config.latent_dim) * users[:, :-1],
            config.activity * users[:, -1],
            np.ones(config.users),
        ]
    ).astype(np.float32)
    item_vectors = np.column_stack(
        [items[:, :-1], np.ones(config.items), config.quality * items[:, -1]]
    ).astype(np.float32)
    some = slice(None, None, -(-len(user) // _CALIBRATION_REQUESTS))
    row, position = np.nonzero(candidates[some] >= 0)
    pairs = user[some][row], candidates[some][row, position]
    logits = _dot(user_vectors, item_vectors, *pairs).astype(np.float64)
    low, high = -50.0, 50.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        too_low = _sigmoid(logits + middle).mean() < config.ctr
        low, high = (middle, high) if too_low else (low, middle)
    user_vectors[:, -2] += low
    return Oracle(user_vectors, item_vectors)


def _before_the_drift(config: SimulatorConfig, oracle: Oracle) -> Oracle:
    """The oracle of former tastes, whose correlation with now is sqrt(1 - drift^2)."""
    now = oracle.user_vectors[:, :-2]
    other = config.random("drift").standard_normal(now.shape, np.float32)
    other *= config.affinity / math.sqrt(config.latent_dim)
    drift = config.teacher_drift
    former = math.sqrt(1 - drift**2) * now + drift * other
    user_vectors = np.column_stack([former, oracle.user_vectors[:, -2:]])
    return Oracle(user_vectors, oracle.item_vectors)


def _clicks(
    oracle: Oracle,
    user: np.ndarray,
    candidates: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Labels `[R, L]`, NaN where padded."""
    p = oracle.click_probability(user[:, np.newaxis], candidates)
    clicked = rng.random(p.shape, np.float32) < p
    return np.where(candidates < 0, np.nan, clicked).astype(np.float32)


def _histories(
    config: SimulatorConfig,
    user: np.ndarray,
    candidates: np.ndarray,
    labels: np.ndarray,
) -> np.ndarray:
    """Each user's last clicks before each request, int64 `[R, H]`, newest first."""
    last = np.full((config.users, config.history), -1, np.int64)
    history = np.empty((len(user), config.history), np.int64)
    for start in range(0, len(user), config.users):  # every user comes once
        part = slice(start, start + config.users)
        history[part] = last[user[part]]
        clicked = np.where(labels[part] > 0, candidates[part], -1)
        line = np.concatenate([clicked, history[part]], axis=1)
        kept = np.argsort(line < 0, axis=1, kind="stable")[:, : config.history]
        last[user[part]] = np.take_along_axis(line, kept, 1)
    return history


def _dot(
    users: np.ndarray, items: np.ndarray, user: np.ndarray, item: np.ndarray
) -> np.ndarray:
    """Products `[n]` of the rows `user` and `item`, in pieces that fit the cache."""
    products = np.empty(user.size, np.float32)
    for start in range(0, user.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        products[part] = np.einsum("nd,nd->n", users[user[part]], items[item[part]])
    return products


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))  # exact in the tails, no overflow
