"""Quality of the joint cascade's teacher and students over seeds.

    python benchmarks/movielens_cascade.py [--seeds 5] [--data-dir DIR] [--work DIR]

Each seed is one line of benchmarks/results/cascade.jsonl and isn't run again.
Prints mean and standard deviation over seeds, and paired differences.
"""

from __future__ import annotations

from pathlib import Path

from harness import Bench, Settings, rounded
from pages import markdown, spread

from tfdistill import jobs
from tfdistill.datasets import MovieLens, load_movielens
from tfdistill.jobs.comparison import Sizes
from tfdistill.report import ALONE, DISTILLED, MODELS, Results
from tfdistill.study import movielens_problem
from tfdistill.zoo import movielens_cascade as zoo

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


def joint(data: MovieLens, folder: Path, seed: int) -> Results:
    """Trains teacher and students jointly and each student alone, and evaluates all."""
    problem = movielens_problem(data)
    return jobs.run(
        f"One teacher, three students: {data.name}",
        problem,
        zoo.joint(),
        folder,
        seeds=(seed,),
        sizes=Sizes.fitting(problem.train.num_items),
        facts={"Tuning": zoo.TUNING},
    )


class Cascade(Bench):
    """The whole job: training, evaluation, export."""

    name = "cascade"
    problems = ("MovieLens-100K", "MovieLens-1M")
    rows = ("joint",)
    run_id = "{problem}"
    data_dir = None

    def trained(self, row: str, settings: Settings, seed: int) -> Results:
        """Trains and evaluates; the folder must hold the data set that is named."""
        data = load_movielens(self.data_dir)
        if data.name != self.problem:
            raise ValueError(f"{self.data_dir} holds {data.name}; name that.")
        return joint(data, self.folder(row, settings, seed), seed)

    def metrics(
        self, row: str, trained: Results, part: str, seed: int
    ) -> dict[str, float]:
        return flat(trained)

    @classmethod
    def table(cls, problem: str) -> str:
        """A row for each metric, with what distillation gives."""
        runs = [run["test"] for run in cls.runs(problem).get("joint", ())]
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
