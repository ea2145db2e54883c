"""Subcommands of `tfdistill`: they read options and call one function each."""
