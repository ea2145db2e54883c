"""KuaiRec and Frappe, from files that the test writes."""

import gzip
import zipfile

import pytest

from tfdistill.data.frappe import FRAPPE_CONTEXT, load_frappe
from tfdistill.data.kuairec import load_kuairec
from tfdistill.data.movielens import Expected

EXPECTED = Expected(rows=3, users=2, items=2)
EXPOSURES = b"14,133,1.25\n14,148,0.5\n20,133,144.3\n"
LOGS = b"\n".join(
    [
        "\t".join(("user", "item", "cnt", *FRAPPE_CONTEXT)).encode(),
        b"0\t7\t1\tmorning\tsunday\tweekend\tunknown\tfree\tsunny\tSpain\t0",
        b"0\t8\t9\tnight\tfriday\tworkday\thome\tfree\tunknown\tSpain\t0",
        b"3\t7\t428\tnoon\tfriday\tworkday\twork\tpaid\tcloudy\tNorway\t1028\n",
    ]
)


def write_kuairec(path, content=EXPOSURES):
    path.write_bytes(gzip.compress(content))
    return path


def write_frappe(path, content=LOGS, member="Mobile_Frappe/frappe/frappe.csv"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return path


SETS = pytest.mark.parametrize(
    ("load", "write", "content"),
    [(load_kuairec, write_kuairec, EXPOSURES), (load_frappe, write_frappe, LOGS)],
)


def test_kuairec_columns(tmp_path):
    frame = load_kuairec(write_kuairec(tmp_path / "a.csv.gz"), expected=EXPECTED)
    assert frame.user_id.tolist() == [14, 14, 20]
    assert frame.item_id.tolist() == [133, 148, 133]
    assert frame.watch_ratio.tolist() == pytest.approx([1.25, 0.5, 144.3])
    assert frame.watch_ratio.dtype == "float32"


def test_frappe_columns(tmp_path):
    frame = load_frappe(write_frappe(tmp_path / "a.zip"), expected=EXPECTED)
    assert frame.columns.tolist() == ["user_id", "item_id", "count", *FRAPPE_CONTEXT]
    assert frame["count"].tolist() == [1, 9, 428]
    assert frame["city"].tolist() == ["0", "0", "1028"]
    assert frame.iloc[2, 3:].tolist()[:2] == ["noon", "friday"]


@SETS
def test_a_file_of_another_size_is_named(load, write, content, tmp_path):
    path = write(tmp_path / "a", content[: content.rindex(b"\n", 0, -1) + 1])
    with pytest.raises(ValueError, match="'.*a' has 2 rows, 1 users .* expected 3, 2"):
        load(path, expected=EXPECTED)
    with pytest.raises(ValueError, match="has 3 rows, .* expected [0-9]{5,6}, "):
        load(write(tmp_path / "b", content))


@SETS
@pytest.mark.parametrize("cut", [4, 30, -1])
def test_a_cut_file_is_named(load, write, content, cut, tmp_path):
    path = write(tmp_path / "a", content)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(
        ValueError, match="'.*a' can't be read as .* Fetch the file again"
    ):
        load(path, expected=EXPECTED)


@SETS
def test_another_format_is_named(load, write, content, tmp_path):
    for wrong, text in (
        (b"", "(has 0 rows|it has no header)"),
        (
            content.replace(b"14", b"x").replace(b"\t9", b"\tx"),
            "holds 'x' in line [13]",
        ),
        (b"a,b\n1,2\n", "(line 1 has 2 fields|expected the 11 columns)"),
    ):
        with pytest.raises(ValueError, match=f"'.*a' .*{text}"):
            load(write(tmp_path / "a", wrong), expected=EXPECTED)


def test_an_archive_without_the_logs_is_named(tmp_path):
    path = write_frappe(tmp_path / "a.zip", member="README.txt")
    with pytest.raises(
        ValueError, match="can't be read as an archive with 'Mobile_Frappe"
    ):
        load_frappe(path)
