"""Tables in Markdown, and in the pages of docs/ between their markers."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

DOCS = pathlib.Path(__file__).parents[1] / "docs"

Table = Callable[[str], str]
"""From what stands in a marker, a problem or a part, to its table."""


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation over seeds; `sign="+"` for differences."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{np.mean(values):{sign}.4f} ± {deviation:.4f}"


def mean(values: Sequence[float]) -> str:
    """The spread of several seeds, and of one alone its value."""
    return spread(values) if len(values) > 1 else f"{values[0]:.4f}"


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (titles, *rows)]
    return "\n".join([lines[0], "|---" * len(titles) + "|", *lines[1:]])


def renewed(page: str, tables: Mapping[str, Table]) -> str:
    """Returns a page with the table of each `<!-- name: problem -->` made anew.

    Args:
        page: Markdown; a table ends where the next comment begins.
        tables: The tables by the name in the markers.
    """
    parts = page.split("<!-- ")
    for index, part in enumerate(parts):
        marker, end, _ = part.partition(" -->")
        name, _, problem = marker.partition(": ")
        if end and name in tables:
            parts[index] = f"{marker} -->\n\n{tables[name](problem)}\n\n"
    return "<!-- ".join(parts)


def renew(page: str, tables: Mapping[str, Table]) -> None:
    """Makes the tables of a page of docs/ anew, as `renewed` does."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (DOCS / page).write_text(renewed(text, tables), encoding="utf-8")
