"""What AWS's texts mean: words with `*` (any characters) and `?` (one character) as EKS's selectors
take them, messages without what differs in each and without pages of HTML; and what quantities and
times of Kubernetes say. And how a text of whomever is written where people read it, and how long
it may be.

Pure. What it is not: fnmatch, which also reads brackets.
"""

from __future__ import annotations

import codecs
import html
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

LONGEST_WORD = 63  # characters of a namespace's name and of a label's value


class Pattern(NamedTuple):
    """A pattern as the texts between its stars, and as all of their characters.

    `gaps`: bit i stands for a star before character i. `takes`: by character, the places that take it, as
    bits; `anything`: the places that take one that `takes` does not name.
    """

    runs: tuple[str, ...]
    text: str
    tail: str  # behind the last star, from the end on
    gaps: int
    takes: Mapping[str, int]
    anything: int


@lru_cache(maxsize=4096)  # a hundred profiles as large as EKS takes them
def _pattern(pattern: str) -> Pattern:
    runs = pattern.split("*")
    text = "".join(runs)
    gaps = sum({1 << end for end in accumulate(map(len, runs[:-1]))})  # a set: two stars are as good as one
    anything = sum(1 << place for place, character in enumerate(text) if character == "?")
    takes = dict.fromkeys(text, anything)
    for place, character in enumerate(text):
        takes[character] |= 1 << place
    return Pattern(tuple(runs), text, runs[-1][::-1], gaps, takes | {"?": (1 << len(text)) - 1}, anything)


def meet(one: str, other: str, longest: int = LONGEST_WORD) -> bool:
    """Say whether some word of at most so many characters matches both patterns."""
    seen = meet_at_a_glance(one, other, longest)
    return _meet(one, other, longest) if seen is None else seen


def meet_at_a_glance(one: str, other: str, longest: int = LONGEST_WORD) -> bool | None:
    """Say the same where it is to be seen at once, as with all that are not made to be hard; else None."""
    a, b = _pattern(one), _pattern(other)
    if not (_agree(a.runs[0], b.runs[0]) and _agree(a.tail, b.tail)):
        return False
    if not (a.gaps or b.gaps):
        return len(a.text) == len(b.text) <= longest
    # What stands between the stars of one can follow what stands between those of the other.
    return True if a.gaps and b.gaps and len(a.text) + len(b.text) <= longest else None


def _agree(one: str, other: str) -> bool:
    """Say whether two texts can be the beginning of one word."""
    if one.startswith(other) or other.startswith(one):
        return True
    return "?" in one + other and all(a == b or "?" in {a, b} for a, b in zip(one, other, strict=False))


def _meet(one: str, other: str, longest: int) -> bool:
    """Say it of any two patterns, in a few operations for each character of the shorter one.

    All ways to match both at once are gone side by side, as the bits of one number: in lane n, bit j is
    set if a word can hold what was taken of `short`, the first j characters of `long`, and n more that
    stand for a star of `long`. At the end of both such a word has n characters more than `long`.
    """
    short, long = sorted(map(_pattern, (one, other)), key=lambda each: len(each.text))
    end, spare = len(long.text), longest - len(long.text)
    if spare < 0:
        return False
    width = end + 2  # of a lane: j from 0 to `end`, and a bit that is borrowed from
    lanes = ((1 << width * (spare + 1)) - 1) // ((1 << width) - 1)  # bit 0 of each
    borrow = lanes << width - 1
    places = borrow - lanes  # all bits of each lane but that one
    stars = long.gaps * (lanes >> width)  # of all lanes but the last: it has no next one
    takes = {character: long.takes.get(character, long.anything) * lanes for character in {*short.text}}
    ways = 1  # nothing of either
    for number, run in enumerate(short.runs):
        if number:  # a star stands for any number of the long one's next characters
            ways = (ways | borrow - ways) & places  # of each lane its lowest bit, and all above
        for character in run:
            ways = (ways & takes[character]) << 1 | (ways & stars) << width
    return bool(ways & lanes << end)


def matches(word: str, pattern: str) -> bool:
    """Say whether a word of any length matches a pattern: each run between two stars at its first place."""
    if not re.search("[*?]", pattern):
        return word == pattern
    first, *others = (re.compile(re.escape(run).replace(r"\?", "."), re.DOTALL) for run in pattern.split("*"))
    if not others:
        return first.fullmatch(word) is not None
    end = len(word) - len(pattern.rpartition("*")[2])
    found = first.match(word)
    for run in others[:-1]:
        found = run.search(word, found.end()) if found else None
    return found is not None and found.end() <= end and others[-1].match(word, end) is not None


