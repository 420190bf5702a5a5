"""The documents as such: the README stays a front door, each file of docs/ has its reader, every link an end."""

from __future__ import annotations

import re

import pytest

from tests.docs import DOCUMENTS, ROOT

README_LINES = 230
IN_DOCS = [name for name in DOCUMENTS if name.startswith("docs/")]
LINKED = {name: (ROOT / name).read_text() for name in [*DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]}


def prose(text: str) -> str:
    """Return a text without its code blocks, whose comments look like headings."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def links(text: str) -> list[str]:
    """Return the targets of a text's links that do not lead to the web."""
    targets: list[str] = re.findall(r"\[[^\]]+\]\(([^)]+)\)", prose(text))
    return [target for target in targets if "://" not in target]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a text."""
    headings: list[str] = re.findall(r"^#+ (.+)$", prose(text), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(name: str, target: str) -> bool:
    """Say whether a link that stands in the file of this name has no file or heading at its end."""
    path, _, anchor = target.partition("#")
    file = ROOT / name if not path else (ROOT / name).parent / path
    return not file.is_file() or (anchor != "" and anchor not in anchors(file.read_text()))


def test_the_readme_is_a_front_door_and_not_a_book() -> None:
    assert len(DOCUMENTS["README.md"].splitlines()) <= README_LINES


def test_the_readme_links_every_document() -> None:
    assert IN_DOCS
    assert set(IN_DOCS) <= set(links(DOCUMENTS["README.md"]))


@pytest.mark.parametrize("name", IN_DOCS)
def test_a_document_starts_with_its_title_and_says_for_whom_it_is(name: str) -> None:
    assert re.match(r"# \w[^\n]+\n\nFor those who ", DOCUMENTS[name])


@pytest.mark.parametrize("name", LINKED)
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(name: str) -> None:
    assert [target for target in links(LINKED[name]) if leads_nowhere(name, target)] == []


@pytest.mark.parametrize(
    ("target", "nowhere"),
    [
        ("objects.md", False),
        ("objects.md#argo-cd-and-flux", False),
        ("#probes-metrics-and-alerts", False),
        ("../crd.yaml", False),
        ("crd.yaml", True),
        ("objects.md#argo-cd", True),
        ("#fields", True),
    ],
)
def test_a_link_is_looked_up_from_the_document_that_has_it(target: str, nowhere: bool) -> None:
    assert leads_nowhere("docs/operate.md", target) is nowhere


def test_the_table_of_modules_has_each_of_them_once() -> None:
    table = LINKED["CONTRIBUTING.md"].partition("## Where things are")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+\.py)` \|", table, flags=re.M)
    assert sorted(rows) == sorted(path.name for path in ROOT.glob("*.py"))
