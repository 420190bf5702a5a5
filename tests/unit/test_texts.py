"""AWS's texts without what is another one in each answer: what is compared, shown in status and told by events.

And texts of whomever, in which nothing may pass for a line, or for words, that it is not.
"""

from __future__ import annotations

import itertools
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import Phase, Report
from config import JsonLines, Lines
from patterns import readable, steady, visible
from spec import OWNER_KEY
from status import conditions, event_of
from tests.fakes.aws import Answer, Fault, error
from tests.harness import Bench, bench
from tests.unit.test_plan import NOW, who

FOUR_HOURS = 4 * 3600.0
ID = "8f6c1e9c-1f0b-4f3e-9d58-0a1b2c3d4e5f"
ROLE = "arn:aws:sts::123456789012:assumed-role/fargate-operator"
DENIED = "is not authorized to perform: {} on resource: {} because no identity-based policy allows the {} action"
EKS = DENIED.format(*("eks:CreateFargateProfile", "arn:aws:eks:us-east-1:123456789012:cluster/demo"), "it")
IAM = DENIED.format("iam:GetRole", "role pods", "iam:GetRole")
NAMED = "Misconfigured PodExecutionRole Trust Policy; Please add the eks-fargate-pods.amazonaws.com Service Principal"
TAKEN = "A Fargate Profile already exists with this name in this cluster."

# What AWS says, and what is left of it.
TEXTS = {
    "an SDK's tail, version 1": (
        f"{NAMED} (Service: AmazonEKS; Status Code: 400; Error Code: InvalidParameterException; Request ID: {ID};"
        " Proxy: null)",
        NAMED,
    ),
    "an SDK's tail, version 2": (
        f"Role is not assumable (Service: Sts, Status Code: 403, Request ID: {ID}, Extended Request ID: null)"
        " (SDK Attempt Count: 3)",
        "Role is not assumable",
    ),
    "CloudFormation's tail": (f"{TAKEN} (RequestToken: {ID}, HandlerErrorCode: AlreadyExists)", TAKEN),
    "Go's SDK, version 2": (
        f"operation error EKS: CreateFargateProfile, https response error StatusCode: 409, RequestID: {ID}, api error"
        f" ResourceInUseException: {TAKEN}",
        "operation error EKS: CreateFargateProfile, https response error StatusCode: 409, api error"
        f" ResourceInUseException: {TAKEN}",
    ),
    "Go's SDK, version 1": (
        f"AccessDenied: not today\n\tstatus code: 403, request id: {ID}",
        "AccessDenied: not today status code: 403",
    ),
    "a sentence": (f"Internal failure with request id {ID}.", "Internal failure."),
    "two sentences": (
        f"An internal error occurred. Request ID: {ID}. Try again.",
        "An internal error occurred. Try again.",
    ),
    "in front": (f"RequestID: {ID}, it failed", "it failed"),
    "in brackets": (f"It failed [request-id={ID}]", "It failed"),
    "in JSON": (f'{{"message":"it failed","requestId":"{ID}"}}', '{"message":"it failed"}'),
    "an id of EC2's or S3's": (
        "Slow down; HostId: Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==",
        "Slow down",
    ),
    "a header": ("Forbidden, x-amzn-RequestId: J3PR5N0LKVQ6EXAMPLE", "Forbidden"),
    "EKS names the session": (f"User: {ROLE}/botocore-session-1732500000 {EKS}", f"User: {ROLE} {EKS}"),
    "IAM names the session": (
        f"User: {ROLE}/eks-demo-fargate-op-4cd93e6a-0d4f {IAM}",
        f"User: {ROLE} {IAM}",
    ),
    "a session with a mail address": (
        f"{ROLE}/jane.doe@example.com, or another, is not authorized",
        f"{ROLE}, or another, is not authorized",
    ),
    "a session by the role's id": (
        "User AROAJQABLZS4A3QDU576Q:i-0d9daf0baeff2d308 is not authorized",
        "User AROAJQABLZS4A3QDU576Q is not authorized",
    ),
    "EC2's encoded message": (
        "You are not authorized to perform this operation. Encoded authorization failure message: Kqrv7rqm0Iuv-30uKG_x",
        "You are not authorized to perform this operation.",
    ),
    "EC2's encoded message behind the reason": (
        f"You are not authorized to perform this operation. User: {ROLE}/a {IAM}. Encoded authorization failure"
        " message: Kqrv7rqm0Iuv",
        f"You are not authorized to perform this operation. User: {ROLE} {IAM}.",
    ),
    "a clock that is wrong": (
        "Signature expired: 20261125T101112Z is now earlier than 20261125T101612Z (20261125T102112Z - 5 min.)",
        "Signature expired: (a moment) is now earlier than (a moment) ((a moment) - 5 min.)",
    ),
    "a request that is late": (
        "Request has expired. Timestamp date: 2026-11-25T10:04:57Z",
        "Request has expired. Timestamp date: (a moment)",
    ),
    "a token that has expired": (
        "Token expired: current date/time 1764065097 must be before the expiration date/time 1764061497",
        "Token expired: current date/time (a moment) must be before the expiration date/time (a moment)",
    ),
    "a connection of botocore's": (
        "<botocore.awsrequest.AWSHTTPSConnection object at 0x7f3c2a1b>: Failed to establish a new connection",
        "<botocore.awsrequest.AWSHTTPSConnection object>: Failed to establish a new connection",
    ),
}
PAGE = "<html><head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center><hr>nginx</body></html>\r\n"
# What stands between us and AWS answers, and what is left of it.
PAGES = {
    "nginx": (PAGE.format("503 Service Unavailable"), "503 Service Unavailable"),
    "a load balancer": (PAGE.format("502 Bad Gateway").upper(), "502 BAD GATEWAY"),
    "a proxy": (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">\n'
        "<HTML><HEAD><META HTTP-EQUIV=a><TITLE>ERROR: The request &amp; URL\n could not be retrieved</TITLE></HEAD>",
        "ERROR: The request & URL could not be retrieved",
    ),
    "without a title": (
        "<body><style>a {b: c}</style><script>if (1 < 2) {}</script><h1>Blocked</h1><p>by <b>policy</b> 7</p></body>",
        "Blocked by policy 7",
    ),
    "with an empty title": ("<html><title> </title><body>Blocked</body></html>", "Blocked"),
    "without a title, long": (f"<html>{'blocked ' * 100}</html>", f"{'blocked ' * 25}..."),
    "without a word": ("<html><body><img src=a></body></html>", "a page without words"),
    "cut off": ("<html><head><title>504 Gateway Time-out</title></head><body><h", "504 Gateway Time-out<h"),
}


