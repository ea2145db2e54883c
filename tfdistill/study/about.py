"""What a report says of a problem's data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.report import Data, Part

__all__ = ["about"]


def about(source: str, rows: int, split: str, parts: Mapping[str, Requests]) -> Data:
    """Counts the users and the items of each part, and those with training rows.

    Args:
        source: The data's name and where they were read from.
        rows: Rows read.
        split: How they were split, in a few words.
        parts: The requests of each part by its name, `"train"` first.
    """
    users, items = {}, {}
    for name, part in parts.items():
        users[name] = np.unique(part.group)
        items[name] = np.unique(part.candidates[part.candidates >= 0])
    return Data(
        source=source,
        rows=rows,
        users=len(np.unique(np.concatenate(list(users.values())))),
        items=parts["train"].num_items,
        split=split,
        parts=[
            Part(
                name,
                part.num_requests,
                int(np.sum(part.candidates >= 0)),
                *_known(users[name], users["train"]),
                *_known(items[name], items["train"]),
            )
            for name, part in parts.items()
        ],
    )


def _known(values: np.ndarray, train: np.ndarray) -> tuple[int, int]:
    """How many of the values are in the training part, and how many are not."""
    warm = int(np.isin(values, train).sum())
    return warm, len(values) - warm
