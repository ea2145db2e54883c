"""Whole jobs: train, compare, export, measure and report, as the commands do."""

from __future__ import annotations

from tfdistill.jobs.run import run

__all__ = ["run"]
