"""Issue 18, section 8: the command line ends in one sentence, whatever stops it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf
import typer
from typer.testing import CliRunner

from tfdistill import cli
from tfdistill.files import require_room, written_whole

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
            "error ('runs/mine'). Run it again.",
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
    assert len(commands) == 8
    assert all(hasattr(command, "__wrapped__") for command in commands)


def test_a_port_that_does_not_exist_is_refused(tmp_path):
    done = CliRunner().invoke(cli.app, ["serve", str(tmp_path), "--port", "70000"])
    assert done.exit_code == 2 and "65535" in done.output
    assert "There is no SavedModel" not in done.output


def test_a_place_that_cannot_be_written_to_is_found_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file' is a file"):
        require_room(tmp_path / "file" / "runs")
    with pytest.raises(ValueError, match="'/proc' is full: 0 MiB are left"):
        require_room("/proc/runs/mine")
    require_room(tmp_path / "runs" / "mine")
    assert not (tmp_path / "runs").exists()


def test_a_write_to_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*scores\.npy'"):
        with written_whole(tmp_path / "scores.npy"), open("/dev/full", "w") as full:
            full.write("x" * 9999)
    assert not list(tmp_path.iterdir())


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
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    wanted = "Stopped. Run the same command again: it goes on where it stopped."
    assert process.returncode == 130 and errors.strip() == wanted
