import dataclasses
import logging

import pytest
from movielens_fixture import (
    EXPECTED,
    RATINGS,
    write_1m,
    write_original,
    write_recbole,
    write_zip,
)

from tfdistill.datasets.movielens import (
    load_movielens,
    load_movielens_1m,
    load_movielens_100k,
)


def load(folder, **arguments):
    return load_movielens_100k(folder, expected=EXPECTED, **arguments)


def test_canonical_frames(tmp_path):
    data = load(write_original(tmp_path))
    assert data.ratings.columns.tolist() == [
        "user_id",
        "item_id",
        "rating",
        "timestamp",
    ]
    assert data.ratings.timestamp.is_monotonic_increasing
    assert sorted(data.ratings.itertuples(index=False, name=None)) == sorted(RATINGS)
    assert data.users.zip.tolist() == ["857", "V5A", "010"]
    assert data.users.age.tolist() == [24, 53, 7]
    assert data.items.year.tolist() == [1995, 0, 1995, 1995, 1996]
    assert data.items.genres[0] == ("Animation", "Children's", "Comedy")
    assert data.items.genres[1] == ("unknown",)
    assert str(tmp_path) in data.source
    assert data.test is None


def test_both_formats_give_the_same_frames(tmp_path):
    original = load(write_original(tmp_path / "a"))
    recbole = load(write_recbole(tmp_path / "b"))
    for name in ("ratings", "users", "items"):
        left, right = (getattr(data, name) for data in (original, recbole))
        assert left.dtypes.astype(str).tolist() == right.dtypes.astype(str).tolist()
        assert left.to_numpy().tolist() == right.to_numpy().tolist()
    assert original.checksum() == recbole.checksum()
    expected = dataclasses.replace(EXPECTED, checksum=original.checksum())
    load_movielens_100k(tmp_path / "b", expected=expected)


@pytest.mark.parametrize("prefix", ["ml-100k", "recbole/dataset_example/ml-100k"])
def test_archives_in_the_given_folder_are_opened(tmp_path, prefix):
    write = write_original if prefix == "ml-100k" else write_recbole
    name = "ml-100k.zip" if prefix == "ml-100k" else "recbole-1.2.1-py3-none-any.whl"
    given = tmp_path / "given"
    given.mkdir()
    write_zip(write(tmp_path / "files"), given / name, prefix)
    assert name in load(given).source
    assert load(given).checksum() == load(tmp_path / "files").checksum()


def test_a_folder_above_the_files_will_do(tmp_path):
    write_original(tmp_path / "ml-100k")
    assert len(load(tmp_path).ratings) == EXPECTED.rows


def test_a_changed_value_fails_the_checksum(tmp_path):
    checksum = load(write_original(tmp_path)).checksum()
    path = tmp_path / "u.data"
    path.write_text(path.read_text().replace("\t5\t", "\t4\t", 1))
    expected = dataclasses.replace(EXPECTED, checksum=checksum)
    with pytest.raises(ValueError, match=f"expected {checksum}; a file was changed"):
        load_movielens_100k(tmp_path, expected=expected)


def test_a_truncated_file_is_named(tmp_path):
    path = write_original(tmp_path) / "u.data"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])  # a line less
    with pytest.raises(ValueError, match=r"read \(13, 3, 5\) .* expected \(14, 3, 5\)"):
        load(tmp_path)
    path.write_bytes(whole[:-13])  # half a line
    with pytest.raises(ValueError, match=r"u\.data.* truncated .* 4 fields a line"):
        load(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"u\.data.* got no line"):
        load(tmp_path)
    path.write_bytes(whole.replace(b"\t5\t", b"\tfive\t", 1))
    with pytest.raises(ValueError, match=r"u\.data.* text where numbers belong"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["u.user", "u.item"])
def test_a_missing_or_shortened_side_file_is_an_error(tmp_path, name):
    path = write_original(tmp_path) / name
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(ValueError, match="which is not described"):
        load(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name}.* is missing"):
        load(tmp_path)


def test_a_corrupt_archive_is_one_clear_error(tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    path = write_zip(
        write_original(tmp_path / "files"), given / "ml-100k.zip", "ml-100k"
    )
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"<html>404</html>", b""):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"ml-100k\.zip.*' can't be read as"):
            load(given)
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF  # in the middle of a member
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"ml-100k\.zip.*' can't be read as"):
        load(given)


def test_a_folder_without_the_data_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="has neither u.data nor ml-100k.inter"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        load_movielens_1m(tmp_path / "absent")


def test_the_source_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="tfdistill"):
        source = load(write_original(tmp_path)).source
    assert source in caplog.messages


def test_original_movielens_1m(tmp_path):
    folder = write_1m(tmp_path / "ml-1m")
    data = load_movielens_1m(folder, expected=EXPECTED)
    assert sorted(data.ratings.itertuples(index=False, name=None)) == sorted(RATINGS)
    assert data.items.genres[0] == ("Animation", "Children's", "Comedy")
    assert data.users.age.tolist() == [24, 53, 7]
    assert data.test is None
    for given in (folder, folder.parent):
        with pytest.raises(ValueError, match=r"expected \(1000209, 6040, 3883\)"):
            load_movielens(given)
    (folder / "ratings.dat").unlink()
    with pytest.raises(FileNotFoundError, match=r"ratings\.dat"):
        load_movielens_1m(folder)
