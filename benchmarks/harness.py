"""What all benchmarks of quality share: which runs are there, which trial is the best.

A benchmark is a `Bench` that says what is run: its problems, rows, trials and columns,
how a row is trained and how it is judged. Here is the rest: a run with a line is not
run again, trials are on seed 0 and chosen by validation, each training has a folder of
its own, and the finished seeds become the tables of a page of docs/.
"""

from __future__ import annotations

import abc
import argparse
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Union

import pages
import store
from timing import threads

Settings = Mapping[str, float]
"""What a trial sets, by name; empty for a row without trials."""

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""The lines of each row's finished seeds, from seed 0 on."""

Column = Union[str, Callable[[str, Runs], str]]
"""A metric, whose mean and spread are shown, or a row's cell from all rows' runs."""


def seed_count(row: str, runs: Runs) -> str:
    """A column: how many seeds a row has."""
    return str(len(runs[row]))


class Bench(abc.ABC):
    """A problem and the trainings on it; a subclass is a benchmark.

    Args:
        problem: Its name on the command line, one of `problems`.
        data_dir: Folder of the data sets.
        work: Folder of the checkpoints.
    """

    name: ClassVar[str]
    """Of the file of lines, and of the table in the markers of a page."""
    page: ClassVar[str] = ""
    """The page of docs/ that has the tables; none by default."""
    problems: ClassVar[Sequence[str]]
    rows: ClassVar[Sequence[str]]
    usual: ClassVar[Sequence[str]] = ()
    """The rows that are run where none is named; all by default."""
    trials: ClassVar[Mapping[str, Settings]] = {}
    """What every row may choose from, by name."""
    chosen_by: ClassVar[str]
    """The metric of validation that trials are chosen by."""
    tuned: ClassVar[Mapping[str, str]] = {}
    """Problems that take the settings of another."""
    seeds: ClassVar[int] = 5
    columns: ClassVar[Mapping[str, str]] = {}
    """Metrics by the titles of the table; those that no run has are left out."""
    first: ClassVar[str] = "row"
    """Title of the rows' names."""
    run_id: ClassVar[str] = "{problem}/{row}"
    data_dir: pathlib.Path | None = pathlib.Path("data")
    threads: ClassVar[int] = 0
    """Of TensorFlow; as many as it likes by default."""

    def __init__(
        self, problem: str, data_dir: pathlib.Path | None, work: pathlib.Path
    ) -> None:
        self.problem, self.data_dir, self.work = problem, data_dir, work / problem

    def has(self, row: str, seed: int) -> bool:
        """Whether the problem has a row, and the row this seed."""
        return True

    def trials_of(self, row: str) -> Mapping[str, Settings]:
        """The trials of a row, by name."""
        return self.trials

    @abc.abstractmethod
    def trained(self, row: str, settings: Settings, seed: int) -> Any:
        """Trains a row, or reads what was trained."""

    def metrics(
        self, row: str, trained: Any, part: str, seed: int
    ) -> Mapping[str, float]:
        """The metrics of what was trained, on `"valid"` or `"test"`."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say how it evaluates."
        )

    def valid(self, row: str, trained: Any) -> Any:
        """What a trial's line keeps as `valid`."""
        return rounded(self.metrics(row, trained, "valid", 0))

    def score(self, row: str, valid: Any) -> float:
        """What trials are chosen by; the highest wins."""
        return valid[self.chosen_by]

    def measured(self, row: str, trained: Any, seed: int) -> Mapping[str, Any]:
        """What a seed's line keeps: at least the metrics of the table as `test`."""
        return {"test": rounded(self.metrics(row, trained, "test", seed))}

    def best(self, row: str) -> Settings:
        """Returns the settings of a row's best trial; runs those that are new."""
        trials = self.trials_of(row)
        lines = {name: self._trial(row, name) for name in trials}
        scores = {name: self.score(row, x["valid"]) for name, x in lines.items()}
        return trials[max(scores, key=scores.__getitem__)] if scores else {}

    def _trial(self, row: str, trial: str) -> Mapping[str, Any]:
        settings = self.trials_of(row)[trial]
        source = self.tuned.get(self.problem, self.problem)

        def measure() -> dict[str, Any]:
            if source != self.problem:
                raise SystemExit(f"Settings are those of {source}: run it first.")
            found = self.valid(row, self.trained(row, settings, 0))
            return {"settings": settings, "valid": found}

        run = self.run_id.format(problem=source, row=row)
        return store.once(self.name, f"{run}/{trial}", measure)

    def run(self, row: str, seed: int) -> Mapping[str, Any]:
        """Returns the line of a row with a seed; trains and evaluates if it is new."""

        def measure() -> dict[str, Any]:
            settings, start = self.best(row), time.process_time()
            trained = self.trained(row, settings, seed)
            spent = {"seconds of processor time": round(time.process_time() - start)}
            values = self.measured(row, trained, seed)
            return {"settings": settings, **values, **spent}

        run = self.run_id.format(problem=self.problem, row=row)
        return store.once(self.name, f"{run}/seed-{seed}", measure)

    def folder(self, row: str, settings: Settings, seed: int) -> pathlib.Path:
        """Where the checkpoints of a training are."""
        chosen = ",".join(f"{name}={value:g}" for name, value in settings.items())
        return self.work / row.replace(" ", "-") / (chosen or "plain") / f"seed-{seed}"

    @classmethod
    def rows_of(cls, problem: str) -> Sequence[str]:
        """The rows of a problem's table, in their order."""
        return cls.rows

    @classmethod
    def runs(cls, problem: str) -> Runs:
        """The lines of all rows that have a finished seed."""
        done = store.finished(cls.name)
        found: dict[str, list[Mapping[str, Any]]] = {}
        for row in cls.rows_of(problem):
            run = cls.run_id.format(problem=problem, row=row)
            while line := done.get(f"{run}/seed-{len(found.get(row, ()))}"):
                found.setdefault(row, []).append(line)
        return found

    @classmethod
    def shown(cls, runs: Runs) -> Mapping[str, Column]:
        """The columns of a table by their titles."""
        return {"seeds": seed_count, **present(cls.columns, runs)}

    @classmethod
    def table(cls, problem: str) -> str:
        """A problem's table in Markdown: a row for each with a finished seed."""
        runs = cls.runs(problem)
        return table_of(cls.first, cls.shown(runs), runs)

    @classmethod
    def tables(cls) -> Mapping[str, pages.Table]:
        """The tables of the page, by the name in their markers."""
        return {cls.name: cls.table}

    @classmethod
    def show(cls, problem: str) -> None:
        """Prints what there is of a problem."""
        print(cls.table(problem))

    @classmethod
    def main(cls) -> None:
        """Runs what is not there yet; then, or at once on `table`, the tables."""
        options = cls._options()
        if options.threads:
            threads(options.threads)
        if options.problem != "table":
            bench = cls(options.problem, options.data_dir, options.work)
            count = 0 if options.tune else options.seeds
            for row in options.rows:
                if not count and bench.has(row, 0):
                    bench.best(row)
                for seed in range(count):
                    if bench.has(row, seed):
                        bench.run(row, seed)
            cls.show(options.problem)
        if cls.page:
            pages.renew(cls.page, cls.tables())

    @classmethod
    def _options(cls) -> argparse.Namespace:
        doc = sys.modules[cls.__module__].__doc__ or ""
        parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
        parser.add_argument(
            "problem",
            nargs="?",
            choices=[*cls.problems, "table"],
            default=cls.problems[0],
            help="what is run; `table` only renews the page of docs/",
        )
        parser.add_argument("--data-dir", type=pathlib.Path, default=cls.data_dir)
        usual = cls.usual or cls.rows
        rows = {"choices": cls.rows, "default": usual, "metavar": "ROW"}
        parser.add_argument("--rows", nargs="+", **rows)
        parser.add_argument("--seeds", type=int, default=cls.seeds)
        parser.add_argument("--tune", action="store_true", help="run the trials only")
        parser.add_argument("--work", type=pathlib.Path, default=f"runs/{cls.name}")
        parser.add_argument("--threads", type=int, default=cls.threads)
        return parser.parse_args()


def present(metrics: Mapping[str, str], runs: Runs) -> dict[str, str]:
    """The metrics by their titles that a run has."""
    there = {
        metric for lines in runs.values() for line in lines for metric in line["test"]
    }
    return {title: metric for title, metric in metrics.items() if metric in there}


def table_of(first: str, columns: Mapping[str, Column], runs: Runs) -> str:
    """A table in Markdown: a line for each row that has runs."""
    rows = [[row, *(cell(c, row, runs) for c in columns.values())] for row in runs]
    return pages.markdown([first, *columns], rows)


def cell(column: Column, row: str, runs: Runs) -> str:
    """What a row has in a column; "-" where no run has the metric."""
    if callable(column):
        return column(row, runs)
    values = [run["test"].get(column) for run in runs[row]]
    values = [value for value in values if value is not None]  # JSON's NaN
    return pages.mean(values) if values else "-"


def rounded(values: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as lines keep them."""
    return {name: round(float(value), 6) for name, value in values.items()}
