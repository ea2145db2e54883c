"""The tables of docs/recall.md, from the finished runs of `recall.py`.

    python benchmarks/recall_table.py

Writes each data set's table between its markers in docs/recall.md.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import store
from pages import renew, seeds
from recall_rows import BASELINES, ROWS

NAME = "recall"
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "recall.md"
METRICS = {
    "ndcg@10": "NDCG@10",
    "recall@10": "Recall@10",
    "recall@50": "Recall@50",
    "recall@50_head": "Recall@50, head",
    "recall@50_tail": "Recall@50, tail",
    "hits@5_of_500": "Hits@5 of 500",
    "hits@10_of_500": "Hits@10 of 500",
    "ndcg@10_of_500": "NDCG@10 of 500",
}
GAINS = ("ndcg@10", "recall@50")

Runs = Sequence[Mapping[str, float]]


def table(problem: str) -> str:
    """Returns a data set's table in Markdown: all rows that have a finished seed."""
    done = store.finished(NAME)
    found = {name: seeds(done, problem, name) for name in ROWS}
    found = {name: runs for name, runs in found.items() if runs}
    best = max(
        (name for name in BASELINES if name in found),
        key=lambda name: float(np.mean([run["ndcg@10"] for run in found[name]])),
        default=None,
    )
    gains = [f"{METRICS[metric]} over {best}" for metric in GAINS] if best else []
    titles = ["row", "seeds", *METRICS.values(), *gains]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, runs in found.items():
        cells = [name, str(len(runs))]
        cells += [store.mean([run[metric] for run in runs]) for metric in METRICS]
        if best:
            taught = ROWS[name].form is not None
            cells += [_gain(runs, found[best], m) if taught else "" for m in GAINS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _gain(runs: Runs, baseline: Runs, metric: str) -> str:
    """The relative gain of a row's mean over the baseline's."""
    mine, others = (np.mean([run[metric] for run in r]) for r in (runs, baseline))
    return f"{100 * (mine / others - 1):+.1f} %"


if __name__ == "__main__":
    renew(PAGE, NAME, table)
