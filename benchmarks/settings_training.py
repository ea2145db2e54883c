"""The quickstart in the three settings: its metrics beside the spread of its seeds.

    python benchmarks/settings_training.py A B C [--data-dir DIR] [--seeds 3]

A, B and C are the Pythons of `settings.py`. Every training runs in a process of its
own, one after the other, and is one line of results/settings_training.jsonl.
`settings_table.py` makes the table of docs/keras.md of them.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time

import settings
import store

NAME = "settings_training"


def train_here(name: str, seed: int, data_dir: pathlib.Path | None) -> None:
    """Runs the quickstart with one seed in this process and keeps its metrics."""
    from movielens_cascade import flat

    from tfdistill.data import load_movielens
    from tfdistill.zoo.quickstart import make_problem, quickstart

    settings.check_here(name)
    start = time.perf_counter()
    problem = make_problem(load_movielens(data_dir))
    with tempfile.TemporaryDirectory() as work:
        results = quickstart(problem, pathlib.Path(work), seeds=(seed,))
    found = {
        "data": problem.data.name,
        "test": flat(results),
        "cpu_s": round(time.process_time(), 1),  # its checks' processes left out
        "wall_s": round(time.perf_counter() - start, 1),
    }
    store.append(NAME, f"{name}/seed-{seed}", found)


def main() -> None:
    """Runs the trainings that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    settings.add_pythons(parser)
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("SETTING", "SEED"))
    options = parser.parse_args()
    if options.child:
        name, seed = options.child
        train_here(name, int(seed), options.data_dir)
        return
    data = ["--data-dir", options.data_dir] if options.data_dir else []
    for seed in range(options.seeds):
        for setting in settings.settings(options.pythons):
            if f"{setting.name}/seed-{seed}" not in store.finished(NAME):
                child = ["--child", setting.name, seed]
                settings.run(setting, __file__, *options.pythons, *data, *child)


if __name__ == "__main__":
    main()
