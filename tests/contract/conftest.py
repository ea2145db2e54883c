"""Prints one line per loss and property after the run."""


def pytest_terminal_summary(terminalreporter):
    lines = set()
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            for key, value in report.user_properties:
                if key == "contract":
                    loss, prop, note = value
                    lines.add(f"{loss:45} {prop:17} {note or outcome}")
    if lines:
        terminalreporter.section("loss contract")
        for line in sorted(lines):
            terminalreporter.write_line(line)
