"""The test command: what it runs in which setting, and what it says at the end."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
PROGRAM = r"""#!/bin/sh
# A Python of every trade: it tells its version, makes environments of itself, and runs.
case "$*" in
  -c*) echo {version} ;;
  *venv*) for folder; do :; done; mkdir -p $folder/bin; cp $0 $folder/bin/python ;;
  *pip*) : ;;
  *) echo "{version} keras2=$TF_USE_LEGACY_KERAS $*" >> {calls}
     for file; do :; done
     echo '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="3"/>' \
       '</testsuites>' > "${{file#--junitxml=}}"
     case "$*" in *"{failing}"*) exit 1 ;; esac ;;
esac
"""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Gives `check` on a machine with the Pythons of these versions, and its calls."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for name in ("check", "_environment"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    check = importlib.import_module("check")
    calls = tmp_path / "calls"
    calls.write_text("")
    (tmp_path / "setup.py").write_text("")
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check._environment, "ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(
        check._environment,
        "_candidates",
        lambda asked, versions: [
            str(path) for path in sorted((tmp_path / "bin").glob("python*"))
        ],
    )

    def with_pythons(*versions, failing="nothing"):
        for version in versions:
            path = tmp_path / "bin" / f"python{version}"
            text = PROGRAM.format(version=version, calls=calls, failing=failing)
            path.write_text(text)
            path.chmod(0o755)
        return check

    yield with_pythons, lambda: calls.read_text().splitlines()
    for name in ("check", "_environment"):
        sys.modules.pop(name, None)


def shown(capsys):
    return capsys.readouterr().out.partition("== What was run\n")[2].splitlines()


def test_every_setting_has_its_part_and_lint_and_types_run_once(machine, capsys):
    with_pythons, calls = machine
    assert with_pythons("3.11.7", "3.13.0", "3.12.1").main([]) == 0
    ran = [re.sub(" --junitxml=.*", "", line) for line in calls()]
    pytest_ = "-m pytest -n 2 --dist worksteal tests"
    assert ran[:5] == [
        "3.11.7 keras2=1 -m ruff check .",
        "3.11.7 keras2=1 -m ruff format --check .",
        "3.11.7 keras2=1 -m mypy",
        f"3.11.7 keras2=1 {pytest_}",
        f"3.13.0 keras2=0 {pytest_}",
    ]
    (part,) = ran[5:]
    assert part.startswith(f"3.13.0 keras2=1 {pytest_}/losses tests/layers")
    assert {"tests/trainers", "tests/export", "tests/hosts_test.py"} <= set(
        part.split()
    )
    said = shown(capsys)
    assert len(said) == 6
    assert "passed: 4 passed, 2 failed, 3 skipped (0 s)" in said[-1]


def test_every_part_exists():
    sys.path.insert(0, str(SCRIPTS))
    try:
        check = importlib.import_module("check")
    finally:
        sys.path.remove(str(SCRIPTS))
    for _, tests in check.SETTINGS:
        assert all((SCRIPTS.parent / path).exists() for path in tests.split())


@pytest.mark.parametrize("failing", ["ruff check", "mypy", "tests/losses", "keras2=0"])
def test_a_failure_is_the_exit_code_and_hides_no_other_check(machine, capsys, failing):
    with_pythons, calls = machine
    check = with_pythons("3.11.7", "3.13.0", failing=failing)
    failed = failing != "keras2=0"  # not part of a command
    assert check.main([]) == failed
    assert len(calls()) == 6
    assert sum("failed (exit code 1)" in line for line in shown(capsys)) == failed


def test_what_has_no_python_is_said_with_the_reason(machine, capsys):
    with_pythons, calls = machine
    assert with_pythons("3.13.0").main([]) == 0
    assert not [line for line in calls() if "mypy" in line]
    first, *_, types, suite, part = shown(capsys)
    assert "not run: TensorFlow 2.15 needs" in first and "3.9 to 3.11" in first
    assert "types" in types and "not run: " in types
    assert "Keras 3: passed" in suite and "Keras 2: passed" in part


def test_one_python_alone_is_said_to_be_the_newest(machine, capsys):
    with_pythons, calls = machine
    assert with_pythons("3.11.7").main([]) == 0
    assert len(calls()) == 6
    assert "Python 3.13, 3.12: not run: not found here" in shown(capsys)[-1]


def test_no_python_is_one_sentence(machine):
    with_pythons, calls = machine
    with pytest.raises(SystemExit, match="needs a 64-bit Python") as stop:
        with_pythons("3.8.1").main([])
    assert "\n" not in stop.value.code and not calls()


def test_a_chosen_setting_runs_alone(machine, capsys):
    with_pythons, calls = machine
    check = with_pythons("3.11.7", "3.13.0")
    assert check.main(["--python", "3.13", "--keras", "2"]) == 0
    assert all(line.startswith("3.13.0 keras2=1") for line in calls())
    assert len(calls()) == 3 and calls()[-1].split()[-2] == "tests"


def test_arguments_are_pytests(machine):
    with_pythons, calls = machine
    check = with_pythons("3.11.7", "3.13.0", failing="hint")
    assert check.main(["--python=3.13", "tests/losses", "-k", "hint"]) == 1
    assert calls() == ["3.13.0 keras2=0 -m pytest tests/losses -k hint"]
