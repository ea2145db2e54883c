"""Serving: exported models over gRPC on this machine, and how fast they answer."""

from tfdistill.serving.bench import Timing, as_json, as_text, bench, plot
from tfdistill.serving.server import Server, serve

__all__ = ["Server", "Timing", "as_json", "as_text", "bench", "plot", "serve"]
