"""The `tfdistill` command: each subcommand reads its options and calls one function."""

from __future__ import annotations

import errno
import functools
import re
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, get_type_hints

import typer
from rich.console import Console

from tfdistill.commands import movielens, own_data, recall, serving
from tfdistill.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="tfdistill",
    help="Train small recommenders under big teachers, for recall, coarse and fine "
    "ranking, and export them for TensorFlow Serving.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _evaluated(command: Callable[..., None]) -> Callable[..., None]:
    """Evaluates a command's annotations: on Python 3.9 typer does not."""
    command.__annotations__ = get_type_hints(command, include_extras=True)
    return command


@app.callback()
@_evaluated
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass


def _in_one_sentence(command: Callable[..., None], remedy: str) -> Callable[..., None]:
    """Makes a command end in one sentence, not in a traceback, whatever stops it.

    Args:
        command: The function of the command.
        remedy: How to go on after it was stopped, as a sentence.
    """

    @functools.wraps(command)
    def run(**options: Any) -> None:
        try:
            command(**options)
        except KeyboardInterrupt:
            _end(f"Stopped. {remedy}", 130)
        except BrokenPipeError:  # who reads the output has gone: typer ends quietly
            raise
        except (ValueError, MemoryError) as error:
            _end(f"Error: {error}", 2)
        except OSError as error:
            if error.errno is None:  # this package's own sentence
                _end(f"Error: {error}", 2)
            _end(f"Error: {_of_system(error, options.get('out'))} {remedy}", 2)
        except Exception as error:
            text = _of_tensorflow(error)
            if text is None:  # a fault of this package, which its traceback shows
                raise
            _end(f"Error: {text} {remedy}", 2)

    return run


def _end(sentence: str, code: int) -> NoReturn:
    Console(stderr=True).print(sentence.strip(), style="red", markup=False)
    raise typer.Exit(code)


def _of_system(error: OSError, out: object) -> str:
    """What the operating system refused, and for which file."""
    place = error.filename if error.filename is not None else out
    where = "" if place is None else f" ({str(place)!r})"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = error.strerror or str(error)
    first = "Free some space" if full else "Correct that"
    return f"{what}{where}. {first} first."


def _of_tensorflow(error: Exception) -> str | None:
    """The line of TensorFlow's message that says what happened; None if not its."""
    import tensorflow as tf

    if not isinstance(error, tf.errors.OpError):
        return None
    lines = [line for line in str(error.message).splitlines() if line.strip()]
    if not lines:
        return f"TensorFlow: {type(error).__name__}."
    told = [line for line in lines if not line.startswith((" ", "\t"))]
    first = lines[0] if not lines[0].startswith("Graph execution") else told[-1]
    text = re.sub(r"\{\{.*?\}\} |\s*\[Op:.*", "", first).strip()
    return f"TensorFlow: {text.rstrip('.')}."


_AGAIN = "Run the same command again: it goes on where it stopped."
_ANEW = "Run the same command again: it begins anew."

for _command, _remedy in (
    (movielens.quickstart, _AGAIN),
    (movielens.cascade, _AGAIN),
    (own_data.distill, _AGAIN),
    (recall.recall, _AGAIN),
    (own_data.train_teacher, _AGAIN),
    (own_data.score_teacher, _AGAIN),
    (own_data.evaluate, _ANEW),
    (serving.serve, ""),
    (serving.bench, _ANEW),
):
    app.command()(_in_one_sentence(_evaluated(_command), _remedy))


def main() -> None:
    """Runs the command."""
    app()
