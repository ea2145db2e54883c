"""The report page's frame and style sheet."""

from __future__ import annotations

DOCUMENT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #1f2328;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
  "Liberation Sans", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 44px 0 10px; padding-top: 14px;
  border-top: 1px solid #d8dee4; }
h3 { font-size: 15px; margin: 24px 0 6px; }
p { margin: 6px 0; }
.muted, .caption, figcaption { color: #59636e; }
.caption, figcaption { font-size: 13px; max-width: 100ch; }
code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono",
  monospace; }
pre { background: #f6f8fa; border: 1px solid #d8dee4; border-radius: 6px;
  padding: 10px 14px; margin: 12px 0; white-space: pre-wrap;
  overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px;
  margin: 14px 0; }
dt { color: #59636e; } dd { margin: 0; }
.warnings { background: #fff8e5; border: 1px solid #e3c266;
  border-left: 5px solid #bf8700; border-radius: 6px; padding: 10px 16px;
  margin: 18px 0; }
.warnings ul { margin: 4px 0; padding-left: 20px; }
.warning { color: #7a4b00; font-weight: 600; font-size: 14px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; margin: 8px 0;
  font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px 5px 0; text-align: right; border-bottom: 1px solid #eaeef2;
  vertical-align: top; }
td { white-space: nowrap; }
th { font-weight: 600; color: #59636e; border-bottom: 1px solid #afb8c1;
  vertical-align: bottom; }
th:first-child, td:first-child, .words th, .words td { text-align: left; }
.words td { white-space: normal; }
tr.group td { font-weight: 600; padding-top: 14px; border-bottom-color: #afb8c1; }
td[title] { cursor: help; }
.best { font-weight: 700; } .better { color: #116329; } .worse { color: #b3261e; }

figure { margin: 18px 0; } figure img { max-width: 100%; height: auto; }
details { margin: 10px 0; }
summary { cursor: pointer; color: #0550ae; font-size: 14px; }
@media print { main { max-width: none; padding: 0; } h2 { break-after: avoid; }
  figure, table { break-inside: avoid; } }
"""
