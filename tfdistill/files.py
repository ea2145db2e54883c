"""Files that are written whole or not at all, and folders that one process writes."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

__all__ = [
    "folder_beside",
    "locked",
    "plain_name",
    "read_as",
    "require_file",
    "require_folder",
    "written_whole",
]

_LOCK = ".lock"
_ROOM = 1 << 25


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a path beside a file's place, and renames it when all is on the disk.

    Nobody sees half a file, and an error leaves the old one as it was. What a killed
    process left beside this place is removed; what a living one writes is not.

    Args:
        path: The file's place; the folder is made if it is not there.

    Yields:
        Where to write; an empty file is there, and no link that somebody planted.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scores.txt"
        >>> with written_whole(path) as unfinished:
        ...     _ = unfinished.write_text("0.5")
        >>> path.read_text()
        '0.5'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent, f".{_literal(path.name)}.*.unfinished")
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(6)}.unfinished")
    # O_EXCL refuses whatever is there already, a link too.
    handle = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        _hold(handle)
        yield unfinished
        flush(unfinished)
        os.replace(unfinished, path)
        flush(path.parent)
    except OSError as error:
        if error.filename is not None:
            raise
        code, reason = error.errno or errno.EIO, error.strerror or str(error)
        raise OSError(code, reason, str(path)) from error  # a write knows no name
    finally:
        os.close(handle)
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_beside(parent: str | Path, prefix: str) -> Iterator[Path]:
    """Gives a folder for what is then renamed to its place; it is removed afterwards.

    What killed processes left under the same prefix is removed first; the folder of a
    living one is not.

    Args:
        parent: Where the folder is, on the file system of the final place.
        prefix: Begins its name, which no one else can know before.

    Yields:
        The folder, which its owner alone may read.

    Example:
        >>> with folder_beside(tempfile.mkdtemp(), ".unverified-") as folder:
        ...     (folder / "model").mkdir()
        >>> folder.exists()
        False
    """
    parent = Path(parent)
    _remove_abandoned(parent, f"{_literal(prefix)}*")
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with contextlib.suppress(PermissionError):  # Windows opens no folder
            stack.enter_context(_held(folder))
        yield folder


@contextlib.contextmanager
def locked(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Makes a folder this process's to write, and refuses it while it is another's.

    The operating system lets go of the lock when the process ends, however it ends. A
    folder that was made for the lock and got nothing else is removed again.

    Args:
        directory: The folder; made if it is not there.

    Raises:
        ValueError: If another process, or this one, is writing to it, or it can't be
            written to.

    Example:
        >>> import tempfile
        >>> directory = tempfile.mkdtemp()
        >>> with locked(directory):
        ...     with locked(directory):
        ...         pass
        Traceback (most recent call last):
        ValueError: Another run is writing to '...'. ...
    """
    directory = Path(directory)
    require_folder(directory)
    made = [d for d in (directory, *directory.parents) if not d.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory / _LOCK, timeout=0, is_singleton=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ValueError(
            f"Another run is writing to {str(directory)!r}. Wait until it has ended, "
            "or give this one another folder."
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if made and [entry.name for entry in directory.iterdir()] == [_LOCK]:
                (directory / _LOCK).unlink()  # a lock is no lock without a name
        lock.release()
        with contextlib.suppress(OSError):  # one that is not empty stays
            for folder in made:
                folder.rmdir()


def flush_all(folder: Path) -> None:
    """Waits until a folder, and all that is in it, is on the disk."""
    for path in (*folder.rglob("*"), folder):
        flush(path)


@contextlib.contextmanager
def read_as(path: str | Path, what: str, *, remedy: str = "") -> Iterator[None]:
    """Makes one `ValueError` of whatever a damaged file causes while it is read.

    Args:
        path: The file or folder, for the message.
        what: What it should be: "a Parquet file".
        remedy: What to do about it, as a sentence.

    Raises:
        ValueError: If anything is raised within; it names the file.

    Example:
        >>> with read_as("mine.csv", "a CSV file", remedy="Write it again."):
        ...     raise EOFError("it ends within a line")
        Traceback (most recent call last):
        ValueError: 'mine.csv' can't be read as a CSV file: it ends within a line. Write
        it again.
    """
    try:
        yield
    except Exception as error:  # libraries do not say what a damaged file may raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = " ".join(reason[:400].split()).rstrip(".")
        text = f"{str(path)!r} can't be read as {what}: {reason}. {remedy}"
        raise ValueError(text.rstrip()) from error


def require_folder(path: str | Path) -> None:
    """Refuses a place that no folder can be written at, before any work; makes nothing.

    Args:
        path: A folder that will be written to, there or not.

    Raises:
        ValueError: If a file is there or on the way to it, the folder that is there may
            not be written to, or its disk has less than 32 MiB left.

    Example:
        >>> import tempfile
        >>> require_folder(Path(tempfile.mkdtemp(), "runs", "mine"))
    """
    path = Path(path).absolute()
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ValueError(
            f"{str(there)!r} is a file, and a folder is needed there. Give the path of "
            "a folder, new or there."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"{str(there)!r} may not be written to by this user. Choose another place, "
            "or change its permissions."
        )
    free = shutil.disk_usage(there).free
    if free < _ROOM:
        raise ValueError(
            f"The disk of {str(there)!r} is full: {free >> 20} MiB are left, a run "
            f"needs {_ROOM >> 20} MiB and more. Free some, or choose another place."
        )


def require_file(path: str | Path) -> None:
    """Refuses a place that no file can be written at, before any work; makes nothing.

    Args:
        path: A file that will be written, there or not.

    Raises:
        ValueError: If a folder is there, or none can be written to where it lies.

    Example:
        >>> import tempfile
        >>> require_file(Path(tempfile.mkdtemp(), "new", "mine.json"))
    """
    path = Path(path).absolute()
    if path.is_dir():
        raise ValueError(
            f"{str(path)!r} is a folder, and a file is written. Give a name in it."
        )
    require_folder(path.parent)


def plain_name(name: str) -> str:
    """Refuses a name from a document that could lead out of the folder it is put in.

    Args:
        name: The name of a file.

    Returns:
        The name.

    Raises:
        ValueError: If it is empty, or more than a name: a path, `..`, a drive.

    Example:
        >>> plain_name("shard-00000.parquet")
        'shard-00000.parquet'
        >>> plain_name("../secret")
        Traceback (most recent call last):
        ValueError: a file's name must be a plain one inside its folder, got '../secret'
    """
    parts = any(mark in name for mark in "/\\:") or not name.isprintable()
    if parts or len(name) > 255 or name.strip(" .") == "":
        shown = name if len(name) <= 80 else name[:80] + "..."
        raise ValueError(
            f"a file's name must be a plain one inside its folder, got {shown!r}"
        )
    return name


def flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder, and keeps names by itself
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_abandoned(parent: Path, pattern: str) -> None:
    """Removes files and folders of a pattern whose process is dead."""
    for left in parent.glob(pattern):
        with contextlib.suppress(OSError), _held(left):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Holds a file or folder; OSError if another process does, or it is a link."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe waits
    handle = os.open(path, os.O_RDONLY | flags)
    try:
        _hold(handle)
        yield
    finally:
        os.close(handle)


def _hold(handle: int) -> None:
    """Locks an open file until it is closed; OSError if another process holds it."""
    try:
        import fcntl
    except ImportError:  # Windows removes no file that a process has open
        return
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _literal(name: str) -> str:
    """A name as a pattern that matches only itself."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
