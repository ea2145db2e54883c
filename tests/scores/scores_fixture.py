"""Requests with ids, a teacher that needs no training, and ways to damage a store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdistill.data import Requests


def requests(count: int = 50, length: int = 6, items: int = 40) -> Requests:
    """Requests of different lengths, named by text, over a catalogue of numbers."""
    rng = np.random.default_rng(0)
    candidates = np.stack([rng.permutation(items)[:length] for _ in range(count)])
    candidates[rng.random(candidates.shape) < 0.2] = -1
    candidates[:, 0] = np.maximum(candidates[:, 0], 0)
    for row in candidates:
        row[1:][row[1:] == row[0]] = -1
    return Requests(
        users={"age": rng.normal(size=count).astype(np.float32)},
        items={
            "item_id": 1000 + np.arange(items),
            "price": rng.normal(size=items).astype(np.float32),
        },
        candidates=candidates.astype(np.int32),
        labels=rng.integers(0, 2, candidates.shape).astype(np.float32),
        group=np.arange(count) % 9,
        ids=np.array([f"request-{n}" for n in range(count)]),
    )


def teacher(features):
    """Signal `"score"` `[B, L]`, different for every user and item."""
    return {"score": features["age"][:, tf.newaxis] + features["price"]}


def expected(given: Requests) -> np.ndarray:
    """The teacher's scores `[R, L]`, NaN where padded."""
    price = given.items["price"][given.candidates]
    scores = given.users["age"][:, np.newaxis] + price
    return np.where(given.candidates >= 0, scores, np.nan).astype(np.float32)


def fingerprint(folder: Path) -> dict[str, str]:
    """Name and checksum of every file but locks."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.endswith(".lock")
    }


def finished_unchecked(writer, shards, monkeypatch):
    """A store with a key in two shards, as an earlier version wrote it."""
    with monkeypatch.context() as patch:
        patch.setattr("tfdistill.scores.writer.require_distinct", lambda *_: None)
        return writer.finish(shards)
