"""One self-contained HTML page about a run, with its pictures beside it as PNG."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from tfdistill.report import plots, tables
from tfdistill.report.against import baseline_table, baseline_warnings
from tfdistill.report.cells import Cell, Table
from tfdistill.report.schema import Results
from tfdistill.report.store import to_json, write_whole
from tfdistill.report.style import DOCUMENT, STYLE

_LATENCY, _CASCADE = "latency_quality.png", "cascade.png"
_CALIBRATION, _CURVES = "calibration.png", "training_curves.png"
_PIXELS_PER_INCH = 92
_CAPTIONS = {
    _LATENCY: "Quality on test over the latency of one call. The arrow goes from the "
    "student alone to the distilled one, which costs the same.",
    _CASCADE: "What is left after each stage (items kept below), on test, in percent.",
    _CALIBRATION: "Click rate over mean prediction on test, in ten bins of equal mass. "
    "Below the line the model promises too many clicks. First seed.",
    _CURVES: "Every loss and transfer over the epochs. First seed.",
}


def write_report(results: Results, directory: Path) -> Path:
    """Writes the report of a run: one HTML page, its PNGs and its numbers.

    `report.html` needs no other file and no network. Beside it stand the pictures and
    `results.json`, from which `from_json` makes the results again. Each file is written
    under another name first, and the page last; an older report is replaced.

    Args:
        results: The run.
        directory: Where to; made where missing.

    Returns:
        The page's path.

    Example:
        >>> import tempfile
        >>> from tfdistill.report.schema import Data
        >>> data = Data("made up", rows=9, users=3, items=4, split="none", parts=())
        >>> results = Results("Title", "command", data, seeds=(0,))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(results, Path(folder)).name
        'report.html'
    """
    directory = Path(directory)
    drawn = {
        _LATENCY: plots.latency_plot(results),
        _CASCADE: plots.cascade_plot(results.cascades),
        _CALIBRATION: plots.calibration_plot(results.calibration),
        _CURVES: plots.curves_plot(results.curves),
    }
    pictures = {name: png for name, png in drawn.items() if png is not None}
    for name in drawn:
        if name in pictures:
            write_whole(directory / name, pictures[name])
        else:
            (directory / name).unlink(missing_ok=True)
    write_whole(directory / "results.json", to_json(results).encode())
    page = directory / "report.html"
    write_whole(page, render(results, pictures).encode())
    return page


def render(results: Results, pictures: Mapping[str, bytes]) -> str:
    """Returns the page's HTML.

    Args:
        results: The run.
        pictures: File name -> PNG bytes; they are inlined.

    Example:
        >>> from tfdistill.report.schema import Data
        >>> data = Data("made up", rows=9, users=3, items=4, split="none", parts=())
        >>> "<h1>A &lt; B</h1>" in render(Results("A < B", "command", data, (0,)), {})
        True
    """
    figures = {name: _figure(name, png) for name, png in pictures.items()}
    body = [_header(results), _warnings(_all_warnings(results))]
    body += [
        f"<section><h2>{escape(name)}</h2>{content}</section>"
        for name, content in _sections(results, figures)
        if content
    ]
    return DOCUMENT.format(
        title=escape(results.title), style=STYLE, body="\n".join(body)
    )


def _sections(
    results: Results, figures: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Gives each section's heading and its HTML, empty where there is nothing."""
    glance = _table(tables.overview_table(results))
    yield "At a glance", glance + figures.get(_LATENCY, "")
    against = baseline_table(results)
    yield against.title, _table(against)
    for stage in results.stages:
        test = tables.stage_table(stage, len(results.seeds))
        valid = tables.stage_table(stage, len(results.seeds), "validation")
        folded = f"<details><summary>Validation</summary>{_table(valid)}</details>"
        yield test.title, _warned(test) + _table(test) + folded
    cascade = tables.cascade_table(results)
    picture = figures.get(_CASCADE, "")
    yield cascade.title, _warned(cascade) + picture + _table(cascade)
    yield "Calibration", figures.get(_CALIBRATION, "")
    yield "Training", figures.get(_CURVES, "")
    cost = tables.cost_table(results)
    yield cost.title, _table(cost)
    for table in (tables.export_table(results), tables.data_table(results)):
        yield table.title, _table(table)
    if results.summary is not None:
        read = tables.summary_table(results.summary)
        yield read.title, _table(read)
    yield "Metrics", _table(tables.glossary_table(results))


def _header(results: Results) -> str:
    """Returns title, command, and what the run ran on."""
    data = results.data
    facts = {
        "Data": data.source,
        "Size": f"{data.rows:,} interactions, {data.users:,} users, "
        f"{data.items:,} items",
        "Split": data.split,
        "Seeds": ", ".join(map(str, results.seeds)),
        "Versions": ", ".join(f"{name} {v}" for name, v in results.versions.items()),
        "Hardware": results.hardware,
        **results.facts,
    }
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
        for name, text in facts.items()
        if text
    )
    return (
        f"<h1>{escape(results.title)}</h1>\n<dl>{listed}</dl>\n"
        f"<pre><code>{escape(results.command)}</code></pre>"
    )


def _all_warnings(results: Results) -> list[str]:
    """Returns the warnings of the run, of every stage and of the cascade."""
    of_stages = [w for stage in results.stages for w in tables.stage_warnings(stage)]
    of_cascade = tables.cascade_warnings(results)
    simple = baseline_warnings(results)
    return [*simple, *tables.run_warnings(results), *of_stages, *of_cascade]


def _warnings(warnings: Sequence[str]) -> str:
    """Returns the box of warnings, nothing where there is none."""
    if not warnings:
        return ""
    entries = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings"><strong>Warnings</strong><ul>{entries}</ul></div>'


def _warned(table: Table) -> str:
    """Returns a table's warnings."""
    return "".join(
        f'<p class="warning">⚠ {escape(warning)}</p>' for warning in table.warnings
    )


def _table(table: Table) -> str:
    """Returns a table with its caption, nothing where it has no row."""
    if not table.rows:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(_row(row, len(table.columns)) for row in table.rows)
    kind = ' class="words"' if table.words else ""
    caption = f'<p class="caption">{escape(table.caption)}</p>' if table.caption else ""
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{caption}"
    )


def _row(row: Sequence[Cell], columns: int) -> str:
    if len(row) == 1:
        text = escape(row[0].text)
        return f'<tr class="group"><td colspan="{columns}">{text}</td></tr>'
    return f"<tr>{''.join(map(_cell, row))}</tr>"


def _cell(cell: Cell) -> str:
    tone = f' class="{cell.tone}"' if cell.tone else ""
    hint = f' title="{escape(cell.hint)}"' if cell.hint else ""
    return f"<td{tone}{hint}>{escape(cell.text)}</td>"


def _figure(name: str, png: bytes) -> str:
    """Returns a picture with its caption, inlined."""
    caption, data = escape(_CAPTIONS[name]), base64.b64encode(png).decode()
    pixels = int.from_bytes(png[16:20], "big")  # width in the PNG's header
    width = round(pixels / plots.DPI * _PIXELS_PER_INCH)
    return (
        f'<figure><img alt="{caption}" width="{width}" '
        f'src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
