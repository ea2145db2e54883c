#!/usr/bin/env python3
"""Lint, types and tests, in environments that it makes itself.

Without arguments it checks every setting that has a Python here: lint, types and all
tests with TensorFlow 2.15 and Keras 2, all tests on the newest Python with Keras 3, and
losses, layers, trainers and export there with Keras 2; at the end it says what was run.
With a setting it checks that one alone. Further arguments are passed on to pytest; with
any, only pytest runs, in one setting: `python3 scripts/check.py tests/losses -k hint`.
"""

import collections
import os
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

import _environment

SETTINGS = (
    (["--python=newest", "--tensorflow=2.15"], "tests"),
    (["--python=newest", "--keras=3"], "tests"),
    (
        ["--python=newest", "--keras=2", "--tensorflow=newest"],
        "tests/losses tests/layers tests/trainers tests/export tests/hosts_test.py",
    ),
)
LINT = (("lint", "ruff check ."), ("format", "ruff format --check ."))
PYTEST = "pytest -n 2 --dist worksteal"

Row = collections.namedtuple("Row", "check setting result seconds failed")


def main(arguments):
    """Runs what the arguments ask for and returns the exit code."""
    if arguments in (["-h"], ["--help"]):
        print(__doc__ + "\n" + _environment.OPTIONS)
        return 0
    os.chdir(_environment.ROOT)
    chosen, rest = _environment.parse(arguments)
    if rest:
        setting, _ = _environment.choose(arguments)
        python = _environment.environment(setting, ["dev"])
        return _environment.run(setting, python, ["-m", "pytest", *rest])
    if any(vars(chosen).values()):
        rows = list(_checked(_environment.choose(arguments)[0], "tests", lint=True))
    else:
        rows = _every_setting()
    print("\n== What was run")
    for row in rows:
        seconds = "" if row.seconds is None else f" ({row.seconds:.0f} s)"
        print(f"{row.check}, {row.setting}: {row.result}{seconds}", flush=True)
    return int(any(row.failed for row in rows))


def _every_setting():
    """Checks what there is a Python for, and returns rows of what there is none for."""
    _environment.find_python()  # where there is none at all, one sentence says so
    rows = []
    for wanted, tests in SETTINGS:
        lint = not any(row.check == "lint" for row in rows)
        try:
            rows += _checked(_environment.choose(wanted)[0], tests, lint)
        except SystemExit as stop:
            print(stop, flush=True)
            failed = not isinstance(stop, _environment.Missing)
            reason = str(stop).splitlines()[-1]
            rows.append(
                Row(tests, " ".join(wanted), f"not run: {reason}", None, failed)
            )
    newest = _environment.find_python("newest").version.rpartition(".")[0]
    later = _environment.VERSIONS[: _environment.VERSIONS.index(newest)]
    if later:
        which = "Python " + ", ".join(later)
        rows.append(Row("tests", which, "not run: not found here", None, False))
    return rows


def _checked(setting, tests, lint):
    """Yields a row for each check of one setting as it ends."""
    python = _environment.environment(setting, ["dev"])
    for name, command in LINT if lint else ():
        yield _row(name, setting, python, command)
    if lint and setting.tensorflow == "2.15":
        yield _row("types", setting, python, "mypy")
    elif lint:  # NumPy's own types differ from version to version
        reason = "not run: types are checked with TensorFlow 2.15 alone"
        yield Row("types", _environment.named(setting), reason, None, False)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "counts.xml")
        row = _row(tests, setting, python, f"{PYTEST} {tests} --junitxml={path}")
        result = "{}: {} passed, {} failed, {} skipped"
        yield row._replace(result=result.format(row.result, *counts(path)))


def _row(name, setting, python, command):
    print(f"\n== {_environment.named(setting)}: {command}", flush=True)
    start = time.time()
    code = _environment.run(setting, python, ["-m", *command.split()])
    result = f"failed (exit code {code})" if code else "passed"
    seconds = time.time() - start
    return Row(name, _environment.named(setting), result, seconds, bool(code))


def counts(path):
    """Returns how many tests passed, failed and were skipped, by pytest's own file."""
    if not os.path.isfile(path):
        return 0, 0, 0
    (suite,) = ElementTree.parse(path).getroot()
    keys = ("tests", "failures", "errors", "skipped")
    tests, failures, errors, skipped = (int(suite.get(key)) for key in keys)
    failed = failures + errors
    return tests - failed - skipped, failed, skipped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
