"""Subcommands on exported models: serve them here, measure them."""

# ruff: noqa: UP007, UP045 - typer reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from tfdistill.commands.places import new_file

__all__ = ["bench", "serve"]

Threads = Annotated[int, typer.Option(min=1, help="Threads of a request.")]


def serve(
    path: Annotated[Path, typer.Argument(help="Folder of a model, or of a version.")],
    name: Annotated[str, typer.Option(help="Name that clients use.")] = "model",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8500,
    threads: Threads = 1,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds to finish requests when stopped.")
    ] = 30.0,
) -> None:
    """Serve an exported model over gRPC on this machine, for tests and local use.

    Ctrl-C or SIGTERM stops it after the requests in progress.
    """
    from tfdistill.serving import serve as start

    server = start({name: path}, port, threads=threads)
    typer.echo(f"Serving {name!r} at {server.address}; stop it with Ctrl-C.")
    server.wait(grace=grace)


def bench(
    paths: Annotated[list[Path], typer.Argument(help="Folders of exported models.")],
    sizes: Annotated[str, typer.Option(help="Numbers of candidates.")] = "1,50,500",
    signature: Annotated[Optional[str], typer.Option(help="By default packed.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Requests of each size.")] = 200,
    threads: Threads = 1,
    json: Annotated[Optional[Path], new_file("Write JSON there.")] = None,
    plot: Annotated[Optional[Path], new_file("Draw there, .png or .svg.")] = None,
) -> None:
    """Measure latency and throughput of exported models by size of request."""
    from tfdistill import serving
    from tfdistill.files import written_whole

    if not sizes.replace(",", "").isdigit():
        raise ValueError(f"--sizes takes numbers such as 1,50,500, got {sizes!r}.")
    timings = serving.bench(
        {str(path): path for path in paths},
        sizes=[int(size) for size in sizes.split(",") if size],
        signature=signature,
        rounds=rounds,
        threads=threads,
    )
    typer.echo(serving.as_text(timings))
    if json:
        with written_whole(json) as file:
            file.write_text(serving.as_json(timings), encoding="utf-8")
    if plot:
        serving.plot(timings, plot)
