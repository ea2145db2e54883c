"""Results as JSON, and files that are written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfdistill.documents import read
from tfdistill.files import written_whole
from tfdistill.report.schema import Results


def to_json(results: Results) -> str:
    """Returns the results as JSON text, with null for NaN."""
    plain = _nan_to_none(dataclasses.asdict(results))
    return json.dumps(plain, indent=1, allow_nan=False)


def from_json(text: str) -> Results:
    """Returns the results that `to_json` gave.

    Args:
        text: The content of a run's results.json.

    Raises:
        ValueError: Where the text isn't JSON of this schema.

    Example:
        >>> from tfdistill.report.schema import Data
        >>> data = Data("made up", rows=9, users=3, items=4, split="none", parts=())
        >>> results = Results("Title", "command", data, seeds=(0,))
        >>> from_json(to_json(results)) == results
        True
    """
    remedy = "Pass the results.json that a run of this version wrote."
    return read(text, Results, what="a run's results", remedy=remedy)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place and renames it: nobody sees half of it."""
    with written_whole(path) as unfinished:
        unfinished.write_bytes(content)


def _nan_to_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nan_to_none(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nan_to_none(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
