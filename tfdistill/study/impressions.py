"""A user's table of impressions, and the parts that every stage splits it into."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape

from tfdistill.data.columns import require_binary
from tfdistill.data.readers import requests_from_frame, rows_of
from tfdistill.data.requests import Requests, split_requests
from tfdistill.data.summary import DataSummary, summarise
from tfdistill.report.tables import summary_table
from tfdistill.report.terminal import print_table
from tfdistill.spec import FeatureSpec

__all__ = ["Impressions", "table_name"]

_PARTS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Impressions:
    """Where the impressions are, and which columns say what.

    Args:
        table: Parquet or CSV file with one row per impression, or a pandas frame.
        spec: The features.
        request: Column that tells the requests apart.
        label: Column of the labels, 0 or 1.
        user: Column of the user, for GAUC per user; per request by default.
        time: Column of the time; the last tenths of the requests are then validation
            and test. By default the split is random, and always the same.
        time_format: Format of a time that is text, where that is not ISO 8601.
        list_size: How many impressions of a request to keep, the first ones.
        separator: Stands between the fields of a CSV file; by default it is found out.
        item: Column of the item; by default each impression is an item of its own.
    """

    table: Path | pd.DataFrame
    spec: FeatureSpec
    request: str
    label: str
    user: str | None = None
    time: str | None = None
    time_format: str | None = None
    list_size: int | None = None
    separator: str | None = None
    item: str | None = None

    def read(
        self, scores: Sequence[str] = (), *, console: Console | None = None
    ) -> tuple[Requests, DataSummary]:
        """Reads all requests, and prints what they look like.

        Args:
            scores: Columns of a teacher's scores, to read with them.
            console: Where to print.

        Returns:
            The requests and their summary.

        Raises:
            ValueError: If the table does not fit the spec, or a feature has not one
                value that means something.
        """
        table = rows_of(
            self.table,
            self.spec.names,
            "impressions of this spec",
            separator=self.separator,
        )
        with table as frame:
            requests = requests_from_frame(
                frame,
                self.spec,
                request=self.request,
                label=self.label,
                user=self.user,
                item=self.item,
                time=self.time,
                time_format=self.time_format,
                list_size=self.list_size,
                scores=scores,
            )
            clicks = require_binary(frame, self.label)
        summary = summarise(requests, self.spec, rows=len(frame), clicks=clicks)
        summary.refuse_useless()
        if console is not None:
            print_table(summary_table(summary), console)
            for warning in summary.warnings():
                console.print(f"[yellow]! {escape(warning)}[/]")
        return requests, summary

    @property
    def name(self) -> str:
        """The table's name, in words."""
        return table_name(self.table)

    @property
    def split(self) -> str:
        """How the requests are split, in words."""
        how = "by time" if self.time else "at random"
        return f"requests {how}, 80 / 10 / 10 %"

    def parts(self, requests: Requests) -> dict[str, Requests]:
        """Splits all requests 80 / 10 / 10 % into train, valid and test."""
        seed = None if self.time else 0
        found = {}
        for number, part in enumerate(
            split_requests(requests, [0.8, 0.1, 0.1], seed=seed)
        ):
            place = (np.arange(part.num_requests) + 0.5) / part.num_requests
            found[_PARTS[number]] = dataclasses.replace(part, clock=number + place)
        return found


def table_name(table: Any) -> str:
    """What a user's table is called: its file, or a frame.

    Args:
        table: A path or a pandas frame.
    """
    return Path(table).name if isinstance(table, (str, Path)) else "a data frame"
