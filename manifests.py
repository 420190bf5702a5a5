"""A file of YAML as kubectl reads it, with the line of everything in it, and what is wrong there.

The picture: text -> `documents` (nodes that know their lines) -> `Document` (what it says, and what YAML hides)
-> `Told`, a finding with its file and line.

Pure. What it is not: what an object or a setting must be (overlaps, clustersfile).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar

import yaml

from kube import Object
from spec import Finding

T = TypeVar("T")

# What kubectl makes of a plain scalar (YAML 1.1 as go-yaml v2 has it; not what PyYAML makes of it:
# dates stay text).
YAML_KINDS = {
    "null": r"~|null|Null|NULL|",
    "boolean": r"[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|true|True|TRUE|false|False|FALSE",
    "number": r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+"
    r"|(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9_]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
}
MERGE = "tag:yaml.org,2002:merge"
LONGEST_TOLD = 80  # characters of a value
LONGEST_NUMBER = 64  # bits of a whole one: what is longer is a text


class Loader(yaml.SafeLoader):
    """Resolves plain scalars as kubectl does; only composes, so that nodes keep their lines."""


Loader.yaml_implicit_resolvers = {}
for _kind, _pattern in YAML_KINDS.items():
    Loader.add_implicit_resolver(_kind, re.compile(rf"(?:{_pattern})\Z"), None)
Loader.add_implicit_resolver(MERGE, re.compile(r"<<\Z"), None)


class Bounded(Loader):
    """Reads what others may have written at no more than its length costs: nothing stands for what is elsewhere."""

    most_nodes, most_deep, most_fields = 100_000, 20, 1000

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nodes = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._nodes, self._depth = self._nodes + 1, self._depth + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            self._end("an anchor or alias, which has no place here", event)
        if self._nodes > self.most_nodes:
            self._end(f"more than {self.most_nodes:,} keys and values before this one", event)
        if self._depth > self.most_deep:
            self._end("nested too deeply", event)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.MappingNode) and len(node.value) > self.most_fields:
            self._end(f"more than {self.most_fields:,} fields in one mapping", event)
        return node

    def _end(self, what: str, event: yaml.Event) -> None:
        raise yaml.MarkedYAMLError(problem=what, problem_mark=event.start_mark)  # type: ignore[arg-type]


class Told(NamedTuple):
    """What is wrong, and where: line 0 is the file as a whole, `object` and `field` may be unknown."""

    file: str
    line: int
    object: str
    field: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.said}" if self.line else f"{self.file}: {self.said}"

    @property
    def said(self) -> str:
        return ": ".join(filter(None, (self.field, self.what, self.mend)))

    @property
    def annotation(self) -> str:
        """The command with which a workflow of GitHub marks the line."""

        def escaped(text: str, marks: str) -> str:
            return "".join(f"%{ord(mark):02X}" if mark in marks else mark for mark in text)

        parts = {"file": self.file, "line": str(self.line or 1), "title": self.object or "manifest"}
        shown = ",".join(f"{name}={escaped(text, PROPERTY_MARKS)}" for name, text in parts.items())
        return f"::error {shown}::{escaped(self.said, MESSAGE_MARKS)}"


# What stands for itself in a workflow command only when it is escaped.
MESSAGE_MARKS, PROPERTY_MARKS = "%\r\n", "%\r\n:,"


@dataclass
class Document:
    """What a node of a file says, as kubectl sends it, and the node; `findings` are what YAML hides."""

    file: str
    node: yaml.Node
    obj: Any = None
    findings: list[Finding] = field(default_factory=list)
    null: ClassVar[str] = "which Kubernetes drops"  # what a value is that is none

    def __post_init__(self) -> None:
        self.obj = self._read(self.node, ())

    def _read(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        """Return what kubectl sends for a node."""
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self._read(item, (*path, number)) for number, item in enumerate(node.value)]
        return scalar(node.tag, node.value)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> Object:
        merged: Object = {}
        own: Object = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                merged = self._merged(value, path) | merged
                continue
            name, kind = (key.value, key.tag) if isinstance(key, yaml.ScalarNode) else ("?", key.id)
            here = (*path, name)
            if kind in {*YAML_KINDS, "mapping", "sequence"} and not re.fullmatch("-?(0|[1-9][0-9]*)", name):
                self.findings.append(Finding(here, f"a {kind} to YAML, not a text", "put the key in quotes"))
            if name in lines:
                what = f"given twice, first in line {lines[name]}"
                self.findings.append(Finding(here, what, "keep one (kubectl takes the last and does not say so)"))
            lines[name] = key.start_mark.line + 1
            own[name] = self._read(value, here)
        return merged | own

    def _merged(self, node: yaml.Node, path: tuple[str | int, ...]) -> Object:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        read = [self._read(each, path) for each in reversed(sources)]
        if not all(isinstance(each, dict) for each in read):
            self.findings.append(Finding((*path, "<<"), "merged and no mapping", "give an alias of a mapping"))
        return {key: value for each in read if isinstance(each, dict) for key, value in each.items()}

    def told(self, finding: Finding, name: str = "") -> Told:
        """Return a finding with its line, and in the words of the file."""
        line, node = located(self.node, finding.path)
        what, mend = finding.what, finding.mend
        if node and node.tag == what == "null":
            what, mend = f"{node.value or 'nothing'}, {self.null}", f"remove it, or {mend}"
        elif finding.quote and node and node.tag in YAML_KINDS:
            what, mend = f"{node.value[:LONGEST_TOLD]}, which YAML reads as a {node.tag}", "put it in quotes"
        return Told(self.file, line, name, finding.where, what, mend)

    @property
    def line(self) -> int:
        return self.node.start_mark.line + 1


def undecoded(file: str, raw: bytes, error: UnicodeDecodeError) -> Told:
    """Return the finding of a file that is no text."""
    line = raw.count(b"\n", 0, error.start) + 1
    return Told(file, line, "", "", f"{error.reason} at byte {error.start} ({error.encoding})", "save it as UTF-8")


def scalar(tag: str, text: str) -> Any:
    """Return what kubectl makes of a scalar; what looks like a number and is none is a text."""
    match tag:
        case "null":
            return None
        case "boolean":
            return text[:1] in {*"yYtT"} or text.lower() == "on"
        case "number":
            digits = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
            try:
                number = int(digits, 0) if re.match("[-+]?0[xbo]", digits) else float(digits)
            except ValueError:
                return text
            return text if isinstance(number, int) and number.bit_length() > LONGEST_NUMBER else number
    return text


def located(node: yaml.Node, path: Sequence[str | int]) -> tuple[int, yaml.Node | None]:
    """Return the line of the deepest node on the path that is there, and the node if it is the path's last."""
    line = node.start_mark.line + 1
    for part in path:
        if isinstance(part, int) and isinstance(node, yaml.SequenceNode):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        pair = next((each for each in reversed(pairs) if each[0].value == part), None)
        if pair is None:
            return line, None
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line, node


def documents(
    file: str, text: str, read: Callable[[yaml.Node], Iterable[T]], loader: type[Loader] = Loader
) -> tuple[list[T], list[Told]]:
    """Return what is read of each document of a file, and what keeps the rest from being read."""
    found: list[T] = []
    line, what, mend = 1, "", "correct the YAML"
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML not
    try:
        for node in yaml.compose_all(text, loader):
            if node.tag != "null":
                found += read(node)
    except yaml.MarkedYAMLError as error:
        mark, what = error.problem_mark or error.context_mark, str(error.problem or error.context)
        line = mark.line + 1 if mark else 1
        if r"\t" in what:
            mend = "indent with spaces, not tabs"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what, mend = f"the character #x{error.character:x}", "write it as an escape, or not at all"
    except RecursionError:
        what = "nested too deeply, or an alias of itself"
    return found, [Told(file, line, "", "", what, mend)] if what else []
