"""How the benchmarks of speed time, run apart and keep what they measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import store  # noqa: E402
import timing  # noqa: E402


def test_variants_take_turns_and_the_first_rounds_are_dropped():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = timing.in_turns(calls, 3, dropped=2, calls=2)
    assert order == list("aabb") * 5
    assert {len(x) for spent in times.values() for x in spent.values()} == {3}


def test_times_are_milliseconds_of_a_call_by_both_clocks():
    waits = {"short": lambda: time.sleep(0.001), "long": lambda: time.sleep(0.02)}
    found = {n: timing.medians(x) for n, x in timing.in_turns(waits, 3).items()}
    assert 20 <= found["long"]["wall_ms"] < 500
    assert found["short"]["wall_ms"] < found["long"]["wall_ms"]
    assert found["long"]["cpu_ms"] < 10


def test_rounds_go_on_for_the_seconds_that_are_asked():
    waits = {"": lambda: time.sleep(0.01)}
    times = timing.in_turns(waits, 1, dropped=0, seconds=0.3)
    assert 1 < len(times[""]["wall"]) <= 31


@pytest.fixture
def script(tmp_path):
    """A script that can be a child."""
    file = tmp_path / "script.py"
    file.write_text(
        f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
        "from timing import as_child\n"
        "def work(one, two):\n"
        "    print('on the way')\n"
        "    return {'sum': int(one) + int(two)}\n"
        "assert as_child(work)\n"
    )
    return str(file)


def test_a_child_says_what_its_work_gave(script):
    assert timing.answer(timing.child(script, 1, 2)) == {"sum": 3}


def test_a_child_that_fails_is_no_measurement(script):
    process = timing.child(script, 1, "two", stderr=subprocess.DEVNULL)
    with pytest.raises(RuntimeError, match="ended with code 1"):
        timing.answer(process)


def measured(monkeypatch, tmp_path, *arguments, **options):
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["speed.py", *arguments])
    shown = []
    timing.main(
        "speed", lambda options: {"ms": len(shown)}, shown=shown.append, **options
    )
    return shown[0]["run"]


def test_the_newest_run_is_shown_and_another_one_measured_on_demand(
    monkeypatch, tmp_path
):
    for arguments, run in ([(), 1], [(), 1], [("--rerun",), 2], [(), 2]):
        assert measured(monkeypatch, tmp_path, *arguments) == f"speed-{run}"


def test_parts_have_files_of_their_own_or_are_runs_of_one(monkeypatch, tmp_path):
    parts = {"parts": ("cold", "warm")}
    assert measured(monkeypatch, tmp_path, "warm", **parts) == "speed_warm-1"
    for _ in range(2):
        found = measured(monkeypatch, tmp_path, "cold", one_file=True, **parts)
        assert found == "cold"
    (line,) = (tmp_path / "speed.jsonl").read_text().splitlines()
    assert {"date", "load", "ms", "hardware"} < set(json.loads(line))


def test_a_run_is_printed_with_a_table_of_what_has_rows(capsys):
    timing.show(
        {"run": "speed-1", "steps": {"one": {"ms": 1.5}, "two": {"ms": 2}}, "load": 3}
    )
    first, name, head, *rows = capsys.readouterr().out.splitlines()
    assert (first, name, head.split()) == ("run: speed-1", "steps:", ["ms"])
    assert [row.split() for row in rows[:2]] == [["one", "1.5"], ["two", "2.0"]]
    assert rows[2:] == ["load: 3"]
