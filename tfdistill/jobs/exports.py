"""Exports the nets of a run and measures what serving them costs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdistill import documents
from tfdistill.data.requests import Requests
from tfdistill.export import (
    Servable,
    latency,
    parameters,
    publish,
)
from tfdistill.files import written_whole
from tfdistill.identity import fingerprint
from tfdistill.jobs.comparison import Sizes
from tfdistill.jobs.machine import versions
from tfdistill.report import Cost, Export
from tfdistill.study.nets import Nets
from tfdistill.study.problem import Problem
from tfdistill.study.trained import TrainedNet

__all__ = [
    "CASCADE",
    "exported",
    "published_once",
    "request_of",
    "served_costs",
]

CANDIDATES = 500
"""Candidates of one request when latency and FLOPs are measured."""

CASCADE = "cascade"
"""Name of the model that makes a page of a user."""


@dataclasses.dataclass(frozen=True)
class _Published(documents.Checked):
    """What a run has published last, and what it was made of."""

    source: str
    exports: documents.Several[Export]


def published_once(
    folder: Path,
    source: Mapping[str, Any],
    servables: Callable[[], Mapping[str | Path, Servable]],
) -> list[Export]:
    """Publishes models, unless the folder's newest versions were made of the same.

    So a command that is run again trains nothing and publishes nothing: a server has
    nothing to load, and a store of the teacher's scores goes on.

    Args:
        folder: Where the models' directories are; `published.json` lies there too.
        source: JSON values and arrays that decide what is served.
        servables: Makes the models by directory, within `folder` or the folder itself.

    Returns:
        What was exported and how it was checked, now or then.
    """
    digest = fingerprint([source, versions()])
    record = folder / "published.json"
    if record.exists():
        last = documents.read(
            record,
            _Published,
            what="what a run has published",
            remedy="Delete it: the models are published anew.",
        )
        paths = [folder / export.path for export in last.exports]
        if last.source == digest and all(path.is_dir() for path in paths):
            return [
                dataclasses.replace(export, path=str(path))
                for export, path in zip(last.exports, paths)
            ]
    exports = [
        Export(Path(d).name, r.path, r.process, r.max_difference)
        for d, r in publish(servables()).items()
    ]
    inside = [
        dataclasses.replace(export, path=os.path.relpath(export.path, folder))
        for export in exports
    ]
    with written_whole(record) as unfinished:
        unfinished.write_text(
            documents.as_json(_Published(digest, inside)), encoding="utf-8"
        )
    return exports


def exported(
    problem: Problem, nets: Nets, out: Path, sizes: Sizes | None = None
) -> tuple[list[Export], dict[str, Path]]:
    """Publishes every net as a SavedModel, all checked in one fresh process.

    A run that is unchanged keeps what it has published: `published_once`.

    Args:
        problem: The data; recall's index holds its items.
        nets: The trained nets.
        out: Folder of the run; models go to `out/serving/<net>/<version>`.
        sizes: What each stage of a cascade of the nets keeps; None if they are none.

    Returns:
        What was exported and how it was checked, and the folder of each net and of the
        cascade. The teacher is among them only to be measured beside its students.
    """
    source = {
        "spec": problem.spec.to_json(),
        "nets": {name: net.fingerprint for name, net in nets.items()},
        "items": dict(problem.train.items),
        "sizes": sizes and dataclasses.asdict(sizes),
    }
    exports = published_once(
        out / "serving", source, lambda: _servables(problem, nets, out, sizes)
    )
    return exports, {export.name: Path(export.path) for export in exports}


def _servables(
    problem: Problem, nets: Nets, out: Path, sizes: Sizes | None
) -> dict[str | Path, Servable]:
    """The models of all nets and of the cascade by directory."""
    example = request_of(problem.test.requests, 0, 20)
    recalls = any(net.task == "recall" for net in nets.values())
    catalogue = problem.items if recalls else None
    teacher = nets.teacher
    forbidden = () if teacher is None else tuple(teacher.models.values())
    servables: dict[str | Path, Servable] = {
        out / "serving" / name: net.servable(
            catalogue,
            example=example,
            forbidden=() if net is teacher else forbidden,
            allow_privileged=net is teacher,
        )
        for name, net in nets.items()
    }
    if sizes:
        servables[out / "serving" / CASCADE] = sizes.cascade(nets).servable(
            catalogue, example=example, forbidden=forbidden
        )
    return servables


def served_costs(
    paths: Mapping[str, Path],
    nets: Mapping[str, TrainedNet],
    requests: Requests,
    sizes: Sizes | None = None,
) -> list[Cost]:
    """Measures one user and 500 candidates on the exported models, in turns.

    Args:
        paths: Folders of the SavedModels by net.
        nets: The nets that were exported.
        requests: The data that the measured requests are made of.
        sizes: As for `exported`.

    Returns:
        Parameters, FLOPs and latency of each net and of the cascade. Recall's request
        is the user alone, and so is the cascade's: it begins with the whole catalogue.
    """
    rows = range(min(8, requests.num_requests))
    sent = [request_of(requests, row, CANDIDATES) for row in rows]
    measured = latency(paths, sent, baseline=next(iter(paths)), threads=1)
    models = {name: tuple(net.models.values()) for name, net in nets.items()}
    size = requests.num_items
    mflops = {name: net.mflops(size, CANDIDATES) for name, net in nets.items()}
    if sizes:
        candidates = {"recall": size, "coarse": sizes.recall, "fine": sizes.coarse}
        models[CASCADE] = tuple(m for stage in candidates for m in models[stage])
        mflops[CASCADE] = sum(
            nets[stage].mflops(size, n) for stage, n in candidates.items()
        )
    costs = []
    for name, served in models.items():
        counted = parameters(*served)
        costs.append(
            Cost(
                name,
                counted.tables + counted.rest,
                mflops[name],
                measured[name].p50,
                measured[name].p99,
            )
        )
    return costs


def request_of(requests: Requests, row: int, candidates: int) -> dict[str, np.ndarray]:
    """Returns the raw features of one user with so many items of the catalogue.

    Pair features are those of the request's own candidates, again and again.
    """
    items = np.arange(candidates) % requests.num_items
    features = {name: values[[row]] for name, values in requests.users.items()}
    features.update({k: v[items][np.newaxis] for k, v in requests.items.items()})
    listed = np.flatnonzero(requests.candidates[row] >= 0)
    places = listed[np.arange(candidates) % len(listed)]
    features.update({k: v[[row]][:, places] for k, v in requests.listed_pairs.items()})
    return features
