#!/usr/bin/env python3
"""Scores a table of impressions once with any teacher, and stores the scores.

Makes the virtual environment `.venv` if it is not there, then runs
`tfdistill score-teacher` in it with the same options (`--help` lists them).
"""

import sys

import _environment

if __name__ == "__main__":
    command = ["-m", "tfdistill", "score-teacher", *sys.argv[1:]]
    sys.exit(_environment.run(_environment.environment(), command))
