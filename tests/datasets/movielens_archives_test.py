import hashlib
import http.client
import io
import subprocess
import types
from pathlib import Path

import pytest
from movielens_fixture import EXPECTED, write_original, write_recbole, write_zip

from tfdistill.datasets.movielens import load_movielens_100k
from tfdistill.datasets.movielens_archives import (
    ARCHIVES,
    Archive,
    default_cache_dir,
    download_url,
    download_wheel,
)


class Source:
    """Serves bytes or raises, and counts how often it is asked."""

    def __init__(self, answer):
        self.answer, self.calls = answer, 0

    def __call__(self, path):
        self.calls += 1
        if isinstance(self.answer, Exception):
            path.write_bytes(b"half of the")
            raise self.answer
        path.write_bytes(self.answer)


@pytest.fixture
def packed(tmp_path):
    """The bytes of the two archives."""
    first = write_zip(
        write_original(tmp_path / "original"), tmp_path / "a.zip", "ml-100k"
    )
    second = write_zip(
        write_recbole(tmp_path / "atomic"),
        tmp_path / "b.whl",
        "recbole/dataset_example/ml-100k",
    )
    return first.read_bytes(), second.read_bytes()


def archives(packed, first=None, second=None):
    """The two archives with their right digests and sources that may fail."""
    sources = (Source(first or packed[0]), Source(second or packed[1]))
    made = [
        Archive(
            name, f"{name}.zip", "sha256", hashlib.sha256(whole).hexdigest(), source
        )
        for name, whole, source in zip(("first", "second"), packed, sources)
    ]
    return made, sources


def load(cache, made):
    return load_movielens_100k(cache_dir=cache, archives=made, expected=EXPECTED)


def test_first_source_then_cache(tmp_path, packed):
    made, sources = archives(packed)
    cache = tmp_path / "deep" / "cache"
    assert "first, now in the cache" in load(cache, made).source
    assert "first, from the cache" in load(cache, made).source
    assert [source.calls for source in sources] == [1, 0]
    assert [path.name for path in cache.iterdir()] == ["first.zip"]


def test_second_source_where_the_first_fails(tmp_path, packed):
    made, sources = archives(packed, first=OSError("no route to host"))
    data = load(tmp_path / "cache", made)
    assert "second, now in the cache" in data.source
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["second.zip"]
    assert "second, from the cache" in load(tmp_path / "cache", made).source
    assert [source.calls for source in sources] == [1, 1]
    other, _ = archives(packed)
    assert load(tmp_path / "other", other).checksum() == data.checksum()


def test_a_given_folder_asks_no_source(tmp_path, packed):
    made, sources = archives(packed)
    folder = tmp_path / "original"
    load_movielens_100k(folder, tmp_path / "cache", archives=made, expected=EXPECTED)
    assert [source.calls for source in sources] == [0, 0]
    assert not (tmp_path / "cache").exists()


def test_a_download_with_another_digest_never_reaches_the_cache(tmp_path, packed):
    made, _ = archives(packed, first=packed[0][:-9], second=OSError("pip is offline"))
    with pytest.raises(FileNotFoundError) as caught:
        load(tmp_path / "cache", made)
    text = str(caught.value)
    assert "first: the file has sha256" in text
    assert "second: pip is offline" in text
    assert "--data-dir" in text
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_spoilt_cache_is_fetched_again(tmp_path, packed):
    made, sources = archives(packed)
    load(tmp_path / "cache", made)
    (tmp_path / "cache" / "first.zip").write_bytes(b"spoilt")
    assert "first, now in the cache" in load(tmp_path / "cache", made).source
    assert sources[0].calls == 2
    (tmp_path / "cache" / "first.zip").write_bytes(b"spoilt")
    made, _ = archives(packed, first=OSError("down"), second=OSError("down"))
    with pytest.raises(FileNotFoundError, match=r"first\.zip: the file has sha256"):
        load(tmp_path / "cache", made)


def test_download_url(tmp_path):
    seen = {}

    def opener(url, timeout):
        seen.update(url=url, timeout=timeout)
        return io.BytesIO(b"bytes")

    download_url("https://host/file", tmp_path / "file", opener=opener)
    assert (tmp_path / "file").read_bytes() == b"bytes"
    assert seen["timeout"] <= 10

    class Broken(io.BytesIO):
        def read(self, *_):
            raise http.client.IncompleteRead(b"")

    with pytest.raises(OSError, match="the download broke"):
        download_url("https://host/f", tmp_path / "f", lambda *_, **__: Broken(b"x"))


def test_download_wheel(tmp_path):
    def run(command, **_):
        folder = Path(command[command.index("--dest") + 1])
        (folder / "recbole-1.2.1-py3-none-any.whl").write_bytes(b"wheel")
        assert "--no-deps" in command and command[-1] == "recbole==1.2.1"
        return types.SimpleNamespace(returncode=0, stderr="")

    download_wheel("recbole==1.2.1", tmp_path / "file", run=run)
    assert (tmp_path / "file").read_bytes() == b"wheel"

    def fail(command, **_):
        return types.SimpleNamespace(returncode=1, stderr="WARNING\nERROR: offline\n")

    with pytest.raises(OSError, match="pip download failed: ERROR: offline"):
        download_wheel("recbole==1.2.1", tmp_path / "file", run=fail)

    def hang(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    with pytest.raises(OSError, match="pip took longer"):
        download_wheel("recbole==1.2.1", tmp_path / "file", run=hang)


def test_published_archives():
    assert [archive.filename for archive in ARCHIVES][0] == "ml-100k.zip"
    assert [len(archive.digest) for archive in ARCHIVES] == [32, 64]


def test_default_cache_dir_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "tfdistill"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "tfdistill"
