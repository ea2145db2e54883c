"""Latency and throughput of exported models by the size of a request."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfdistill import documents
from tfdistill.export.c_loader import arrays, timed
from tfdistill.files import written_whole
from tfdistill.serving.models import newest_version, signature_defs, warm_up_requests

__all__ = ["Timing", "as_json", "as_text", "bench", "plot"]


@dataclasses.dataclass(frozen=True)
class Timing:
    """A model at one size of request; times in milliseconds.

    Attributes:
        model: Name of the model.
        signature: The signature that was called.
        candidates: Candidates of a request of one user.
        p50: Median.
        p99: 99th percentile.
        per_second: Requests per second of one caller, from the mean.
    """

    model: str
    signature: str
    candidates: int
    p50: float
    p99: float
    per_second: float


def bench(
    models: Mapping[str, str | Path],
    *,
    sizes: Sequence[int] = (1, 50, 500),
    signature: str | None = None,
    rounds: int = 200,
    threads: int = 1,
) -> list[Timing]:
    """Measures exported models in TensorFlow's C++ runtime, all in turns.

    A request is the first of the model's own warm-up requests with its candidates
    repeated to the wanted number, so any model that `publish` wrote can be measured.

    Args:
        models: Base path or folder of a version, by name.
        sizes: Numbers of candidates of a request.
        signature: The signature to call; by default `packed` where a model has it, or
            else `serving_default`.
        rounds: How often every request is sent.
        threads: Threads within and between operations.

    Returns:
        The timings by model, then by size.

    Raises:
        ValueError: If a model has no such signature, or no tensor request of it.

    Example:
        >>> import tempfile
        >>> import tensorflow as tf
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> from tfdistill.export import ranker_servable
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> inputs = spec.keras_inputs()
        >>> model = tf.keras.Model(inputs, 2.0 * inputs["price"])
        >>> with tempfile.TemporaryDirectory() as path:
        ...     ranker_servable(model, spec).save(path)
        ...     timings = bench({"fine": path}, sizes=(1, 100), rounds=5)
        >>> [(timing.signature, timing.candidates) for timing in timings]
        [('packed', 1), ('packed', 100)]
    """
    if not models or not sizes or min(sizes) < 1 or rounds < 1:
        raise ValueError(
            "bench needs a model, sizes of at least 1 and a round, got "
            f"{sorted(models)}, sizes={tuple(sizes)} and rounds={rounds}."
        )
    jobs = []
    for name, path in models.items():
        folder = newest_version(path)
        chosen, request, lists = _example(name, folder, signature)
        for size in sizes:
            sent = {key: _resized(x, size, key in lists) for key, x in request.items()}
            jobs.append((name, size, (folder, chosen, sent)))
    spent = timed([job for _, _, job in jobs], rounds=rounds, threads=threads)
    return [
        Timing(
            name,
            job[1],
            size,
            round(float(np.median(times)), 4),
            round(float(np.percentile(times, 99)), 4),
            round(1e3 / float(np.mean(times)), 1),
        )
        for (name, size, job), times in zip(jobs, spent)
    ]


def as_text(timings: Sequence[Timing]) -> str:
    """Returns a table, one line for each timing.

    Args:
        timings: What `bench` returned.

    Example:
        >>> print(as_text([Timing("fine", "packed", 500, 0.4, 0.6, 2400.0)]))
        model  signature  candidates  p50 ms  p99 ms  per second
        fine   packed            500   0.400   0.600        2400
    """
    rows = [
        [t.model, t.signature, str(t.candidates), f"{t.p50:.3f}", f"{t.p99:.3f}"]
        + [f"{t.per_second:.0f}"]
        for t in timings
    ]
    head = ["model", "signature", "candidates", "p50 ms", "p99 ms", "per second"]
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths))
        )
        for row in [head, *rows]
    ]
    return "\n".join(lines)


def as_json(timings: Sequence[Timing]) -> str:
    """Returns a list of objects.

    Args:
        timings: What `bench` returned.

    Example:
        >>> import json
        >>> json.loads(as_json([Timing("fine", "packed", 1, 0.1, 0.2, 9.0)]))[0]["p50"]
        0.1
    """
    return documents.as_json(list(timings))


def plot(timings: Sequence[Timing], path: str | Path) -> None:
    """Draws the latency over the number of candidates, to p99, as a picture.

    Args:
        timings: What `bench` returned.
        path: Where to write it; the ending says which kind, such as `.png`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "latency.svg"
        >>> plot([Timing("fine", "packed", 500, 0.4, 0.6, 2400.0)], path)
        >>> path.exists()
        True
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for model in dict.fromkeys(timing.model for timing in timings):
        rows = [timing for timing in timings if timing.model == model]
        sizes = [row.candidates for row in rows]
        p50, p99 = [row.p50 for row in rows], [row.p99 for row in rows]
        (line,) = axes.plot(sizes, p50, marker="o", label=model)
        axes.fill_between(sizes, p50, p99, alpha=0.2, color=line.get_color())
    axes.set(xscale="log", yscale="log", xlabel="candidates", ylabel="ms, p50 to p99")
    axes.set_xticks(sorted({timing.candidates for timing in timings}))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.legend()
    with written_whole(Path(path)) as partial:
        figure.savefig(partial, format=Path(path).suffix[1:], dpi=150)


def _example(
    name: str, folder: Path, signature: str | None
) -> tuple[str, dict[str, np.ndarray], set[str]]:
    """The signature, a request of it, and which inputs are lists of candidates."""
    known = signature_defs(folder)
    signature = signature or ("packed" if "packed" in known else "serving_default")
    requests = dict(warm_up_requests(folder))
    if signature not in known or signature not in requests:
        raise ValueError(
            f"Model {name!r} has no warm-up request of a signature {signature!r}; its "
            f"signatures are {sorted(known)}, its requests {sorted(requests)}."
        )
    shapes = {
        key: [dim.size for dim in info.tensor_shape.dim]
        for key, info in known[signature].inputs.items()
    }
    lists = {key for key, shape in shapes.items() if shape[1:2] == [-1]}
    return signature, arrays(requests[signature]), lists


def _resized(values: np.ndarray, size: int, is_list: bool) -> np.ndarray:
    """One user's part of an input, with so many candidates."""
    values = values[:1]
    if not is_list:
        return values
    return np.take(values, np.arange(size) % values.shape[1], axis=1)
