"""A teacher's scores, stored once by key and joined back to the data."""

from tfdistill.scores.joining import Coverage, find, join_requests, listed_rows
from tfdistill.scores.lookup import ScoreLookup
from tfdistill.scores.manifest import Column, Manifest, Shard
from tfdistill.scores.scoring import score_batches, score_top_k
from tfdistill.scores.store import ScoreStore
from tfdistill.scores.writer import StoreWriter

__all__ = [
    "Column",
    "Coverage",
    "Manifest",
    "ScoreLookup",
    "ScoreStore",
    "Shard",
    "StoreWriter",
    "find",
    "join_requests",
    "listed_rows",
    "score_batches",
    "score_top_k",
]
