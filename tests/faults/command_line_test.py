"""Issue 18, section 8: the command line ends in one sentence, whatever stops it."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import tensorflow as tf
import typer
from typer.testing import CliRunner

from tfdistill import cli
from tfdistill.files import locked, require_file, require_folder, written_whole

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def ended(error, **options):
    """Exit code and words of a command that this error stops."""

    def command(out: Path = Path("runs/mine")) -> None:
        """Works for a while."""
        raise error

    app = typer.Typer()
    app.command()(cli._in_one_sentence(command, "Run it again."))
    done = CliRunner().invoke(app, [], **options)
    assert "Traceback" not in done.output
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FULL, "Error: No space left on device ('runs/mine'). Free some space first."),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "device ('a/b')."),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "denied ('x')."),
        (
            OSError(errno.EIO, "Input/output error"),
            "error ('runs/mine'). Correct that first. Run it again.",
        ),
        (FileNotFoundError("There is no data."), "Error: There is no data."),
        (MemoryError("Unable to allocate 9 TiB"), "Error: Unable to allocate 9 TiB"),
        (
            tf.errors.ResourceExhaustedError(
                None, None, "runs/a/step-1.tmp; No space left on device"
            ),
            "Error: TensorFlow: runs/a/step-1.tmp; No space left on device. Run it",
        ),
        (
            tf.errors.DataLossError(
                None,
                None,
                "{{function_node x}} corrupted record at 9 [Op:IteratorGetNext] name: ",
            ),
            "Error: TensorFlow: corrupted record at 9. Run it again.",
        ),
        (
            tf.errors.InvalidArgumentError(
                None, None, "Graph execution error:\n\n  File x\nlabel is 2\n\t [[n]]"
            ),
            "Error: TensorFlow: label is 2. Run it again.",
        ),
    ],
)
def test_what_the_system_refuses_is_one_sentence(error, sentence):
    code, words = ended(error)
    assert code == 2 and sentence in words


def test_an_interrupt_says_how_to_go_on():
    assert ended(KeyboardInterrupt()) == (130, "Stopped. Run it again.")


def test_a_fault_of_the_package_keeps_its_traceback():
    app = typer.Typer()

    def command() -> None:
        raise ZeroDivisionError("a fault")

    app.command()(cli._in_one_sentence(command, "Run it again."))
    assert isinstance(CliRunner().invoke(app, []).exception, ZeroDivisionError)


def test_every_command_ends_like_this():
    commands = [command.callback for command in cli.app.registered_commands]
    assert len(commands) == 9
    assert all(hasattr(command, "__wrapped__") for command in commands)


def test_a_port_that_does_not_exist_is_refused(tmp_path):
    done = CliRunner().invoke(cli.app, ["serve", str(tmp_path), "--port", "70000"])
    assert done.exit_code == 2 and "65535" in done.output
    assert "There is no SavedModel" not in done.output


def test_a_place_that_cannot_be_written_to_is_found_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for place in ("file", "file/runs", "file/a/b", "gone", "gone/runs"):
        for require in (require_folder, locked):
            with pytest.raises(ValueError, match="(file|gone)' is a file, and a fold"):
                with require(tmp_path / place) or contextlib.nullcontext():
                    pass
    for place in ("file/a.json", "gone/a.json"):
        with pytest.raises(ValueError, match="(file|gone)' is a file, and a folder"):
            require_file(tmp_path / place)
    with pytest.raises(ValueError, match="is a folder, and a file is written"):
        require_file(tmp_path)
    with pytest.raises(ValueError, match="'/proc' is full: 0 MiB are left"):
        require_folder("/proc/runs/mine")
    require_folder(tmp_path / "runs" / "mine")
    require_folder(tmp_path)
    require_file(tmp_path / "runs" / "mine.json")
    require_file(tmp_path / "file")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("place", ["closed", "closed/new", "closed/new/mine"])
@pytest.mark.parametrize("require", [require_folder, require_file])
def test_a_folder_that_is_closed_is_found_before_any_work(
    tmp_path, monkeypatch, require, place
):
    (tmp_path / "closed").mkdir()
    access = os.access  # tests may run as root, to whom no folder is closed
    monkeypatch.setattr(
        os, "access", lambda path, *a: path.name != "closed" and access(path, *a)
    )
    if require is require_file:
        place = f"{place}/a.json"
    with pytest.raises(ValueError, match="closed' may not be written to"):
        require(tmp_path / place)


def places():
    """Each option of a place that a command writes to, and whether it is a folder."""
    for command in cli.app.registered_commands:
        name = command.callback.__name__.replace("_", "-")
        hints = get_type_hints(command.callback, include_extras=True)
        for option in inspect.signature(command.callback).parameters:
            if option in ("out", "json", "plot"):
                yield name, option, name not in ("evaluate", "bench")
                assert get_args(hints[option])[1].callback is not None


def test_every_place_is_known():
    assert len(list(places())) == 9


@pytest.mark.parametrize(("name", "option", "folder"), places())
def test_a_file_for_a_folder_is_refused_before_anything_is_read(
    tmp_path, name, option, folder
):
    """And a folder for a file; the table and the spec are not there at all."""
    needed = {
        "quickstart": [],
        "cascade": [],
        "bench": ["no-model"],
        "recall": "t.csv --user u --item i".split(),
        "score-teacher": "t.csv --spec s.json --request r --label l --item i".split(),
    }
    other = "t.csv --spec s.json --request r --label l".split()
    wrong = tmp_path / "mine"
    wrong.touch() if folder else wrong.mkdir()
    words = [name, *needed.get(name, other), f"--{option}", str(wrong)]
    done = CliRunner().invoke(cli.app, words, env={"COLUMNS": "400"})
    text = " ".join(done.output.replace("│", " ").split())
    said = "is a file, and a folder" if folder else "is a folder, and a file"
    assert done.exit_code == 2 and said in text, done.output
    assert f"'--{option}'" in text and "Traceback" not in text
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    assert wrong.is_file() == folder


def test_a_file_in_a_new_folder_is_written(tmp_path):
    with written_whole(tmp_path / "a" / "b" / "c.json") as file:
        file.write_text("{}")
    assert (tmp_path / "a" / "b" / "c.json").read_text() == "{}"


def test_a_write_to_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*scores\.npy'"):
        with written_whole(tmp_path / "scores.npy"), open("/dev/full", "w") as full:
            full.write("x" * 9999)
    assert not list(tmp_path.iterdir())


def heard():
    """Lets a child be interrupted where this process, in the background, is not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_real_interrupt_of_a_real_command(tmp_path):
    """The process prints one sentence and ends with the shell's code of Ctrl-C."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import time\n"
        "from tfdistill import cli\n"
        "from tfdistill.commands import own_data\n"
        "def slow(*args, **kwargs):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "own_data._impressions = slow\n"
        "cli.main()\n"
    )
    words = "distill t.csv --spec s.json --request r --label l".split()
    process = subprocess.Popen(
        [sys.executable, str(script), *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", "TF_CPP_MIN_LOG_LEVEL": "3"},
        preexec_fn=heard,
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    wanted = "Stopped. Run the same command again: it goes on where it stopped."
    assert process.returncode == 130 and errors.splitlines()[-1] == wanted
    assert "Traceback" not in errors
