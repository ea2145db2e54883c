#!/usr/bin/env python3
"""Lint, types and tests, in an environment that it makes itself.

Further arguments are passed on to pytest; with any, only pytest runs:
`python3 scripts/check.py tests/losses -k hint`.
"""

import os
import sys

import _environment

CHECKS = (
    ("lint", ["ruff", "check", "."]),
    ("format", ["ruff", "format", "--check", "."]),
    ("types", ["mypy"]),
)
TESTS = ["pytest", "-n", "2", "--dist", "worksteal"]


def main(arguments):
    """Runs the checks one after the other and stops at the first that fails."""
    if arguments in (["-h"], ["--help"]):
        print(__doc__ + "\n" + _environment.OPTIONS)
        return 0
    setting, arguments = _environment.choose(arguments)
    python = _environment.environment(setting, ["dev"])
    os.chdir(_environment.ROOT)
    if arguments:
        return _environment.run(setting, python, ["-m", "pytest", *arguments])
    for name, command in (*CHECKS, ("tests", TESTS)):
        print("\n== {}: {}".format(name, " ".join(command)), flush=True)
        code = _environment.run(setting, python, ["-m", *command])
        if code:
            print(f"\n{name} failed (exit code {code}).", flush=True)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
