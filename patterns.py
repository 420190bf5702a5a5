"""What AWS's texts mean: words with `*` (any characters) and `?` (one character) as EKS's selectors
take them, messages without what differs in each and without pages of HTML, trust policies. And how
texts are kept short.

Pure. What it is not: a match of a pattern with one word, which fnmatch does.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from typing import Any

LONGEST_WORD = 63  # characters of a namespace's name and of a label's value


def meet(one: str, other: str) -> bool:
    """Say whether some word of at most `LONGEST_WORD` characters matches both patterns."""
    # Most pairs differ before the first wildcard, and of hundreds of manifests each is held to each.
    a, b = _start(one), _start(other)
    return (a.startswith(b) or b.startswith(a)) and _meet(one, other)


@lru_cache(maxsize=4096)
def _start(pattern: str) -> str:
    return re.split("[*?]", pattern, maxsplit=1)[0]


@lru_cache(maxsize=4096)
def _meet(one: str, other: str) -> bool:

    @cache
    def shortest(i: int, j: int) -> float:
        """Return the length of the shortest word that matches both from these places on."""
        a, b = one[i : i + 1], other[j : j + 1]
        ways = []
        if not a and not b:
            ways.append(0.0)
        if a == "*":
            ways.append(shortest(i + 1, j))  # it stands for nothing more
            if b not in {"", "*"}:
                ways.append(1 + shortest(i, j + 1))  # it stands for the other's character
        if b == "*":
            ways.append(shortest(i, j + 1))
            if a not in {"", "*"}:
                ways.append(1 + shortest(i + 1, j))
        if a and b and "*" not in a + b and (a == b or "?" in a + b):
            ways.append(1 + shortest(i + 1, j + 1))
        return min(ways, default=float("inf"))

    return shortest(0, 0) <= LONGEST_WORD


# Texts of AWS

_ID = r"\b(extended |x-amzn?-)*(request|host|trace|correlation|reference)[ _-]?(id|token)\b[\"']?"
_JOINED = r"[,;.]?\s*(\b(with|and|for|the)\s+)*[\"']?"  # to what stands before an id
_SESSION = r"[\w+=,.@-]*[\w+=@-]"  # a comma or full stop at its end is the sentence's
_MOMENT = r"\b\d{8}T\d{6}Z|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:?\d\d)?"
# What is another one in each answer of the same meaning, and what is put in its place.
PASSING: tuple[tuple[str, str], ...] = (
    # "(Service: Eks, Status Code: 400, Request ID: ...) (SDK Attempt Count: 1)"
    (rf"\s*[(\[](?=[^()\[\]]*({_ID}|SDK attempt))[^()\[\]]*[)\]]", ""),
    (rf"{_JOINED}{_ID}(\s*[:=]\s*|\s+(?=\S*\d))[\"']?[\w+/=-]+[\"']?", ""),
    (r"\s*\bencoded authorization failure message:\s*\S+", ""),
    (rf"(?P<kept>:assumed-role/[^/\s]+)/{_SESSION}", r"\g<kept>"),
    (rf"\b(?P<kept>A[A-Z]{{2}}A[A-Z0-9]{{12,}}):{_SESSION}", r"\g<kept>"),  # a role's own id
    (_MOMENT, "(a moment)"),
    (r"(?<=date/time )\d{9,}", "(a moment)"),
    (r"\s+at 0x[0-9a-f]+", ""),  # where an object of Python's is
)


_PAGE = r"(?is)<(!doctype\s+html|html|head|body)\b.*>\s*"
_PAGE_CHARACTERS = 200  # of a page without a title


def readable(text: str) -> str:
    """Return a text with the title of a page of HTML in its place, as a proxy or load balancer answers.

    Of a page without a title, the beginning of its text.
    """
    return re.sub(_PAGE, lambda page: _title(page[0]), text)


def _title(page: str) -> str:
    titled = re.search(r"(?is)<title\b[^>]*>(.*?)</title\s*>?", page)
    words = titled[1] if titled else re.sub(r"(?is)<(style|script)\b.*?</\1\s*>?", " ", page)
    told = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", words)).split())
    if titled and not told:
        return _title(page.replace(titled[0], " "))
    told = told or "a page without words"
    return told if len(told) <= _PAGE_CHARACTERS else f"{told[:_PAGE_CHARACTERS]}..."


def steady(text: str) -> str:
    """Return a text of AWS without what differs each time: ids of requests, sessions, moments; no page of HTML."""
    text = readable(text)
    for pattern, rest in PASSING:
        text = re.sub(pattern, rest, text, flags=re.IGNORECASE)
    return " ".join(text.split()).strip(",; ")


# Texts that are as long as somebody else wants them to be

LONGEST_MESSAGE = 2048  # bytes of UTF-8, for one condition
LONGEST_NOTE = 1024  # for one event, as the API server takes it
LONGEST_LIST = 1400  # that a list in it may take, so that what mends it has room behind


def brief(text: str, most: int = LONGEST_MESSAGE) -> str:
    """Return a text of at most so many bytes, cut behind a sentence or else a word, with "..." for the rest."""
    raw = text.encode(errors="replace")
    if len(raw) <= most:
        return text
    head = raw[: most - len(" ...")].decode(errors="ignore")
    least = len(head) // 2  # what has no end behind the middle is cut where it is
    end = head.rfind(". ", least) + 1 or head.rfind(" ", least)
    return f"{head[:end] if end > 0 else head} ..."


def listed(parts: Sequence[str], joint: str = ", ", most: int = LONGEST_LIST) -> str:
    """Join parts; of more than so many bytes the first of them, and how many more there are. No part is cut but the
    first."""
    shown, size = [brief(each, most) for each in parts[:1]], len(joint.encode())
    size += sum(len(each.encode(errors="replace")) for each in shown)
    for each in parts[1:]:
        size += len((joint + each).encode(errors="replace"))
        if size > most:
            break
        shown.append(each)
    rest = len(parts) - len(shown)
    more = f"And {rest:,} more." if joint == " " else f"and {rest:,} more"
    return joint.join([*shown, more] if rest else shown)


# Trust policies of IAM


def lets_assume(document: Any, service: str) -> bool | None:
    """Say whether a statement of a trust policy lets a service assume the role; conditions are not judged.

    None where that can't be said from here: a check is never stricter than AWS itself.
    """
    if not isinstance(document, dict):
        return None
    statements = [each for each in _many(document.get("Statement")) if isinstance(each, dict)]
    allowing = [each for each in statements if each.get("Effect") == "Allow"]
    if any({"NotAction", "NotPrincipal"} & each.keys() for each in allowing):
        return None
    named = [_services(each.get("Principal")) for each in allowing if _assumes(each.get("Action"))]
    if any(service in services for services in named):
        return True
    return None if any("*" in services for services in named) else False


def _assumes(actions: Any) -> bool:
    """Say whether sts:AssumeRole is among the actions; IAM takes them in any case and with * and ?."""
    return any(fnmatchcase("sts:assumerole", str(each).lower()) for each in _many(actions))


def _services(principal: Any) -> set[str]:
    if principal == "*":
        return {"*"}
    named = principal if isinstance(principal, dict) else {}
    services = {str(each).lower() for each in _many(named.get("Service"))}
    return services | ({"*"} if "*" in _many(named.get("AWS")) else set())


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
