"""What may be relied on in the log: a line an action and an error, in either format, and no secret in any of them."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest

from config import JsonLines, Lines
from tests.fakes.apiserver import ApiServer, serve
from tests.fakes.aws import error
from tests.harness import Bench, bench
from tests.unit.test_process import apply, controller

SECRETS = ("AKIASECRETID", "aws-secret-key", "aws-session-token", "kube-bearer-token")


def life(form: logging.Formatter) -> list[str]:
    """Let a controller make, tag, refuse and delete, and meet errors of AWS, of Kubernetes and of its own."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form)
    logger = logging.getLogger("fargate")
    logger.addHandler(handler)
    level, logger.level = logger.level, logging.INFO
    try:
        with bench() as b:
            live(b)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return stream.getvalue().splitlines()


def live(b: Bench) -> None:
    b.apply()
    b.apply("bad", podExecutionRoleArn=b.world.roles["no-trust"])
    b.manners.fail("ListFargateProfiles", error("ServerException", 500, 'a "quoted"\nmessage'))
    b.api.fail("PATCH", "fargateprofiles/web", "drop")
    b.run(200)
    b.edit(tags={"a\nb": "c"})
    b.run(60)
    b.delete()
    b.run(200)


@pytest.fixture(scope="module")
def json_lines() -> list[dict[str, object]]:
    return [json.loads(line) for line in life(JsonLines())]


def test_every_json_line_parses_and_says_when_where_and_how_bad(json_lines: list[dict[str, object]]) -> None:
    assert len(json_lines) > 8
    for line in json_lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", str(line["time"]))
        assert line["level"] in {"info", "warning", "error"}
        assert str(line["logger"]).startswith("fargate")
        assert line["message"]


def test_a_json_line_of_an_action_or_an_error_has_its_fields_each_on_its_own(
    json_lines: list[dict[str, object]],
) -> None:
    done = [line for line in json_lines if line.get("event") == "done"]
    wanted = ["Creating", "Created", "Tagged", "Deleting", "Deleted"]
    assert [line["reason"] for line in done if line["object"] == "default/web" and line["reason"] in wanted] == wanted
    for line in done:
        assert {"object", "cluster", "profile", "reason", "message"} <= line.keys()
    failed = [line for line in json_lines if line.get("event") == "failed"]
    assert {line.get("reason") for line in failed} >= {"AwsUnavailable", None}
    assert any(line["level"] == "warning" and line["object"] == "default/bad" for line in done)


def test_each_action_and_each_error_is_one_line_of_text_too(json_lines: list[dict[str, object]]) -> None:
    lines = life(Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    assert len(lines) == len(json_lines)
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING) fargate", line) for line in lines)
    assert sum("done action=Tagged" in line and r"a\nb" in line for line in lines) == 1


def test_no_quote_within_a_message_ends_it_before_its_line_does() -> None:
    said = [line.partition(' message="')[2] for line in life(Lines("%(message)s")) if ' message="' in line]
    assert any(r"a \"quoted\"\nmessage" in message for message in said)
    assert all(re.fullmatch(r'(?:[^"\\]|\\.)*"', message) for message in said)


def test_a_bug_is_logged_with_its_traceback_in_one_json_line() -> None:
    boom = ZeroDivisionError("boom")
    record = logging.LogRecord("fargate", logging.ERROR, "x.py", 1, "a bug", (), (type(boom), boom, None))
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "ZeroDivisionError: boom" in json.loads(text)["traceback"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_ever_logged_not_even_at_debug(tmp_path: Path, form: str) -> None:
    """Let everything fail that has a secret in its request: the API server, AWS, and both for a while."""
    api = ApiServer()
    apply(api)
    identity, key, session, token = SECRETS
    variables = {
        "AWS_ACCESS_KEY_ID": identity,
        "AWS_SECRET_ACCESS_KEY": key,
        "AWS_SESSION_TOKEN": session,
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": form,
    }
    api.fail("*", "fargateprofiles", 401)
    api.fail("*", "leases", 403, times=2)
    with serve(api) as server, controller(tmp_path, server.url, server.url, token=token, **variables) as running:
        # the API server stands where AWS would, and answers what no AWS would
        running.wait_says("tried again")
        running.wait_says("AwsUnreachable")
        running.process.terminate()
        running.ends()
    said = running.log.read_text()
    assert "Traceback" not in said
    assert len(said.splitlines()) > 3
    assert [secret for secret in SECRETS if secret in said] == []
    if form == "json":
        assert all(json.loads(line)["message"] for line in said.splitlines())


def test_the_log_level_is_kept(tmp_path: Path) -> None:
    api = ApiServer()
    with serve(api) as server, controller(tmp_path, server.url, LOG_LEVEL="error") as running:
        running.wait_watches(api)
        running.wait_for(lambda: api.get("leases", "default", "fargate-operator"), "it has taken the Lease")
        running.process.terminate()
        running.ends()
    assert running.log.read_text() == ""


@pytest.mark.parametrize("form", [JsonLines(), Lines("%(message)s")])
def test_a_field_of_the_log_is_never_longer_than_4096_characters_and_says_how_long_it_was(
    form: logging.Formatter,
) -> None:
    text = "x" * 212_000
    for message, args in (('failed object=%(object)s message="%(message)s"', ({"object": "a/b", "message": text},)),
                          ("the API server failed: %s", (text,))):  # fmt: skip
        record = logging.LogRecord("fargate", logging.WARNING, "", 1, message, args, None)
        line = form.format(record)
        assert len(line) < 9000
        assert f"{'x' * 100}... (212000 characters)" in line or f"{'x' * 100}... (212023 characters)" in line
