"""What users read: the README, which is the front door, and docs/, a file for each kind of reader.

Tests that hold the code to a text take the text from here and name its document, so that a text that moves breaks them.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}


def section(document: str, start: str, end: str = "\n## ") -> str:
    """Return what stands in the document after `start` and before the next `end`; `start` must be there."""
    _, found, rest = DOCUMENTS[document].partition(start)
    assert found, f"{document} has no {start}"
    return rest.partition(end)[0]


def table(document: str, first: str) -> list[list[str]]:
    """Return the rows of the table whose header starts with this cell, without backticks and the targets of links."""
    rows = []
    for line in section(document, f"\n| {first} |", "\n\n").split("\n")[2:]:
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line).replace("`", "")
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", plain.strip("|"))])
    return rows
