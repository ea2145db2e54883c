"""A store of a teacher's signals: opened, verified, read block by block."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from tfdistill.scores.manifest import Column, Manifest, Shard
from tfdistill.scores.shards import FORMATS, Columns, checksum

__all__ = ["ScoreStore"]


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreStore:
    """A finished store; made by `ScoreStore.open`.

    It reads one block of rows at a time, so that memory does not grow with the store.

    Args:
        directory: Its folder.
        manifest: Its description.

    Example:
        >>> import tempfile
        >>> from tfdistill.scores import score_batches
        >>> batches = [{"item_id": np.array([3, 7]), "mask": np.array([True, True])}]
        >>> folder = tempfile.mkdtemp()
        >>> store = score_batches(
        ...     batches, lambda x: x["item_id"] / 2, folder, keys=["item_id"],
        ...     teacher_name="half")
        >>> [block["score"].tolist() for block in ScoreStore.open(folder).blocks()]
        [[1.5, 3.5]]
    """

    directory: Path
    manifest: Manifest

    @classmethod
    def open(
        cls,
        directory: str | Path,
        *,
        teacher: str | None = None,
        version: str | None = None,
        kind: str | None = None,
    ) -> ScoreStore:
        """Opens a store, after a look at every byte of it.

        Args:
            directory: Its folder.
            teacher: Name of the teacher that it must be of.
            version: The teacher's version that it must be of.
            kind: What it must hold, one of `KINDS`.

        Returns:
            The store.

        Raises:
            ValueError: If there is none, it is unfinished, is another teacher's or of
                another kind, or a file is missing, damaged, cut, or of other rows.
        """
        directory = Path(directory)
        manifest = Manifest.load(directory)
        if manifest is None:
            raise ValueError(
                f"There is no score store in {str(directory)!r}. Give the folder that "
                "score_batches or `tfdistill score-teacher` wrote."
            )
        wanted = dataclasses.replace(
            manifest,
            teacher=manifest.teacher if teacher is None else teacher,
            version=manifest.version if version is None else version,
            kind=manifest.kind if kind is None else kind,
        )
        manifest.require(wanted, directory)
        if not manifest.finished:
            raise ValueError(
                f"The store in {str(directory)!r} is unfinished. Run the scoring again "
                "with the same arguments: it goes on with the first missing shard."
            )
        store = cls(directory, manifest)
        for shard in manifest.shards:
            store._verify(shard)
        return store

    @property
    def columns(self) -> dict[str, Column]:
        """The columns of keys and values by name, in the order of the files."""
        keys = {name: Column(dtype) for name, dtype in self.manifest.keys.items()}
        return {**keys, **self.manifest.values}

    def blocks(self) -> Iterator[Columns]:
        """Reads all rows in order, some ten thousand at a time.

        Yields:
            Arrays `[N, *shape]` by name, keys first; text as objects of type str.
        """
        files = FORMATS[self.manifest.file_format]
        for shard in self.manifest.shards:
            yield from files.blocks(self.directory / shard.name, self.columns)

    def _verify(self, shard: Shard) -> None:
        path = self.directory / shard.name
        remedy = "Delete that file and run the scoring again: the others are kept."
        if not path.is_file():
            raise ValueError(f"The shard {str(path)!r} is missing. {remedy}")
        found = checksum(path)
        if found != shard.sha256:
            raise ValueError(
                f"The shard {str(path)!r} is damaged or cut: its SHA-256 is "
                f"{found[:12]}..., the manifest says {shard.sha256[:12]}... {remedy}"
            )
        rows = FORMATS[self.manifest.file_format].num_rows(path, self.columns)
        if rows != shard.rows:
            raise ValueError(
                f"The shard {str(path)!r} has {rows} rows, the manifest says "
                f"{shard.rows}. {remedy}"
            )
