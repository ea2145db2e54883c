"""The report's tables in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from tfdistill.report.against import baseline_table, baseline_warnings
from tfdistill.report.cells import Cell, Table
from tfdistill.report.schema import Results
from tfdistill.report.tables import (
    cascade_table,
    cost_table,
    export_table,
    run_warnings,
    stage_table,
)

_STYLES = {"best": "bold", "better": "green", "worse": "red", "muted": "dim"}


def print_tables(results: Results, console: Console | None = None) -> None:
    """Prints each stage's models side by side, then cascade, cost and warnings.

    Args:
        results: The run.
        console: Where to; standard output where None.

    Example:
        >>> from tfdistill.report.schema import Data
        >>> data = Data("made up", rows=9, users=3, items=4, split="none", parts=())
        >>> results = Results("T", "command", data, seeds=(0, 1), warnings=("Careful",))
        >>> print_tables(results)
        <BLANKLINE>
        ! Careful
    """
    console = console or Console()
    tables = [
        *(stage_table(stage, len(results.seeds), "brief") for stage in results.stages),
        cascade_table(results, brief=True),
        baseline_table(results),
        cost_table(results),
        export_table(results),
    ]
    for table in tables:
        if table.rows:
            print_table(table, console)
    console.print()
    for warning in (*baseline_warnings(results), *run_warnings(results)):
        console.print(f"[yellow]! {escape(warning)}[/]")


def print_table(table: Table, console: Console) -> None:
    """Prints one table, with its warnings as its last rows."""
    shown = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE,
        show_edge=False,
    )
    for place, column in enumerate(table.columns):
        shown.add_column(
            column,
            justify="right" if place and not table.words else "left",
            no_wrap=place == 0,
            overflow="fold",
        )
    for row in table.rows:
        if len(row) == 1:
            shown.add_section()
            shown.add_row(Text(row[0].text, style="italic"))
        else:
            shown.add_row(*map(_styled, row))
    console.print()
    console.print(shown)
    if table.caption:
        console.print(f"[dim]{escape(table.caption)}[/]")
    for warning in table.warnings:
        console.print(f"[yellow]! {escape(warning)}[/]")


def _styled(cell: Cell) -> Text:
    return Text(cell.text, style=_STYLES.get(cell.tone, ""))
