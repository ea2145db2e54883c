#!/usr/bin/env python3
"""Trains a large ranker on a table of impressions: the first of two stages.

Makes the virtual environment `.venv` if it is not there, then runs
`tfdistill train-teacher` in it with the same options (`--help` lists them).
"""

import sys

import _environment

if __name__ == "__main__":
    command = ["-m", "tfdistill", "train-teacher", *sys.argv[1:]]
    sys.exit(_environment.run(_environment.environment(), command))
