"""The ConfigMap for logs: AWS's own examples are taken, and one change of each rule is not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fluentbit import actions_for, against_rules


def conf(*lines_: str, indent: str = "    ") -> str:
    """Return a section: its heading, then its pairs."""
    return "\n".join([lines_[0], *(indent + each for each in lines_[1:])]) + "\n"


PARSED = conf("[FILTER]", "Name parser", "Match *", "Key_name log", "Parser crio")
KUBERNETES = conf("[FILTER]", "Name kubernetes", "Match kube.*", "Merge_Log On", "Buffer_Size 0")
CLOUDWATCH = conf(
    "[OUTPUT]", "Name cloudwatch_logs", "Match   kube.*", "region eu-west-1", "log_group_name my-logs",
    "log_stream_prefix a-", "log_retention_days 60", "auto_create_group true",
)  # fmt: skip
PARSER = conf("[PARSER]", "Name crio", "Format Regex", "Regex ^(?<time>[^ ]+) (?<log>.*)$", "Time_Key    time")
KINESIS, FIREHOSE = conf("[OUTPUT]", "NAME kinesis", "match *"), conf("[OUTPUT]", "name firehose", "MATCH *")
# The shapes of the examples of AWS's page on logs.
EXAMPLES: dict[str, dict[str, str]] = {
    "to CloudWatch, filtered and parsed": {
        "flb_log_cw": "false", "filters.conf": PARSED + KUBERNETES, "output.conf": CLOUDWATCH, "parsers.conf": PARSER
    },
    "to OpenSearch": {
        "output.conf": conf("[OUTPUT]", "Name  es", "Match *", "Host  a.example", "Port  443", "tls   On", indent="  ")
    },
    "to Firehose": {
        "output.conf": conf("[OUTPUT]", "Name  kinesis_firehose", "Match *", "delivery_stream a", indent=" ")
    },
    "the router's own log too": {
        "flb_log_cw": "true",
        "output.conf": conf("[OUTPUT]", "Name cloudwatch", "Match kube.*", "region eu-west-1", "log_group_name b"),
    },
    "several outputs, keys in any letters, comments": {
        "output.conf": f"# two\n{KINESIS}\n{FIREHOSE}"
    },
}  # fmt: skip
WHOLE = EXAMPLES["to CloudWatch, filtered and parsed"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_aws_are_taken(example: str) -> None:
    assert [*against_rules(EXAMPLES[example])] == []


# One change of a rule each, and what is said of it.
BROKEN: Mapping[str, tuple[dict[str, str], str]] = {
    "too long": ({"output.conf": CLOUDWATCH + "#" * 5300}, "characters"),
    "no output": ({"output.conf": ""}, "no [OUTPUT]"),
    "a filter among outputs": ({"output.conf": CLOUDWATCH + PARSED}, "is [FILTER]"),
    "an output among filters": ({"filters.conf": CLOUDWATCH}, "is [OUTPUT]"),
    "a section that is the router's": ({"output.conf": CLOUDWATCH + conf("[SERVICE]", "Flush 1")}, "is [SERVICE]"),
    "an input": ({"filters.conf": conf("[INPUT]", "Name tail")}, "is [INPUT]"),
    "a filter without a name": ({"filters.conf": PARSED.replace("Name parser", "Nome parser")}, "no Name"),
    "a filter without a match": ({"filters.conf": PARSED.replace("Match", "Mitch")}, "no Match"),
    "an output without a match": ({"output.conf": CLOUDWATCH.replace("Match", "Mitch")}, "no Match"),
    "a parser without a format": ({"parsers.conf": PARSER.replace("Format", "Farmat")}, "no Format"),
    "a parser without a name": ({"parsers.conf": PARSER.replace("Name", "Nome")}, "no Name"),
    "a variable": ({"output.conf": CLOUDWATCH.replace("eu-west-1", "${REGION}")}, "a variable"),
    "a filter that is none of them": ({"filters.conf": PARSED.replace("Name parser", "Name lua")}, "Name is lua"),
    "an output that is none of them": ({"output.conf": CLOUDWATCH.replace("cloudwatch_logs", "s3")}, "Name is s3"),
    "a pair further in": ({"output.conf": CLOUDWATCH.replace("    region", "      region")}, "pairs are not"),
    "a heading further in": ({"filters.conf": PARSED + "  " + KUBERNETES}, "sections are not indented alike"),
    "pairs no further in than the heading": ({"parsers.conf": PARSER.replace("    ", "")}, "not indented further"),
    "what Fargate sets": ({"filters.conf": KUBERNETES + "    Kube_URL https://x\n"}, "it sets kube_url"),
    "pairs before any section": ({"output.conf": "    Name es\n" + CLOUDWATCH}, "is []"),
}  # fmt: skip


@pytest.mark.parametrize("change", BROKEN)
def test_each_rule_of_aws_is_held_alone(change: str) -> None:
    data, what = BROKEN[change]
    found = [*against_rules(WHOLE | data)]
    assert what in " ".join(said_ for said_, _ in found)
    assert all(mend for _, mend in found)


def test_what_a_role_must_be_allowed_hangs_on_the_outputs() -> None:
    of = {name: actions_for(data) for name, data in EXAMPLES.items()}
    assert of["to OpenSearch"] == []
    assert of["to Firehose"] == ["firehose:PutRecordBatch"]
    assert {"logs:CreateLogGroup", "logs:PutRetentionPolicy"} <= {*of["to CloudWatch, filtered and parsed"]}
    assert "logs:CreateLogGroup" in of["the router's own log too"]
    by_another = "[OUTPUT]\n    Name kinesis\n    Match *\n    role_arn arn:aws:iam::123456789012:role/logs\n"
    assert actions_for({"output.conf": by_another}) == [], "which that other role must be"
    assert of["several outputs, keys in any letters, comments"] == ["kinesis:PutRecords", "firehose:PutRecordBatch"]