@pytest.mark.parametrize(("page", "left"), PAGES.values(), ids=PAGES)
def test_of_a_page_of_html_its_title_is_left_and_what_stands_around_it(page: str, left: str) -> None:
    text = f"ListFargateProfiles answered 503: {page}. It is tried again by itself."
    cut = f"ListFargateProfiles answered 503: {left}. It is tried again by itself."
    assert readable(text) == cut
    assert steady(text) == " ".join(cut.split())


def test_a_proxy_s_page_is_shown_and_logged_by_its_title(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Botocore itself takes those of 5xx for no answer that start with <html>, and shows all others whole."""
    page = PAGE.format("403 Forbidden").upper().encode()

    def respond(_service: str, _answer: Answer) -> Answer:
        return 403, {"Content-Type": "text/html"}, page

    b.manners.fail("ListFargateProfiles", Fault("page", respond=respond), times=1000)
    b.queue.add(("", "demo"))
    b.apply()
    b.run(30)
    assert b.message().startswith("ListFargateProfiles answered 403: 403 FORBIDDEN. That is no answer of AWS: ")
    assert "answered 403: 403 FORBIDDEN. That" in caplog.text and "<" not in caplog.text


SAME_EACH_TIME = (
    NAMED,
    TAKEN,
    "Cannot create Fargate Profile web because cluster demo currently has Fargate profile db in status CREATING",
    "The security token included in the request is invalid.",
    "User: arn:aws:iam::123456789012:user/jane is not authorized to perform: sts:AssumeRole on resource: x",
    f"No such profile: arn:aws:eks:us-east-1:123456789012:fargateprofile/demo/web/{ID}",
    "Subnet subnet-0123456789abcdef0 (us-east-1a, 10.0.0.0/24) is public",
    "Request is missing a token; the request ID is not known",
    "The role arn:aws:iam::123456789012:role/fargate-pods can't be passed.",
)


@pytest.mark.parametrize(("text", "left"), TEXTS.values(), ids=TEXTS)
def test_what_differs_from_answer_to_answer_is_left_out(text: str, left: str) -> None:
    assert steady(text) == left
    assert steady(left) == left


@pytest.mark.parametrize("text", SAME_EACH_TIME)
def test_what_is_the_same_each_time_stays(text: str) -> None:
    assert steady(text) == text


@given(st.uuids(), st.uuids(), st.sampled_from([text for text, _ in TEXTS.values() if ID in text]))
def test_two_answers_that_differ_in_ids_alone_are_one_text(first: Any, second: Any, text: str) -> None:
    assert steady(text.replace(ID, str(first))) == steady(text.replace(ID, str(second)))


def refused_for_hours(b: Bench, same: bool) -> tuple[list[str], int]:
    """Let every create be refused, with a request id and a session of its own each time unless they are the `same`.

    Returns the reasons of the events, and how often status was written.
    """
    count = itertools.count()

    def respond(service: str, answer: Answer) -> Answer:
        number = 7 if same else next(count)
        text = f"User: {ROLE}/botocore-session-{number} {EKS} (Service: Eks, Request ID: {number:08x}-0000)"
        return error("AccessDeniedException", 403, text).respond(service, answer)

    b.manners.fail("CreateFargateProfile", Fault("AccessDeniedException", respond=respond), times=10**6)
    b.apply()
    b.run(FOUR_HOURS)
    return b.events("Warning"), sum(each.path.endswith("/status") for each in b.api.writes())


def test_four_hours_of_the_same_refusal_are_one_event_whatever_its_ids(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), bench() as b:
        warnings, writes = refused_for_hours(b, same=False)
        assert b.reason() == "AccessDenied"
        assert f"User: {ROLE} is not authorized to perform: eks:CreateFargateProfile" in b.message()
        assert b.manners.count("CreateFargateProfile") > 20
    assert len(warnings) == 1
    assert "botocore-session-9" in caplog.text and "Request ID: 00000009" in caplog.text
    with bench() as b:
        assert (warnings, writes) == refused_for_hours(b, same=True)


def test_what_eks_says_of_a_profile_s_health_is_shown_without_ids(b: Bench) -> None:
    issue = {"code": "AccessDenied", "message": f"Not you (Service: Ec2, Request ID: {ID})", "resourceIds": []}
    b.manners.fail_create("web", issue, times=1)
    b.apply()
    b.run(65)
    assert b.reason() == "CreateFailed"
    assert "AccessDenied: Not you" in b.message() and ID not in str(b.get())


# Texts of whomever

BIDI = "\u061c\u200e\u200f" + "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
CONTROLS = "".join(map(chr, [*range(32), *range(0x7F, 0xA0)]))
SHAPELESS = f"{CONTROLS}\u2028\u2029{BIDI}\u200b\ufeff\U000e0041\ud800"
texts = st.text(st.sampled_from(SHAPELESS) | st.characters(), max_size=30)


def is_seen(text: str) -> bool:
    return text.isprintable() and not {*text} & {*SHAPELESS} and len(text.splitlines()) <= 1


@given(texts)
def test_nothing_without_a_shape_is_left_in_a_text_that_people_read(text: str) -> None:
    assert is_seen(visible(text))
    assert visible(visible(text)) == visible(text)
    assert is_seen(steady(text))


@given(st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=30))
def test_letters_of_every_writing_stay_as_they_are(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\x85\x9b31m\x1b[0m\x7f", r"\u0085\u009b31m\u001b[0m\u007f"),
        ("role\u202etxt.exe", r"role\u202etxt.exe"),
        ("\U000e0041", r"\U000e0041"),
        ("Fürth \u2013 東京 'it' \\n", "Fürth \u2013 東京 'it' \\n"),
    ],
)
def test_what_has_no_shape_is_written_as_its_number(text: str, seen: str) -> None:
    assert visible(text) == seen


FORMS = {"text": Lines("%(levelname)s %(message)s"), "json": JsonLines()}


@pytest.mark.parametrize("form", FORMS)
@given(text=texts, fields=st.booleans())
def test_a_line_of_the_log_is_one_line_to_every_reader(form: str, text: str, fields: bool) -> None:
    record = logging.LogRecord("fargate", logging.INFO, "x.py", 1, "said %s", (text,), None)
    if fields:
        record.msg, record.args = 'done message="%(message)s"', {"message": text}
    line = FORMS[form].format(record)
    assert is_seen(line)
    if form == "json":
        assert all(is_seen(value) for value in json.loads(line).values())
        assert not fields or json.loads(line)["message"] == visible(text)


@pytest.mark.parametrize("form", FORMS)
def test_a_traceback_has_no_lines_but_its_own(form: str) -> None:
    boom = ValueError("a\u2028\x1b[2Kb")
    record = logging.LogRecord("fargate", logging.ERROR, "x.py", 1, "a bug", (), (type(boom), boom, None))
    line = FORMS[form].format(record)
    told = json.loads(line)["traceback"] if form == "json" else line
    assert told.endswith(r"ValueError: a\u2028\u001b[2Kb")


@given(texts)
def test_a_condition_shows_what_a_message_is_made_of(text: str) -> None:
    report = Report(Phase.STALLED, "NameTaken", text)
    new = conditions([], who(), report, {}, NOW)
    assert all(is_seen(each["message"]) for each in new)
    assert event_of(report, new, conditions(new, who(), report, {}, NOW)) is None, "it is the same the next time"


HOSTILE = "made\u202eby\u2028us"


def test_a_tag_of_somebody_else_s_profile_is_escaped_in_every_condition_event_and_line(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    selectors, tags = [{"namespace": "web"}], {OWNER_KEY: f"shop/{HOSTILE}"}
    for name in ("web", "other"):
        b.world.add_profile("demo", name, b.world.roles["good"], selectors, list(b.world.private_subnets), tags=tags)
    b.apply("web")
    b.apply("mine", selectors=selectors)
    with caplog.at_level(logging.INFO):
        b.run(90)
    assert b.reason("web") == "NameTaken" and b.ready("mine")
    told = [b.message("web"), b.condition("Overlapping", "mine")["message"], *b.notes("Warning")]
    assert all(is_seen(each) and visible(HOSTILE) in each for each in told), told
    before = len(b.notes())
    b.run(1300)
    assert len(b.notes()) == before, "it is not news in the next pass"
    assert all(is_seen(form.format(record)) for form in FORMS.values() for record in caplog.records)
