"""The ConfigMap aws-logging, by which pods on Fargate write their logs: what of it Fargate does not take, by the
rules that AWS has written down, and what a role must be allowed for it.

The picture: its data -> `sections` of Fluent Bit's classic form -> `against_rules`, pairs of what is wrong and what
mends it; and `actions_for`.

Pure. What it is not: a parser of all that Fluent Bit takes, or a rule that AWS has not written down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

MOST_CHARACTERS = 5300
SECTIONS = {"filters.conf": "FILTER", "output.conf": "OUTPUT", "parsers.conf": "PARSER"}
REQUIRED = {"FILTER": ("name", "match"), "OUTPUT": ("name", "match"), "PARSER": ("name", "format")}
PLUGINS = {
    "FILTER": {"grep", "parser", "record_modifier", "rewrite_tag", "throttle", "nest", "modify", "kubernetes"},
    "OUTPUT": {"es", "firehose", "kinesis_firehose", "cloudwatch", "cloudwatch_logs", "kinesis"},
}
FARGATES_OWN = {"kube_url", "kube_ca_file", "kube_token_command", "kube_token_file"}  # of the filter kubernetes
HEADING, PAIR = re.compile(r"([ \t]*)\[([^\]]*)\][ \t]*"), re.compile(r"([ \t]*)(\S+)[ \t]*(.*)")


class Section(NamedTuple):
    """A section of a file: how far it is indented, its name, and its pairs with the indentation of each."""

    indent: str
    name: str
    pairs: list[tuple[str, str, str]]

    def value(self, key: str) -> str:
        return next((value for _, name, value in self.pairs if name == key), "")


def sections(conf: str) -> list[Section]:
    """Return the sections of a file; what stands before the first is one without a name."""
    found: list[Section] = []
    for line in conf.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if heading := HEADING.fullmatch(line):
            found.append(Section(heading[1], heading[2].strip().upper(), []))
        elif pair := PAIR.fullmatch(line):
            found = found or [Section("", "", [])]
            found[-1].pairs.append((pair[1], pair[2].lower(), pair[3].strip()))
    return found


def against_rules(data: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what AWS says that Fargate does not take in a ConfigMap for logs, and what mends it."""
    if (size := sum(map(len, data.values()))) > MOST_CHARACTERS:
        yield f"it has {size:,} characters", f"Take some out: {MOST_CHARACTERS:,} are the most"
    if not any(each.name == "OUTPUT" for each in sections(data.get("output.conf", ""))):
        yield "it has no [OUTPUT]", "Give output.conf one, or delete the ConfigMap"
    for key in SECTIONS:
        if "${" in data.get(key, ""):
            yield f"{key} has a variable (${{...}})", "Write its value"
        found = sections(data.get(key, ""))
        for number, each in enumerate(found, 1):
            for what, mend in wrong_section(each, key):
                yield f"{key}, section {number}: {what}", mend
        for what in uneven(found):
            yield f"{key}: {what}", "Indent all sections alike, and all pairs alike and further than these"


def wrong_section(section: Section, key: str) -> Iterator[tuple[str, str]]:
    if section.name != SECTIONS[key]:
        yield f"it is [{section.name}]", f"Put only [{SECTIONS[key]}] into {key}: other sections are not taken"
        return
    keys = {name for _, name, _ in section.pairs}
    for each in REQUIRED[section.name]:
        by_pattern = each == "match" and "match_regex" in keys  # of which AWS says nothing
        if each not in keys and not by_pattern:
            yield f"it has no {each.title()}", f"Give it {each.title()}"
    plugin, known = section.value("name").lower(), PLUGINS.get(section.name)
    if known and plugin and plugin not in known:
        yield f"Name is {plugin}", f"Take one of {', '.join(sorted(known))}"
    if plugin == "kubernetes" and section.name == "FILTER":
        for each in sorted(keys & FARGATES_OWN):
            yield f"it sets {each}", "Take it out: Fargate sets it itself"


def uneven(found: Sequence[Section]) -> Iterator[str]:
    headings = {each.indent for each in found}
    pairs = {indent for each in found for indent, _, _ in each.pairs}
    if len(headings) > 1:
        yield "its sections are not indented alike"
    if len(pairs) > 1:
        yield "its pairs are not indented alike"
    if pairs and headings and min(map(len, pairs)) <= max(map(len, headings)):
        yield "a pair is not indented further than its section"


TO_CLOUDWATCH = ("logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams")
ACTIONS = {
    "cloudwatch": TO_CLOUDWATCH, "cloudwatch_logs": TO_CLOUDWATCH, "firehose": ("firehose:PutRecordBatch",),
    "kinesis_firehose": ("firehose:PutRecordBatch",), "kinesis": ("kinesis:PutRecords",),
}  # fmt: skip
TRUE = {"true", "on", "yes", "1"}


def actions_for(data: Mapping[str, str]) -> list[str]:
    """Return what a pod's role must be allowed for the outputs; nothing for one that writes by a role of its own, and
    none of `es`, as that hangs on its domain, too.
    """
    found: list[str] = []
    for each in sections(data.get("output.conf", "")):
        if each.value("role_arn"):
            continue
        actions = ACTIONS.get(each.value("name").lower(), ())
        found += actions
        if actions == TO_CLOUDWATCH:
            found += ["logs:CreateLogGroup"] if each.value("auto_create_group").lower() in TRUE else []
            found += ["logs:PutRetentionPolicy"] if each.value("log_retention_days") else []
    if data.get("flb_log_cw", "").lower() in TRUE:
        found += [*TO_CLOUDWATCH, "logs:CreateLogGroup"]
    return [*dict.fromkeys(found)]
