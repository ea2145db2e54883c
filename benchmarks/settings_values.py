"""How far losses, gradients, architectures and metrics differ between the settings.

    python benchmarks/settings_values.py A B C [--rerun]

A, B and C are the Pythons of `settings.py`. Each computes what the test of agreement
does, from inputs and weights made by NumPy; its line has the largest difference
to (a) of each kind, relative to the largest value of its array. The lines are in
benchmarks/results/settings_values.jsonl; --rerun adds others.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
from typing import Any

import numpy as np
import settings
import store
import timing
from timing import answer, as_child

from tfdistill.jobs.machine import versions

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "agreement"))
NAME = "settings_values"
KINDS = ("losses", "compiled losses", "nets", "metrics")


def compare_here(name: str, first: str) -> dict[str, Any]:
    """Computes all values in this process: (a) keeps them, the others compare."""
    import values

    settings.check_here(name)
    found = values.values()
    if not pathlib.Path(first).exists():
        np.savez(first, **found)
    with np.load(first) as arrays:
        expected = dict(arrays)
    if sorted(found) != sorted(expected):
        raise ValueError(f"Other names: {sorted(set(found) ^ set(expected))}.")
    kinds = {}
    for kind in KINDS:
        names = [key for key in found if key.startswith(f"{kind}/")]
        far = {key: values.difference(found[key], expected[key]) for key in names}
        worst = max(far, key=far.__getitem__)
        difference = float(f"{far[worst]:.2e}")
        kinds[kind] = {"arrays": len(names), "difference": difference, "at": worst}
    return {"kinds": kinds, "versions": versions()}


def main() -> None:
    """Compares, where there are no lines yet, and prints the last ones."""
    options = timing.parsed(settings.PYTHONS)
    count = len(store.finished(NAME)) // len(settings.NAMES)
    new = options.rerun or not count
    count += new
    with tempfile.TemporaryDirectory() as folder:
        first = pathlib.Path(folder) / "first.npz"
        for setting in settings.settings(options.pythons):

            def measure(setting: settings.Setting = setting) -> dict[str, Any]:
                return answer(settings.start(setting, __file__, setting.name, first))

            run = store.once(NAME, f"{setting.name}/{count}", measure, rerun=new)
            print(run["run"], run["kinds"])


if __name__ == "__main__":
    if not as_child(compare_here):
        main()
