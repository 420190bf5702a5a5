"""Label and field selectors as the API server reads them (apimachinery: labels/selector.go, fields/selector.go).

What they mean for an object: its labels, and of its fields those that its kind can be selected by. What is no selector,
or names another field, is a `SelectorError` in the server's words; values with escapes in them are not understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Texts = Mapping[str, str]
Test = Callable[[Texts], bool]

KEY = r"[\w./-]+"
LABEL_TERM = re.compile(
    rf"!(?P<absent>{KEY})"
    rf"|(?P<key>{KEY})(?:\s*(?P<sign>==?|!=)\s*(?P<value>[\w.-]*)|\s+(?P<among>in|notin)\s*\((?P<values>[^()]*)\))?"
)
COMMA = re.compile(r",(?![^(]*\))")  # none between parentheses
FIELD_TERM = re.compile(r"(?P<key>[\w.]+)(?P<sign>!=|==?)(?P<value>[^=,\\]*)")
OF_ALL = ("metadata.name", "metadata.namespace")
OF_KIND = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase",
        "status.podIP", "status.nominatedNodeName",
    ),
    "Event": ("reason", "type", *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid"))),
}  # fmt: skip


class SelectorError(ValueError):
    """What the server answers with 400."""


def selects(kind: str, labels: str, fields: str) -> Callable[[dict[str, Any]], bool]:
    """Return whether an object of this kind has these labels and fields."""
    wanted, asked = _labels(labels), _fields(kind, fields)

    def shows(obj: dict[str, Any]) -> bool:
        own: Texts = obj["metadata"].get("labels") or {}
        return all(test(own) for test in wanted) and all(_field(obj, key) in values for key, values in asked)

    return shows


class _Other:
    """All texts but one."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __contains__(self, text: object) -> bool:
        return text != self._text


def _fields(kind: str, selector: str) -> list[tuple[str, tuple[str] | _Other]]:
    known, terms = {*OF_ALL, *OF_KIND.get(kind, ())}, []
    for text in filter(None, selector.split(",")):
        if not (term := FIELD_TERM.fullmatch(text)):
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{text}'")
        if term["key"] not in known:
            raise SelectorError(f"field label not supported: {term['key']}")
        value = term["value"]
        terms.append((term["key"], _Other(value) if term["sign"] == "!=" else (value,)))
    return terms


def _field(obj: dict[str, Any], path: str) -> str:
    value: Any = obj
    for name in path.split("."):
        value = (value or {}).get(name)
    return str(value or "")


def _labels(selector: str) -> list[Test]:
    terms = [text.strip() for text in COMMA.split(selector)] if selector.strip() else []
    return [_label(text) for text in terms]


def _label(text: str) -> Test:
    term = LABEL_TERM.fullmatch(text)
    if not term:
        raise SelectorError(f"unable to parse requirement: {text}")
    key = term["absent"] or term["key"]
    if term["absent"]:
        return lambda own: key not in own
    if not (term["sign"] or term["among"]):
        return lambda own: key in own
    values = {each.strip() for each in term["values"].split(",")} if term["among"] else {term["value"]}
    if term["among"] == "notin" or term["sign"] == "!=":
        return lambda own: own.get(key) not in values  # also what has no such label
    return lambda own: own.get(key) in values
