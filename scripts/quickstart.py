#!/usr/bin/env python3
"""One teacher and three students on MovieLens-100K, from nothing to a report.

Makes the virtual environment `.venv` if it is not there, then runs
`tfdistill quickstart` in it with the same options (`--help` lists them).
"""

import sys

import _environment

if __name__ == "__main__":
    python = _environment.environment()
    sys.exit(_environment.run(python, ["-m", "tfdistill", "quickstart", *sys.argv[1:]]))
