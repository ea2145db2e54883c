"""Publishing: written aside, served by another process, compared, then renamed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdistill.export.cost import ParameterCount
from tfdistill.export.index import IndexReport, Ivf
from tfdistill.export.ranking import ranker_servable
from tfdistill.export.recall import recall_servable
from tfdistill.export.servable import Servable
from tfdistill.export.standalone import in_fresh_process
from tfdistill.files import flush, flush_all, folder_beside, locked
from tfdistill.spec import FeatureSpec

__all__ = ["ExportReport", "export_ranker", "export_recall", "publish"]


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What was published; `dataclasses.asdict` of it is JSON.

    Attributes:
        path: Folder of the SavedModel, version included.
        version: Its version.
        signatures: Names of its signatures.
        parameters: Its parameters; the index of a recall model is none.
        bytes: Size of its files.
        max_difference: Largest absolute difference between its answers and the Keras
            model's, over the example requests of all signatures.
        process: Who gave the answers.
        index: What the index of a recall model finds.
    """

    path: str
    version: int
    signatures: tuple[str, ...]
    parameters: ParameterCount
    bytes: int
    max_difference: float
    process: str
    index: IndexReport | None = None


def publish(
    servables: Mapping[str | Path, Servable],
    *,
    version: int | None = None,
    tolerance: float = 1e-4,
) -> dict[str | Path, ExportReport]:
    """Publishes models together: all of them, or none.

    Every SavedModel is written beside its place under a name that no server loads. One
    fresh Python process without tfdistill then calls all signatures of all models. Only
    if every answer equals the Keras model's are they renamed to `directory/version`,
    so a server that polls the directory never sees a half-written or wrong model, and
    a machine that loses its power neither: all files are on the disk before. While one
    process publishes, a second one is refused; what a killed one left is removed.

    Args:
        servables: The models by directory: a server's base path of that model.
        version: Version of all of them. By default 1, or the next after the highest
            that one of the directories has.
        tolerance: Largest difference to accept, absolute.

    Returns:
        A report by directory.

    Raises:
        ValueError: If there is nothing to publish, the version is not a new one, or
            another process publishes to one of the directories.
        RuntimeError: If the fresh process fails or its answers differ. Nothing is left
            behind, whatever the error.

    Example:
        >>> import tempfile
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> inputs = spec.keras_inputs()
        >>> model = tf.keras.Model(inputs, 2.0 * inputs["price"])
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     report = publish({directory: ranker_servable(model, spec)})[directory]
        >>> report.version, report.max_difference
        (1, 0.0)
    """
    with contextlib.ExitStack() as stack:
        for directory in servables:
            stack.enter_context(locked(directory))
        version = _new_version(list(servables), version)
        staged = {
            # One level below: the folder itself is readable by its owner only.
            directory: stack.enter_context(
                folder_beside(Path(directory).resolve(), ".unverified-")
            )
            / str(version)
            for directory in servables
        }
        for directory, servable in servables.items():
            servable.save(staged[directory])
        answers, process = in_fresh_process(
            "answers",
            [str(path) for path in staged.values()],
            [servable.requests for servable in servables.values()],
        )
        reports = {}
        for (directory, servable), answer in zip(servables.items(), answers):
            difference = servable.difference(answer)
            if not difference <= tolerance:
                raise RuntimeError(
                    f"The SavedModel for {str(directory)!r} answers differently from "
                    f"the Keras model: by {difference:.3g}, more than the tolerance "
                    f"{tolerance:g}. Nothing was published."
                )
            reports[directory] = ExportReport(
                path=str(Path(directory, str(version))),
                version=version,
                signatures=tuple(servable.signatures),
                parameters=servable.parameters,
                bytes=_size(staged[directory]),
                max_difference=difference,
                process=process,
                index=servable.index,
            )
        _rename_all({staged[d]: Path(r.path) for d, r in reports.items()})
    return reports


