"""Loader of Frappe: which app was used in which context."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd

from tfdistill.datasets.movielens import Expected
from tfdistill.files import read_as

__all__ = ["EXPECTED_FRAPPE", "FRAPPE_CONTEXT", "load_frappe"]

EXPECTED_FRAPPE = Expected(rows=96_203, users=957, items=4082)
"""Frappe, whole."""

FRAPPE_CONTEXT = (
    "daytime",
    "weekday",
    "isweekend",
    "homework",
    "cost",
    "weather",
    "country",
    "city",
)
"""The context fields, in the order of the file."""

_MEMBER = "Mobile_Frappe/frappe/frappe.csv"
_COLUMNS = {
    **dict.fromkeys(("user_id", "item_id", "count"), "int64"),
    **dict.fromkeys(FRAPPE_CONTEXT, "str"),
}


def load_frappe(
    path: str | Path, *, expected: Expected = EXPECTED_FRAPPE
) -> pd.DataFrame:
    """Loads 96,203 logs of app usage; all of them are positives.

    Its field `cost` is a property of the app, not of the moment: an item drawn as a
    negative for a log is known for one where its cost is not the log's.

    Args:
        path: The archive `Mobile_Frappe.zip`.
        expected: What must have been read.

    Returns:
        A frame with the columns user_id, item_id, count (how often the app was used)
        and the fields of `FRAPPE_CONTEXT`, which are strings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is corrupt, truncated or another one.

    Example:
        >>> load_frappe("no/such/file.zip")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: Frappe: there is no file 'no/such/file.zip'. Give the path...

    Reference:
        Baltrunas et al., Frappe: Understanding the Usage and Perception of Mobile App
        Recommendations In-The-Wild, 2015, arXiv:1505.03014.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Frappe: there is no file {str(path)!r}. Give the path of "
            "Mobile_Frappe.zip."
        )
    remedy = "Fetch the file again."
    with read_as(path, f"an archive with {_MEMBER!r}", remedy=remedy):
        with zipfile.ZipFile(path) as archive, archive.open(_MEMBER) as file:
            frame = pd.read_csv(
                file,
                sep="\t",
                header=0,
                names=list(_COLUMNS),
                dtype=_COLUMNS,
                keep_default_na=False,
            )
    users, items = (frame[name].nunique() for name in ("user_id", "item_id"))
    expected.check(repr(str(path)), len(frame), users, items)
    return frame
