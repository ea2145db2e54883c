#!/usr/bin/env python3
"""Judges rankers and a teacher's stored scores on a table of impressions.

Makes its environment if it is not there, then runs `tfdistill evaluate` in it
with the same options (`--help` lists them).
"""

import _environment

if __name__ == "__main__":
    _environment.command("evaluate")