def export_ranker(
    model: tf.keras.Model,
    spec: FeatureSpec,
    directory: str | Path,
    *,
    version: int | None = None,
    output: str | None = None,
    forbidden: Iterable[tf.keras.Model] = (),
    allow_privileged: bool = False,
    example: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Publishes one ranking model: `ranker_servable`, then `publish`.

    Args:
        model: See `ranker_servable`, as for the arguments below.
        spec: The features.
        directory: A server's base path of the model.
        version: See `publish`.
        output: Name of the output that is served.
        forbidden: Models of which nothing may be served.
        allow_privileged: Serve privileged features.
        example: A batch to verify with.

    Returns:
        The report.

    Raises:
        ValueError: As `ranker_servable` and `publish`.
        RuntimeError: As `publish`.

    Example:
        >>> import tempfile
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> inputs = spec.keras_inputs()
        >>> model = tf.keras.Model(inputs, 2.0 * inputs["price"])
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     export_ranker(model, spec, directory, version=20).signatures
        ('serving_default', 'packed', 'tf_example', 'elwc', 'classify', 'regress')
    """
    servable = ranker_servable(
        model,
        spec,
        output=output,
        forbidden=forbidden,
        allow_privileged=allow_privileged,
        example=example,
    )
    return publish({directory: servable}, version=version)[directory]


def export_recall(
    query_model: tf.keras.Model,
    item_model: tf.keras.Model,
    spec: FeatureSpec,
    items: Mapping[str, Any],
    ids: Any,
    directory: str | Path,
    *,
    k: int = 100,
    index: Ivf | None = None,
    version: int | None = None,
    forbidden: Iterable[tf.keras.Model] = (),
    allow_privileged: bool = False,
    example: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Publishes one recall model with its index: `recall_servable`, then `publish`.

    Args:
        query_model: See `recall_servable`, as for the arguments below.
        item_model: The tower of the items.
        spec: The features.
        items: Raw item features of the catalogue.
        ids: What to return for each item.
        directory: A server's base path of the model.
        k: Number of items to return.
        index: The wanted inverted lists; by default the index is exact.
        version: See `publish`.
        forbidden: Models of which nothing may be served.
        allow_privileged: Serve privileged features.
        example: A batch of user features to verify with.

    Returns:
        The report.

    Raises:
        ValueError: As `recall_servable` and `publish`.
        RuntimeError: As `publish`.

    Example:
        >>> import tempfile
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("taste", "numeric", "user", shape=(2,)),
        ...                     Feature("genre", "numeric", "item", shape=(2,))))
        >>> inputs = spec.keras_inputs()
        >>> query = tf.keras.Model(inputs["taste"], 1.0 * inputs["taste"])
        >>> item = tf.keras.Model(inputs["genre"], 1.0 * inputs["genre"])
        >>> items = {"genre": np.array([[1.0, 0.0], [0.0, 1.0]])}
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     report = export_recall(
        ...         query, item, spec, items, ["drama", "comedy"], directory, k=1
        ...     )
        >>> report.version
        1
    """
    servable = recall_servable(
        query_model,
        item_model,
        spec,
        items,
        ids,
        k=k,
        index=index,
        forbidden=forbidden,
        allow_privileged=allow_privileged,
        example=example,
    )
    return publish({directory: servable}, version=version)[directory]


def _new_version(directories: list[str | Path], version: int | None) -> int:
    """The version to write, checked to be new in all directories."""
    if not directories:
        raise ValueError("publish needs at least one model, got none.")
    existing = {
        int(path.name)
        for directory in map(Path, directories)
        if directory.is_dir()
        for path in directory.iterdir()
        if path.name.isdecimal()
    }
    version = max(existing, default=0) + 1 if version is None else version
    if version < 1 or version in existing:
        raise ValueError(
            f"version must be a new number from 1, got {version}; the directories have "
            f"{sorted(existing)}. Leave it out for the next one."
        )
    return version


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _rename_all(places: Mapping[Path, Path]) -> None:
    """Renames folders; if one can't be, takes the others back."""
    done: list[Path] = []
    try:
        for source, target in places.items():
            flush_all(source)
            os.rename(source, target)
            done.append(target)
            flush(target.parent)
    except OSError:
        for target in done:
            shutil.rmtree(target)
        raise
