"""Quality of the quickstart's teacher and students over seeds.

    python benchmarks/movielens_cascade.py [--seeds 5] [--data-dir DIR] [--work DIR]

Each seed is one line of benchmarks/results/cascade.jsonl and isn't run again.
Prints mean and standard deviation over seeds, and paired differences.
"""

from __future__ import annotations

from harness import Bench, Settings, rounded
from pages import markdown, spread

from tfdistill.datasets import load_movielens
from tfdistill.jobs.movielens import quickstart
from tfdistill.report import ALONE, DISTILLED, MODELS, Results

SHOWN = {
    "recall": ("ndcg@10", "recall@50"),
    "coarse": ("gauc", "log_loss"),
    "fine": ("gauc", "log_loss"),
    "page": ("ndcg@10",),
}


def flat(results: Results) -> dict[str, float]:
    """Test metrics of one seed as `stage/model/metric`, and the final page's."""
    found = {}
    for stage in results.stages:
        for model in stage.models:
            for part, values in (("test", model.test), ("valid", model.validation)):
                for metric, (value,) in values.items():
                    key = f"{stage.name}/{model.name}/{metric}"
                    found[key if part == "test" else f"valid/{key}"] = value
    for cascade in results.cascades:
        for metric, (value,) in cascade.page.items():
            found[f"page/{cascade.name}/{metric}"] = value
        for kept in cascade.stages:
            for metric, (value,) in kept.values.items():
                found[f"page/{cascade.name}/{kept.name}/{metric}"] = value
    return rounded(found)


class Cascade(Bench):
    """The whole quickstart."""

    name = "cascade"
    problems = ("MovieLens-100K", "MovieLens-1M")
    rows = ("quickstart",)
    run_id = "{problem}"
    data_dir = None

    def trained(self, row: str, settings: Settings, seed: int) -> Results:
        """Trains and evaluates; the folder must hold the data set that is named."""
        data = load_movielens(self.data_dir)
        if data.name != self.problem:
            raise ValueError(f"{self.data_dir} holds {data.name}; name that.")
        return quickstart(data, self.folder(row, settings, seed), seeds=(seed,))

    def metrics(
        self, row: str, trained: Results, part: str, seed: int
    ) -> dict[str, float]:
        return flat(trained)

    @classmethod
    def table(cls, problem: str) -> str:
        """A row for each metric, with what distillation gives."""
        runs = [run["test"] for run in cls.runs(problem).get("quickstart", ())]
        rows = []
        for stage, metrics in SHOWN.items():
            for metric in metrics:
                found = {
                    model: [run[f"{stage}/{model}/{metric}"] for run in runs]
                    for model in MODELS
                }
                pairs = zip(found[DISTILLED], found[ALONE])
                gain = spread([one - other for one, other in pairs], "+")
                cells = [spread(found[model]) for model in MODELS]
                rows.append([f"{stage} {metric}", *cells, gain])
        return markdown(["", *MODELS, f"{DISTILLED} - {ALONE}"], rows)


if __name__ == "__main__":
    Cascade.main()
