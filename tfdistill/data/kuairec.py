"""Loader of the KuaiRec exposures: how much of a video each user watched."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pandas as pd

from tfdistill.data.delimited import check_file, read_interactions
from tfdistill.data.movielens import Expected

__all__ = ["EXPECTED_KUAIREC", "load_kuairec"]

EXPECTED_KUAIREC = Expected(rows=117_113, users=1411, items=2519)
"""The extract of KuaiRec that has 83 exposures of each user."""

_COLUMNS = {"user_id": "int64", "item_id": "int64", "watch_ratio": "float32"}


def load_kuairec(
    path: str | Path, *, expected: Expected = EXPECTED_KUAIREC
) -> pd.DataFrame:
    """Loads 117,113 real exposures of short videos, 83 a user.

    A watch ratio of 1 is a video watched to its end, 2 one watched twice over; the
    largest is 144, so clip it before regressing on it.

    Args:
        path: The file `exposures.csv.gz`: `user,video,watch_ratio`, no header.
        expected: What must have been read.

    Returns:
        A frame with the columns user_id, item_id and watch_ratio (float32, >= 0).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is corrupt, truncated or another one.

    Example:
        >>> load_kuairec("no/such/file.csv.gz")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: KuaiRec: there is no file 'no/such/file.csv.gz'. Give ...

    Reference:
        Gao et al., KuaiRec: A Fully-observed Dataset, CIKM 2022, arXiv:2202.10842.
    """
    check_file(path, "KuaiRec", "exposures.csv.gz")

    def opened() -> io.BufferedReader:
        return io.BufferedReader(gzip.open(path))  # whatever it is called

    return read_interactions(
        opened, str(path), _COLUMNS, expected, separator=",", header=False
    )
