#!/usr/bin/env python3
"""Trains a small ranker on a table of impressions, under a teacher or its scores.

Makes the virtual environment `.venv` if it is not there, then runs
`tfdistill distill` in it with the same options (`--help` lists them).
"""

import sys

import _environment

if __name__ == "__main__":
    command = ["-m", "tfdistill", "distill", *sys.argv[1:]]
    sys.exit(_environment.run(_environment.environment(), command))
