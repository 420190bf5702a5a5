"""Waiting for what happens elsewhere, in another thread or process: never longer than so many seconds.

What happens on a clock that the test moves is not waited for but run: `Bench.run_until`. tests/unit/test_bounds.py
holds that no other loop of a test can go on for ever on a product that is broken.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SOON = 20.0  # what takes a moment, or two seconds; on a busy machine more
LOOKS_SECONDS = (0.002, 0.1)  # the first looks come quickly; a later one may be a call of kubectl's


def wait_for(happened: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until it has happened; fail after so many seconds and say what was expected."""
    deadline = time.monotonic() + seconds
    pause, longest = LOOKS_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(pause)
        pause = min(longest, 2 * pause)
