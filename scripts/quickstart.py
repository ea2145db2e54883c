#!/usr/bin/env python3
"""One teacher and three students on MovieLens-100K, from nothing to a report.

Makes its environment if it is not there, then runs `tfdistill quickstart` in it
with the same options (`--help` lists them).
"""

import _environment

if __name__ == "__main__":
    _environment.command("quickstart")
