"""Made-up users who walk through a catalogue, as a problem with features and a log."""

from __future__ import annotations

import numpy as np
import pandas as pd

import tfdistill as td
from tfdistill.data import windows
from tfdistill.data.splits import per_user_temporal_split

ITEMS = 60


def walks() -> td.Problem:
    """Each user walks through the items in order, from a place of its own."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        steps = np.cumsum(rng.integers(1, 3, 30)) + rng.integers(ITEMS)
        for place, item in enumerate(dict.fromkeys((steps % ITEMS).tolist())):
            rows.append((user, item, 5 - (place % 7 == 3) * 3, 1000 * place + user))
    names = ["user_id", "item_id", "rating", "timestamp"]
    split = per_user_temporal_split(pd.DataFrame(rows, columns=names))
    users = {"user_id": np.arange(60), "group": np.arange(60) % 3}
    parts = windows(
        split, users, {"item_id": np.arange(ITEMS)}, list_size=5, history=4, negatives=2
    )
    spec = td.FeatureSpec(
        (
            td.Feature("user_id", "categorical", "user", "user_id"),
            td.Feature("group", "categorical", "user", "group"),
            td.Feature("history", "categorical", "user", "item_id", (4,)),
            td.Feature("item_id", "categorical", "item", "item_id"),
        ),
        (
            td.Table("user_id", 8, size=60),
            td.Table("group", 8, size=3),
            td.Table("item_id", 8, size=ITEMS),
        ),
    )
    return td.Problem.from_windows(spec, parts)
