#!/usr/bin/env python3
"""Judges rankers and a teacher's stored scores on a table of impressions.

Makes the virtual environment `.venv` if it is not there, then runs
`tfdistill evaluate` in it with the same options (`--help` lists them).
"""

import sys

import _environment

if __name__ == "__main__":
    command = ["-m", "tfdistill", "evaluate", *sys.argv[1:]]
    sys.exit(_environment.run(_environment.environment(), command))
