"""A few requests, and the sentence that refuses to go on with another run."""

from __future__ import annotations

import numpy as np

from tfdistill.data import Requests

REFUSED = "begun with other settings: .*{}.* Delete this folder to begin anew"


def requests(seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "users": {"age": rng.normal(35, 10, 24).astype(np.float32)},
        "items": {"price": np.arange(9, dtype=np.float32)},
        "candidates": np.tile(np.arange(4, dtype=np.int32), (24, 1)),
        "labels": (rng.random((24, 4)) < 0.5).astype(np.float32),
        "group": np.arange(24),
    }
    return Requests(**{**values, **changes})


DATA = requests()
