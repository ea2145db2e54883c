"""Results as JSON, and files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from tfdistill.documents import as_json, read
from tfdistill.files import written_whole
from tfdistill.report.schema import Results


def to_json(results: Results) -> str:
    """Returns the results as JSON text, with null for NaN."""
    return as_json(results)


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
