"""A user's table of impressions, and the parts that every stage splits it into."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tfdistill.data.readers import read_frame, requests_from_frame, split_requests
from tfdistill.data.requests import Requests
from tfdistill.data.spec import FeatureSpec

__all__ = ["Impressions"]

_PARTS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Impressions:
    """Where the impressions are, and which columns say what.

    Args:
        table: Parquet or CSV file with one row per impression.
        spec: The features.
        request: Column that tells the requests apart.
        label: Column of the labels, 0 or 1.
        user: Column of the user, for GAUC per user; per request by default.
        time: Column of the time; the last tenths of the requests are then validation
            and test. By default the split is random, and always the same.
    """

    table: Path
    spec: FeatureSpec
    request: str
    label: str
    user: str | None = None
    time: str | None = None

    def read(self, scores: Sequence[str] = ()) -> Requests:
        """Reads all requests.

        Args:
            scores: Columns of a teacher's scores, to read with them.

        Raises:
            ValueError: If the table does not fit the spec.
        """
        return requests_from_frame(
            read_frame(self.table, self.spec),
            self.spec,
            request=self.request,
            label=self.label,
            user=self.user,
            time=self.time,
            scores=scores,
        )

    def parts(self, requests: Requests) -> dict[str, Requests]:
        """Splits all requests 80 / 10 / 10 % into train, valid and test."""
        seed = None if self.time else 0
        return dict(zip(_PARTS, split_requests(requests, [0.8, 0.1, 0.1], seed=seed)))
