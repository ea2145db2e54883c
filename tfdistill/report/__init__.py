"""Tables and plots of a run: in the terminal, as PNG, as one self-contained HTML page.

`Results` holds everything; `print_tables` and `write_report` show it.
"""

from __future__ import annotations

from tfdistill.report.page import write_report
from tfdistill.report.schema import (
    ALONE,
    DISTILLED,
    MODELS,
    TEACHER,
    Baseline,
    CalibrationBins,
    Cascade,
    CascadeStage,
    Cost,
    Data,
    Export,
    Model,
    Part,
    Results,
    Stage,
    over_seeds,
)
from tfdistill.report.store import from_json, to_json
from tfdistill.report.terminal import print_tables

__all__ = [
    "ALONE",
    "Baseline",
    "DISTILLED",
    "MODELS",
    "TEACHER",
    "CalibrationBins",
    "Cascade",
    "CascadeStage",
    "Cost",
    "Data",
    "Export",
    "Model",
    "Part",
    "Results",
    "Stage",
    "from_json",
    "over_seeds",
    "print_tables",
    "to_json",
    "write_report",
]