# Texts of whomever


def visible(text: str) -> str:
    """Return a text with all that has no shape escaped: ends of lines, controls, what turns the order of writing.

    So that no name, tag or answer can pass for another line, or for other words, in a log or on a terminal.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    code = ord(character)
    wide = f"\\U{code:08x}" if code > ord("\uffff") else f"\\u{code:04x}"
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, wide)


def visible_lines(text: str) -> str:
    """Return the same of a text that takes several lines, as a traceback does."""
    return "\n".join(map(visible, text.split("\n")))


BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decoded(raw: bytes) -> str:
    """Return the text of a file as kubectl reads it: by its byte order mark, as UTF-8 without one."""
    mark = next((mark for mark in BYTE_ORDER_MARKS if raw.startswith(mark)), b"")
    if not mark and b"\0" in raw[:2]:
        raise UnicodeDecodeError("utf-16", raw, 0, 2, "no byte order mark")
    return raw.removeprefix(mark).decode(BYTE_ORDER_MARKS.get(mark, "utf-8"))


def issuer_of(token: str) -> str:
    """Return by whom a token says to be issued, "" for one that is no JSON Web Token; that it is true nobody checks."""
    claims = "".join(token.split(".")[1:2])
    try:
        said = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except ValueError:
        return ""
    issuer = said.get("iss") if isinstance(said, dict) else ""
    return issuer if isinstance(issuer, str) else ""


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


def capital(text: str) -> str:
    """Return a text that begins a sentence; names of fields and ARNs stay as they are."""
    return f"{text[0].upper()}{text[1:]}" if text.startswith(("the ", "what ")) else text


def steady(text: str) -> str:
    """Return a text of AWS without what differs each time: ids of requests, sessions, moments; no page of HTML."""
    text = readable(text)
    for pattern, rest in PASSING:
        text = re.sub(pattern, rest, text, flags=re.IGNORECASE)
    return visible(" ".join(text.split()).strip(",; "))


# Where AWS and its library name a profile: in an address, an ARN, a sentence.
_PROFILE = r"(?i)(?P<before>\bfargate-profiles/|\bfargateprofile/[^/\s]+/|\bfargate profile )(?P<name>[\w-]+)"


def without_profiles(text: str, known: Callable[[str], bool]) -> str:
    """Return a text of AWS in which only profiles that are known stand by their names."""

    def told(found: re.Match[str]) -> str:
        return found[0] if known(found["name"]) else f"{found['before']}(one of others)"

    return re.sub(_PROFILE, told, text)


# Texts that are as long as somebody else wants them to be

LONGEST_MESSAGE = 2048  # bytes of UTF-8, for one condition
LONGEST_NOTE = 1024  # for one event, as the API server takes it
LONGEST_LIST = 1400  # that a list in it may take, so that what mends it has room behind
LONGEST_CONDITION = 500  # of a trust policy: the same, in an event too


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


def bracketed(words: Iterable[str]) -> str:
    return "[" + ", ".join(sorted(words)) + "]"


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


# Quantities and times of Kubernetes

QUANTITY = re.compile(r"\+?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([numkMGTPE]|[KMGTPE]i|[eE][-+]?\d{1,2})?", re.ASCII)
FACTORS = {"": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000)}
FACTORS |= {unit: Fraction(1000**power) for power, unit in enumerate("kMGTPE", 1)}
FACTORS |= {f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", 1)}


def quantity(value: object) -> Fraction | None:
    """Return what a quantity of Kubernetes says, 0 where there is none; None for what is none."""
    if value is None:
        return Fraction(0)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = QUANTITY.fullmatch(str(value))
    if not found:
        return None
    unit = found[2] or ""
    if unit not in FACTORS:
        return Fraction(Decimal(found[1] + unit))
    return Fraction(Decimal(found[1])) * FACTORS[unit]


CAPACITY = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)vCPU (\d{1,4}(?:\.\d{1,3})?)GB", re.ASCII)


def capacity(said: object) -> tuple[float, float] | None:
    """Return the vCPU and GiB of an annotation CapacityProvisioned; None for what Fargate does not have."""
    found = CAPACITY.fullmatch(said) if isinstance(said, str) else None
    vcpu, gib = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    fits = vcpu > 0 and gib > 0 and vcpu % 0.25 == 0 and gib % 0.5 == 0
    return (vcpu, gib) if fits else None


def moment(said: object) -> datetime | None:
    """Return the time that a text says, None for what is none; without a zone it is UTC's."""
    try:
        found = datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
