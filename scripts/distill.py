#!/usr/bin/env python3
"""Trains a small ranker on a table of impressions, under a teacher or its scores.

Makes its environment if it is not there, then runs `tfdistill distill` in it
with the same options (`--help` lists them).
"""

import _environment

if __name__ == "__main__":
    _environment.command("distill")
