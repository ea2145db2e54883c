#!/usr/bin/env python3
"""Trains a large ranker on a table of impressions: the first of two stages.

Makes its environment if it is not there, then runs `tfdistill train-teacher` in it
with the same options (`--help` lists them).
"""

import _environment

if __name__ == "__main__":
    _environment.command("train-teacher")
