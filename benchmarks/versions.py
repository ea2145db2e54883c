"""What installs, imports and passes on each Python, TensorFlow and Keras.

    python benchmarks/versions.py                            # the whole suite in each
    python benchmarks/versions.py --tests "tests/losses tests/export" --pythons 3.13
    python benchmarks/versions.py --table                    # docs/installation.md anew

Each setting gets an environment in a temporary folder, removed after it; a line has
what was installed, which modules were imported, what of the suite was run, and how long
`quickstart --tiny` took. Needs the Pythons on this machine and 4 GiB of disk.
"""

from __future__ import annotations

import argparse
import collections
import functools
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from typing import Any

import pages
import store

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import _environment  # noqa: E402
import check  # noqa: E402

NAME = "versions"
PAGE = "installation.md"
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
TENSORFLOWS = ("2.15", "2.16", "2.19", "newest")
KERAS = ("2", "3")
TITLES = ("TensorFlow", "Keras", "installs", "imports", "tests", "quickstart")
INSIDE = """
import importlib, importlib.metadata, json, pkgutil, platform, tfdistill
names = [m.name for m in pkgutil.walk_packages(tfdistill.__path__, "tfdistill.")]
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = str(error)
versions = {"python": platform.python_version()}
for name in %r:
    try:
        versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        versions[name] = "not installed"
print(json.dumps({"modules": len(names), "not_imported": failed, "versions": versions}))
"""
PACKAGES = (
    *("tensorflow", "keras", "tf-keras", "tensorflow-recommenders"),
    *("tensorflow-ranking", "numpy", "pandas", "pyarrow", "protobuf", "apache-beam"),
)


def measured(python: str, tensorflow: str, keras: str, tests: str) -> dict[str, Any]:
    """Installs, imports, tests and runs one setting; what is missing is said."""
    found: dict[str, Any] = {"python": python, "tensorflow": tensorflow, "keras": keras}
    path = _environment.find_python(python)
    found["versions"] = {"python": path.version}
    with tempfile.TemporaryDirectory(prefix="tfdistill-") as folder:
        start = time.time()
        try:
            setting = _environment.setting_of(path, keras, tensorflow)
            setting = setting._replace(folder=os.path.join(folder, "venv"))
            inside = _environment.environment(setting, ["dev"])
        except _environment.Missing as missing:
            return {**found, "missing": str(missing)}
        except SystemExit as stop:
            return {**found, "not_installed": str(stop)}
        found["install_seconds"] = round(time.time() - start)
        report = _inside(setting, [inside, "-c", INSIDE % (PACKAGES,)])
        found.update(json.loads(report.stdout.splitlines()[-1]))
        found["tests"] = tests
        counts = os.path.join(folder, "counts.xml")
        program = [inside, "-m", *check.PYTEST.split(), *tests.split()]
        _inside(setting, [*program, f"--junitxml={counts}"])
        found.update(_counts(counts))
        start = time.time()
        program = [inside, "-m", "tfdistill", "quickstart", "--tiny"]
        run = _inside(setting, [*program, "--out", os.path.join(folder, "run")])
        if run.returncode:
            said = (run.stdout + run.stderr).strip().splitlines()
            return {**found, "quickstart_failed": said[-1] if said else "nothing said"}
        return {**found, "quickstart_seconds": round(time.time() - start)}


def _inside(setting: Any, program: Sequence[str]) -> subprocess.CompletedProcess[str]:
    variables = _environment.variables(setting)
    return subprocess.run(
        program, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )


def _counts(path: str) -> dict[str, Any]:
    """Returns how many tests passed, which failed, and why others were skipped."""
    passed, failed, skipped = check.counts(path)
    reasons: collections.Counter[str] = collections.Counter()
    failures = []
    for case in ElementTree.parse(path).iter("testcase"):
        for child in case:
            if child.tag == "skipped":
                reasons[child.get("message", "")] += 1
            elif child.tag in ("failure", "error"):
                said = child.get("message", "").partition("\n")[0]
                failures.append(f"{case.get('classname')}::{case.get('name')}: {said}")
    counted = {"passed": passed, "failed": failed, "skipped": skipped}
    return {**counted, "failures": failures, "skip_reasons": dict(reasons)}


def table(python: str) -> str:
    """Returns a Python's table in Markdown, of the last line of each setting."""
    last = {
        (run["python"], run["tensorflow"], run["keras"]): run
        for run in store.finished(NAME).values()
    }
    rows, runs = [], []
    for tensorflow, keras in itertools.product(TENSORFLOWS, KERAS):
        run = last.get((python, tensorflow, keras))
        runs.append(run or {})
        rows.append(_cells(tensorflow, keras, run))
    return "\n".join([pages.markdown(TITLES, rows), *_notes(runs)])


def _cells(tensorflow: str, keras: str, run: Mapping[str, Any] | None) -> list[str]:
    if run is None:
        return [tensorflow, keras, "not run", "", "", ""]
    if "missing" in run or "not_installed" in run:
        reason = run.get("missing") or run["not_installed"].splitlines()[-1]
        return [tensorflow, keras, f"no: {reason}", "", "", ""]
    versions, failed = run["versions"], run["not_imported"]
    imports = f"{run['modules'] - len(failed)} of {run['modules']}"
    counted = f"{run['passed']} / {run['failed']} / {run['skipped']}"
    quickstart = (
        f"{run['quickstart_seconds']} s" if "quickstart_seconds" in run else "no"
    )
    return [
        f"{tensorflow}: {versions['tensorflow']}",
        f"{keras}: {versions['keras' if keras == '3' else 'tf-keras']}",
        f"{run['install_seconds']} s",
        imports,
        counted if run["tests"] == "tests" else f"{counted} of a part",
        quickstart,
    ]


def _notes(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines below a table: what was not imported, failed and was skipped, and why."""
    notes: dict[str, None] = {}
    for run in runs:
        where = f"TensorFlow {run.get('tensorflow')}, Keras {run.get('keras')}"
        for name, reason in run.get("not_imported", {}).items():
            notes[f"`{name}` is not imported: {reason}"] = None
        if run.get("tests", "tests") != "tests":
            notes[f"the part of the tests: `{run['tests']}`"] = None
        for name in run.get("failures", ()):
            notes[f"{where}: failed: {name}"] = None
        if "quickstart_failed" in run:
            notes[f"{where}: the quickstart failed: {run['quickstart_failed']}"] = None
        for reason, number in run.get("skip_reasons", {}).items():
            notes[f"{where}: {number} skipped: {reason}"] = None
    return ["", *(f"- {note}" for note in notes)] if notes else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", default="tests")
    parser.add_argument("--pythons", nargs="+", default=PYTHONS)
    parser.add_argument("--tensorflows", nargs="+", default=TENSORFLOWS)
    parser.add_argument("--keras", nargs="+", default=KERAS)
    parser.add_argument("--rerun", action="store_true")
    parser.add_argument("--table", action="store_true", help="only write the page")
    chosen = parser.parse_args()
    settings = itertools.product(chosen.pythons, chosen.tensorflows, chosen.keras)
    for python, tensorflow, keras in settings if not chosen.table else ():
        runs = store.finished(NAME)
        done = {
            (run["python"], run["tensorflow"], run["keras"])
            for run in runs.values()
            if run.get("tests", chosen.tests) == chosen.tests
        }
        setting = (python, tensorflow, keras)
        if setting not in done or chosen.rerun:
            run = functools.partial(measured, *setting, chosen.tests)
            store.newest(NAME, run, rerun=True)
    pages.renew(PAGE, {NAME: table})


if __name__ == "__main__":
    main()
