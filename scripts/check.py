#!/usr/bin/env python3
"""Lint, types and tests, in the project's own virtual environment.

Makes `.venv` if it is not there. Arguments are passed on to pytest; with any, only
pytest runs: `python3 scripts/check.py tests/losses -k hint`.
"""

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
        print(__doc__)
        return 0
    python = _environment.environment("dev")
    if arguments:
        return _environment.run(python, ["-m", "pytest", *arguments], _environment.ROOT)
    for name, command in (*CHECKS, ("tests", TESTS)):
        print("\n== {}: {}".format(name, " ".join(command)), flush=True)
        code = _environment.run(python, ["-m", *command], _environment.ROOT)
        if code:
            print(f"\n{name} failed (exit code {code}).", flush=True)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
