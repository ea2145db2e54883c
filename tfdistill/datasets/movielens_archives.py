"""Where MovieLens-100K can be had: published archives, checked, in a local cache."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.client
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tfdistill.files import flush, folder_beside

__all__ = ["ARCHIVES", "Archive", "default_cache_dir", "obtain"]

_LOGGER = logging.getLogger(__name__)
_STALLED_SECONDS = 5  # short, so that a machine without internet goes on soon
_PIP_SECONDS = 180


@dataclasses.dataclass(frozen=True)
class Archive:
    """A published zip file that holds the data set, and the way to fetch it.

    Args:
        name: What messages call it.
        filename: Its name in the cache.
        algorithm: Name of a `hashlib` algorithm.
        digest: The published digest of the file, in hexadecimal digits.
        fetch: Called with the path to write to; raises OSError where it can't.

    Example:
        >>> [archive.filename for archive in ARCHIVES]
        ['ml-100k.zip', 'recbole-1.2.1-py3-none-any.whl']
    """

    name: str
    filename: str
    algorithm: str
    digest: str
    fetch: Callable[[Path], None]

    def check(self, path: Path) -> None:
        """Compares the digest of a file with the published one.

        Args:
            path: The file.

        Raises:
            ValueError: If the file is not the published one.
        """
        digest = hashlib.new(self.algorithm, path.read_bytes()).hexdigest()
        if digest != self.digest:
            raise ValueError(
                f"the file has {self.algorithm} {digest}, the published one has "
                f"{self.digest}"
            )


def download_url(
    url: str, path: Path, opener: Callable[..., Any] = urllib.request.urlopen
) -> None:
    """Writes what `url` serves to `path`.

    Args:
        url: Address over HTTPS.
        path: File to write.
        opener: Stands in for `urllib.request.urlopen`.

    Raises:
        OSError: If there is no connection within seconds, or it breaks.
    """
    try:
        with opener(url, timeout=_STALLED_SECONDS) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except http.client.HTTPException as error:  # is no OSError
        raise OSError(f"the download broke: {error!r}") from error


def download_wheel(
    requirement: str, path: Path, run: Callable[..., Any] = subprocess.run
) -> None:
    """Writes the wheel of a package to `path`, with pip and without installing it.

    Args:
        requirement: Package and version, as `name==version`.
        path: File to write.
        run: Stands in for `subprocess.run`.

    Raises:
        OSError: If pip can't download it.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--disable-pip-version-check"]
    command += ["--retries", "1"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = run(
                [*command, "--dest", folder, requirement],
                capture_output=True,
                text=True,
                timeout=_PIP_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"pip took longer than {_PIP_SECONDS} s") from error
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise OSError(f"pip download failed: {reason}")
        shutil.copyfile(wheels[0], path)


ARCHIVES: tuple[Archive, ...] = (
    Archive(
        name="GroupLens",
        filename="ml-100k.zip",
        algorithm="md5",
        digest="0e33842e24a9c977be4e0107933c0723",
        fetch=functools.partial(
            download_url, "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
        ),
    ),
    Archive(
        name="the wheel of recbole 1.2.1",
        filename="recbole-1.2.1-py3-none-any.whl",
        algorithm="sha256",
        digest="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        fetch=functools.partial(download_wheel, "recbole==1.2.1"),
    ),
)
"""The archives of MovieLens-100K, in the order in which they are tried."""


def default_cache_dir() -> Path:
    """Returns `$XDG_CACHE_HOME/tfdistill`, by default `~/.cache/tfdistill`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tfdistill"


def _download(archive: Archive, cache_dir: Path) -> Path:
    """Fetches an archive into the cache; the cache sees a whole, checked file only."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    with folder_beside(cache_dir, ".fetch-") as folder:
        path = folder / archive.filename
        archive.fetch(path)
        archive.check(path)
        flush(path)
        return path.replace(cache_dir / archive.filename)


def obtain(archives: Sequence[Archive], cache_dir: Path) -> tuple[Path, str]:
    """Returns the first archive to be had: from the cache, else fetched into it.

    Args:
        archives: The archives, best first.
        cache_dir: Folder of fetched archives; made if needed.

    Returns:
        Path of the archive, and where it came from in words.

    Raises:
        FileNotFoundError: If no archive can be had. The text names every source that
            was tried and why it failed.
    """
    problems = []
    for archive in archives:
        path = cache_dir / archive.filename
        try:
            archive.check(path)
        except (OSError, ValueError) as error:
            if path.exists():
                problems.append(f"{path}: {error}")
        else:
            return path, f"{archive.name}, from the cache ({path})"
    for archive in archives:
        _LOGGER.info("Fetching MovieLens-100K from %s.", archive.name)
        try:
            path = _download(archive, cache_dir)
        except (OSError, ValueError) as error:
            problems.append(f"{archive.name}: {error}")
            _LOGGER.info("Not from %s: %s", archive.name, error)
        else:
            return path, f"{archive.name}, now in the cache ({path})"
    raise FileNotFoundError(
        "MovieLens-100K can't be had. Tried: "
        + "; ".join(problems)
        + ". Pass data_dir (--data-dir), a folder with ml-100k.zip or its files, or "
        "connect to the internet."
    )
