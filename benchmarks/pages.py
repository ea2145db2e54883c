"""Tables in the pages of docs/, between their markers."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any


def seeds(done: Mapping[str, Any], problem: str, row: str) -> list[Mapping[str, float]]:
    """Returns the test metrics of a row's finished seeds, from seed 0 on."""
    runs: list[Mapping[str, float]] = []
    while f"{problem}/{row}/seed-{len(runs)}" in done:
        runs.append(done[f"{problem}/{row}/seed-{len(runs)}"]["test"])
    return runs


def renewed(page: str, name: str, table: Callable[[str], str]) -> str:
    """Returns a page with the table of each `<!-- name: problem -->` made anew.

    Args:
        page: Markdown; a table ends where the next comment begins.
        name: Name of the benchmark in the markers.
        table: Gives a problem's table.
    """
    parts = page.split("<!-- ")
    for index, part in enumerate(parts):
        marker, end, _ = part.partition(" -->")
        if end and marker.startswith(f"{name}: "):
            problem = marker.removeprefix(f"{name}: ")
            parts[index] = f"{marker} -->\n\n{table(problem)}\n\n"
    return "<!-- ".join(parts)


def renew(file: pathlib.Path, name: str, table: Callable[[str], str]) -> None:
    """Makes the tables of a page anew, as `renewed` does."""
    page = file.read_text(encoding="utf-8")
    file.write_text(renewed(page, name, table), encoding="utf-8")
