"""Options of where results go: a place that can't be is refused before any work."""

# ruff: noqa: UP007, UP045 - typer reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import typer

from tfdistill.files import require_file, require_folder

__all__ = ["new_file", "new_folder"]


def new_folder(help: str) -> Any:
    """Returns the option of a folder that a command writes to."""
    return typer.Option(help=help, callback=_checked(require_folder))


def new_file(help: str) -> Any:
    """Returns the option of a file that a command writes."""
    return typer.Option(help=help, callback=_checked(require_file))


def _checked(require: Callable[[Path], None]) -> Callable[[Optional[Path]], object]:
    def check(place: Optional[Path]) -> Optional[Path]:
        if place is not None:
            try:
                require(place)
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
        return place

    return check
