"""A small store of prices, the teachers of it, and a process that dies."""

from __future__ import annotations

import functools

import numpy as np

from tfdistill.data import Requests
from tfdistill.scores import score_batches


def requests(price_seed=0, first_id=0):
    rng = np.random.default_rng(0)
    return Requests(
        users={},
        items={
            "item_id": first_id + np.arange(50),
            "price": np.random.default_rng(price_seed).normal(size=50).astype("f"),
        },
        candidates=np.stack([rng.permutation(50)[:6] for _ in range(60)]).astype("i"),
        labels=np.zeros((60, 6), "f"),
        group=np.arange(60),
        ids=np.arange(60),
    )


def price(features):
    return features["price"]


def dearer(features):
    return features["price"] + 1.0


def store(folder, data=None, teacher=price, **settings):
    """Six shards of ten requests, or of two batches."""
    return score_batches(
        requests() if data is None else data,
        teacher,
        folder,
        teacher_name="t",
        **{"batch_size": 5, "batches_per_shard": 2, **settings},
    )


def halves(folder):
    """A store of one shard with two rows; returns its folder."""
    batches = [{"item_id": np.array([3, 7]), "mask": np.array([True, True])}]
    score_batches(
        batches, lambda x: x["item_id"] / 2, folder, keys=["item_id"], teacher_name="t"
    )
    return folder


def dying(teacher, calls=6):
    """The same teacher, until its process dies; the first call asks what it is."""
    left = iter(range(calls))

    @functools.wraps(teacher)
    def dies(features):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return teacher(features)

    return dies


def batches(price_seed=0, order=range(12)):
    """Twelve batches, of which one that is late may have other prices."""
    prices = np.random.default_rng(0).normal(size=(12, 5)).astype("f")
    prices[7] += price_seed
    return [{"item_id": 5 * n + np.arange(5), "price": prices[n]} for n in order]


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
