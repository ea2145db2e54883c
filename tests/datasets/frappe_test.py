"""Frappe, from files that the test writes."""

import zipfile

import pytest

from tfdistill.datasets.frappe import FRAPPE_CONTEXT, load_frappe
from tfdistill.datasets.movielens import Expected

EXPECTED = Expected(rows=3, users=2, items=2)
LOGS = b"\n".join(
    [
        "\t".join(("user", "item", "cnt", *FRAPPE_CONTEXT)).encode(),
        b"0\t7\t1\tmorning\tsunday\tweekend\tunknown\tfree\tsunny\tSpain\t0",
        b"0\t8\t9\tnight\tfriday\tworkday\thome\tfree\tunknown\tSpain\t0",
        b"3\t7\t428\tnoon\tfriday\tworkday\twork\tpaid\tcloudy\tNorway\t1028\n",
    ]
)


def write_frappe(path, content=LOGS, member="Mobile_Frappe/frappe/frappe.csv"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return path


def test_frappe_columns(tmp_path):
    frame = load_frappe(write_frappe(tmp_path / "a.zip"), expected=EXPECTED)
    assert frame.columns.tolist() == ["user_id", "item_id", "count", *FRAPPE_CONTEXT]
    assert frame["count"].tolist() == [1, 9, 428]
    assert frame["city"].tolist() == ["0", "0", "1028"]
    assert frame.iloc[2, 3:].tolist()[:2] == ["noon", "friday"]


def test_a_file_of_another_size_is_named(tmp_path):
    path = write_frappe(tmp_path / "a", LOGS[: LOGS.rindex(b"\n", 0, -1) + 1])
    with pytest.raises(ValueError, match=r"'.*a': read \(2, 1, 2\) .* \(3, 2, 2\)"):
        load_frappe(path, expected=EXPECTED)
    with pytest.raises(ValueError, match=r"read \(3, 2, 2\) .* \(96203, 957, 4082\)"):
        load_frappe(write_frappe(tmp_path / "b"))


@pytest.mark.parametrize("cut", [4, 30, -1])
def test_a_cut_file_is_named(cut, tmp_path):
    path = write_frappe(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(
        ValueError, match="'.*a' can't be read as .* Fetch the file again"
    ):
        load_frappe(path, expected=EXPECTED)


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", LOGS.replace(b"\t9", b"\tx"), LOGS.replace(b"\t9", b"\t")],
)
def test_another_format_is_named(content, tmp_path):
    with pytest.raises(
        ValueError, match=r"'.*a'(: read .0, 0, 0| can't be read as an arc)"
    ):
        load_frappe(write_frappe(tmp_path / "a", content), expected=EXPECTED)


def test_an_archive_without_the_logs_is_named(tmp_path):
    path = write_frappe(tmp_path / "a.zip", member="README.txt")
    with pytest.raises(
        ValueError, match="can't be read as an archive with 'Mobile_Frappe"
    ):
        load_frappe(path)
