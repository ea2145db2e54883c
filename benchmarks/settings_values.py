"""How far losses, gradients, architectures and metrics differ between the settings.

    python benchmarks/settings_values.py A B C [--rerun]

A, B and C are the Pythons of `settings.py`. Each computes what the test of agreement
does, from inputs and weights made by NumPy; its line has the largest difference
to (a) of each kind, relative to the largest value of its array. The lines are in
benchmarks/results/settings_values.jsonl; --rerun adds others.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import settings
import store

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "agreement"))
NAME = "settings_values"
KINDS = ("losses", "compiled losses", "nets", "metrics")


def compare_here(name: str, run: str, first: pathlib.Path) -> None:
    """Computes all values in this process; (a) keeps them, the others keep a line."""
    import values

    settings.check_here(name)
    found = values.values()
    if not first.exists():
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
        kinds[kind] = {
            "arrays": len(names),
            "difference": float(f"{far[worst]:.2e}"),
            "at": worst,
        }
    store.append(NAME, run, {"kinds": kinds})


def main() -> None:
    """Compares, where there are no lines yet, and prints the last ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    settings.add_pythons(parser)
    parser.add_argument("--rerun", action="store_true", help="compare once more")
    parser.add_argument("--child", nargs=3, metavar=("SETTING", "RUN", "FILE"))
    options = parser.parse_args()
    if options.child:
        name, run, first = options.child
        compare_here(name, run, pathlib.Path(first))
        return
    count = len(store.finished(NAME)) // len(settings.NAMES)
    if options.rerun or not count:
        count += 1
        with tempfile.TemporaryDirectory() as folder:
            first = pathlib.Path(folder) / "first.npz"
            for setting in settings.settings(options.pythons):
                child = ["--child", setting.name, f"{setting.name}/{count}", first]
                settings.run(setting, __file__, *options.pythons, *child)
    for name in settings.NAMES:
        print(name, store.finished(NAME)[f"{name}/{count}"]["kinds"])


if __name__ == "__main__":
    main()
