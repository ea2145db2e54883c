"""The commands' own environments: which Python, which setting, what is shown."""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """The module, on a machine where the running Python is the only one."""
    spec = importlib.util.spec_from_file_location("_env", SCRIPTS / "_environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "setup.py").write_text("")
    return module


def program(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def running(monkeypatch, tmp_path, version):
    """Makes the running Python one of this version."""
    path = program(tmp_path / "running", f"echo {version}")
    monkeypatch.setattr(sys, "_base_executable", path, raising=False)
    return path


@pytest.mark.parametrize("version", ["3.9.18", "3.11.7", "3.13.0"])
def test_the_running_python_is_taken_if_it_fits(
    environment, monkeypatch, tmp_path, version
):
    path = running(monkeypatch, tmp_path, version)
    program(tmp_path / "bin" / "python3.12", "echo 3.12.1")
    assert environment.find_python() == (path, version)


@pytest.mark.parametrize("version", ["3.14.0", "3.8.18", "3.6.15", ""])
@pytest.mark.parametrize(
    "place", ["bin/python3.12", "pyenv/versions/3.12.1/bin/python", "uv/python"]
)
def test_else_another_one_is_found(environment, monkeypatch, tmp_path, version, place):
    running(monkeypatch, tmp_path, version)
    program(tmp_path / "bin" / "python3.13", "exit 127")  # as pyenv's shims do
    other = program(tmp_path / place, "echo 3.12.1")
    program(tmp_path / "bin" / "uv", f'[ "$4" = 3.12 ] && echo {other}')
    assert environment.find_python() == (other, "3.12.1")


def test_none_is_one_sentence(environment, monkeypatch, tmp_path):
    running(monkeypatch, tmp_path, "3.14.0")
    with pytest.raises(SystemExit, match=r"3\.9 to 3\.13.*found none in") as stop:
        environment.find_python()
    assert "\n" not in stop.value.code
    with pytest.raises(SystemExit, match="found none as 3.13"):
        environment.find_python("3.13")


def test_a_path_is_taken_as_it_is(environment, tmp_path):
    path = program(tmp_path / "far" / "python", "echo 3.10.13")
    assert environment.find_python(path) == (path, "3.10.13")


@pytest.mark.parametrize(
    "asked, tensorflow, found",
    [
        ("newest", None, "3.13.1"),
        ("newest", "2.19", "3.12.1"),
        ("newest", "2.15", "3.11.9"),
        (None, "2.15", "3.10.5"),  # the running one
        (None, "2.21", "3.10.5"),
        ("3.13", "newest", "3.13.1"),
    ],
)
def test_the_tensorflow_decides_which_python_fits(
    environment, monkeypatch, tmp_path, asked, tensorflow, found
):
    running(monkeypatch, tmp_path, "3.10.5")
    for version in ("3.9.1", "3.11.9", "3.12.1", "3.13.1"):
        name = "python" + version.rpartition(".")[0]
        program(tmp_path / "bin" / name, f"echo {version}")
    assert environment.find_python(asked, tensorflow).version == found


def test_no_python_for_a_tensorflow_is_one_sentence(environment, monkeypatch, tmp_path):
    running(monkeypatch, tmp_path, "3.13.1")
    for asked in (None, "newest", "3.13"):
        with pytest.raises(environment.Missing, match=r"2\.15 needs .* 3\.9 to 3\.11"):
            environment.find_python(asked, "2.15")


@pytest.mark.parametrize(
    "version, arguments, keras, tensorflow, folder",
    [
        ("3.11.7", [], "2", "2.15", ".venv-3.11-keras2"),
        ("3.11.7", ["--tensorflow=2.15"], "2", "2.15", ".venv-3.11-keras2"),
        ("3.9.1", ["--keras", "2"], "2", "2.15", ".venv-3.9-keras2"),
        ("3.13.0", [], "3", "newest", ".venv-3.13-keras3"),
        ("3.11.7", ["--keras=3"], "3", "newest", ".venv-3.11-keras3"),
        ("3.11.7", ["--tensorflow=newest"], "3", "newest", ".venv-3.11-keras3"),
        ("3.13.0", ["--keras", "2"], "2", "newest", ".venv-3.13-keras2"),
        (
            "3.11.7",
            ["--keras=2", "--tensorflow=newest"],
            *("2", "newest", ".venv-3.11-keras2-tf-newest"),
        ),
        (
            "3.12.1",
            ["--tensorflow", "2.16"],
            *("3", "2.16", ".venv-3.12-keras3-tf-2.16"),
        ),
        (
            "3.9.18",
            ["--tensorflow", "oldest"],
            *("2", "oldest", ".venv-3.9-keras2-tf-oldest"),
        ),
    ],
)
def test_a_setting_has_an_environment_of_its_own(
    environment, monkeypatch, tmp_path, version, arguments, keras, tensorflow, folder
):
    running(monkeypatch, tmp_path, version)
    setting, rest = environment.choose(["tests/losses", *arguments, "-k", "hint"])
    assert rest == ["tests/losses", "-k", "hint"]
    assert setting[1:] == (keras, tensorflow, folder)


def test_keras_3_does_not_exist_for_2_15(environment, monkeypatch, tmp_path):
    running(monkeypatch, tmp_path, "3.11.7")
    for tensorflow in ("2.15", "oldest"):
        with pytest.raises(environment.Missing, match="2.15 has Keras 2 alone"):
            environment.choose(["--tensorflow", tensorflow, "--keras", "3"])


def test_a_published_constraints_file_is_used(environment, monkeypatch, tmp_path):
    running(monkeypatch, tmp_path, "3.11.7")
    monkeypatch.setattr(environment, "ROOT", str(SCRIPTS.parent))
    published = SCRIPTS.parent / "constraints"
    for tensorflow in ("oldest", "2.16", "2.17", "2.18"):
        setting, _ = environment.choose(["--tensorflow", tensorflow])
        _, (_, arguments), *_ = environment._packages(setting, ["dev"])
        file = published / f"tensorflow-{tensorflow}.txt"
        assert arguments[-2:] == ["-c", str(file)] and file.exists()
    setting, _ = environment.choose([])
    packages = environment._packages(setting, ["dev"])
    assert not [arguments for _, arguments in packages if "-c" in arguments]


def test_installing_shows_one_line_a_step_and_keeps_the_log(
    environment, monkeypatch, tmp_path, capsys
):
    bin_folder = tmp_path / ".venv-3.13-keras3" / "bin"
    python = f"""
        echo "$@" >> {tmp_path}/calls; echo 50 lines of pip; mkdir -p {bin_folder}
        [ -e {bin_folder}/python ] || cp $0 {bin_folder}/python"""
    path = running(monkeypatch, tmp_path, "3.13.0")
    setting, _ = environment.choose([])
    program(Path(path), python)
    monkeypatch.setenv("PATH", os.defpath)
    made = environment.environment(setting, ["dev"])
    assert made == str(bin_folder / "python")
    shown = capsys.readouterr().out
    assert "lines of pip" not in shown and shown.count("done") == 4
    assert "50 lines of pip" in (bin_folder.parent / "install.log").read_text()
    calls = (tmp_path / "calls").read_text()
    assert "[dev,keras-rs] tensorflow>=2.19,<2.22" in calls and "--no-deps" in calls

    environment.environment(setting, ["dev"])  # nothing more to do
    assert (tmp_path / "calls").read_text() == calls


def test_a_failure_shows_the_last_lines(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    log = tmp_path / "log"
    log.write_bytes(b"")
    command = [sys.executable, "-c", "print('a\\n' * 50 + 'the reason'); exit(1)"]
    with pytest.raises(SystemExit, match=r"the reason\n\ntfdistill could not install"):
        environment._step("something", command, str(log))


@pytest.mark.parametrize(
    "versions, kind", [("2.20.0, 2.21.0", "Missing"), ("none", "SystemExit")]
)
def test_no_wheel_is_told_from_no_network(
    environment, tmp_path, monkeypatch, versions, kind
):
    """Without a network pip knows no version at all."""
    said = "ERROR: Could not find a version that satisfies the requirement "
    said += f"tensorflow~=2.15.1 (from versions: {versions})"
    log = tmp_path / "log"
    log.write_bytes(b"\xff")
    command = [sys.executable, "-c", f"print({said!r}); exit(1)"]
    with pytest.raises(SystemExit) as stop:
        environment._step("something", command, str(log))
    assert type(stop.value).__name__ == kind


def test_old_pythons_can_read_the_scripts():
    for path in SCRIPTS.glob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_the_setting_alone_decides_on_keras(environment, monkeypatch, tmp_path):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    found = tmp_path / "found"
    path = program(tmp_path / "python", f"echo $TF_USE_LEGACY_KERAS > {found}")
    for keras, variable in (("3", "0"), ("2", "1")):
        setting = environment.Setting(None, keras, "", "")
        assert environment.run(setting, path, []) == 0
        assert found.read_text().strip() == variable
