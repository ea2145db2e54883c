"""The picture of the house: rooms as nodes, imports as arrows, in Mermaid.

    python docs/house.py

writes it into docs/design.md, between two marks; a test compares both. A room is a
package; modules beside the packages are the ground, those that start a program the
command line. An arrow that a longer way says too is left out.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

LIBRARY = Path(__file__).parents[1] / "tfdistill"
PAGE = Path(__file__).with_name("design.md")
BEGIN, END = "<!-- made by docs/house.py -->\n", "<!-- end -->\n"
_PROGRAMS = ("cli", "__main__")


def room(module: str) -> str:
    """The room of `tfdistill.<module>`, by its dotted name behind the package's."""
    name = module.partition(".")[0]
    if (LIBRARY / name).is_dir():
        return name
    return "command line" if name in _PROGRAMS else "ground"


def imports() -> dict[str, set[str]]:
    """By room the rooms that its files import, inside functions too."""
    found: dict[str, set[str]] = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        where = path.relative_to(LIBRARY).with_suffix("").parts
        if where == ("__init__",):  # the front re-exports what it likes
            continue
        here = room(where[0])
        found.setdefault(here, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            ours = [name for name in names if name.startswith("tfdistill.")]
            found[here] |= {room(name.partition(".")[2]) for name in ours} - {here}
    return found


def reduced(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows without those that a longer way says too; there are no circles."""

    @functools.cache
    def reached(start: str) -> frozenset[str]:
        below = arrows[start]
        return frozenset(below).union(*(reached(other) for other in below))

    return {
        start: {
            end
            for end in ends
            if not any(end in reached(other) for other in ends - {end})
        }
        for start, ends in arrows.items()
    }


def picture() -> str:
    """The picture as a block of Mermaid."""
    arrows = reduced(imports())
    nodes = [f'    {name.replace(" ", "_")}["{name}"]' for name in sorted(arrows)]
    links = [
        f"    {start.replace(' ', '_')} --> {end.replace(' ', '_')}"
        for start in sorted(arrows)
        for end in sorted(arrows[start])
    ]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *links, "```", ""])


def page(text: str) -> str:
    """The page with the picture of now between the marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
