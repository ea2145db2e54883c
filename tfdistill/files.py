"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["written_whole"]


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a path beside a file's place, and renames it when all is written.

    Nobody sees half a file, and an error leaves the old one as it was.

    Args:
        path: The file's place.

    Yields:
        Where to write.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scores.txt"
        >>> with written_whole(path) as unfinished:
        ...     _ = unfinished.write_text("0.5")
        >>> path.read_text()
        '0.5'
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
