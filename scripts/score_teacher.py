#!/usr/bin/env python3
"""Scores a table of impressions once with any teacher, and stores the scores.

Makes its environment if it is not there, then runs `tfdistill score-teacher` in it
with the same options (`--help` lists them).
"""

import _environment

if __name__ == "__main__":
    _environment.command("score-teacher")
