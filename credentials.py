"""The AWS credentials that are at hand, and when they are fetched anew: our own, or those of a role.

What it is not: where they come from (aws), whose are needed (sites), or a thread, which is the controller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import aws
from answers import AwsError, Retryable

# What is good when a create is about to be marked is good for the create, 5 s later at most.
READY_SECONDS, SIGN_SECONDS = 60.0, 30.0
RENEW_SECONDS = 900.0  # before the end; at half of the life of what lives shorter
STATIC_SECONDS = 300.0  # what has no end is read again: somebody may have written the file anew
AGAIN_SECONDS = (1.0, 60.0)  # after a failure, doubled each time
NOT_YET = "AWS credentials are being fetched. If it lasts, check the way to their source (STS, a Pod Identity agent)."
BUG = "AWS credentials can't be fetched, which is a bug of the operator. Report what its log says of it."
AGED = "The AWS credentials that there are have ended. Renew them at their source, and check the clock of the node."


class Credentials:
    """Hands out what is there, or raises at once.

    One thread calls `step`, which fetches: ahead of time, so that no worker ever waits for STS or a
    command, and once for all of them. A renewal that fails is remembered (`failure`), and told once
    what is there is no longer good for use.
    """

    def __init__(self, fetch: Callable[[], aws.Keys], now: Callable[[], float] = time.time) -> None:
        self._fetch, self._now = fetch, now
        self._keys: aws.Keys | None = None
        self.failure: AwsError | None = None
        self._renew_at = self._wait = 0.0

    def step(self) -> float:
        """Fetch if that is due or has failed; return the seconds to the next step: few, as clocks are set."""
        least, most = AGAIN_SECONDS
        if self.is_due:
            broken: AwsError | None = Retryable("NoCredentials", BUG)  # should the source raise anything else
            try:
                self._take(self._fetch())
                broken = None
            except AwsError as error:
                broken = error
            finally:
                if broken:
                    self.failure, self._wait = broken, min(most, max(least, 2 * self._wait))
            if broken:
                return self._wait
        return min(most, max(least, self._renew_at - self._now()))

    @property
    def is_new(self) -> bool:
        """They were never there, and it is not known yet whether they can be."""
        return self._keys is None and self.failure is None

    @property
    def is_due(self) -> bool:
        """They are to be fetched now."""
        return self.failure is not None or self._now() >= self._renew_at

    def good_for(self, seconds: float = READY_SECONDS) -> aws.Keys | None:
        """Return what is there if it is good for so long."""
        keys = self._keys
        return keys if keys and (keys.ends is None or keys.ends - self._now() >= seconds) else None

    def ready(self) -> None:
        """Raise where nothing is there that is good for `READY_SECONDS`."""
        self.get_frozen_credentials(READY_SECONDS)

    def get_frozen_credentials(self, seconds: float = SIGN_SECONDS) -> Any:
        """Return what signs this request; botocore asks in the worker's thread."""
        if keys := self.good_for(seconds):
            return keys.frozen
        failure = self.failure or Retryable("CredentialsExpired" if self._keys else "NoCredentials", NOT_YET)
        raise type(failure)(failure.reason, str(failure))  # a new one, as many threads raise it

    def _take(self, keys: aws.Keys) -> None:
        now = self._now()
        left = 2 * STATIC_SECONDS if keys.ends is None else keys.ends - now
        if left < READY_SECONDS:
            raise Retryable("CredentialsExpired", AGED)
        self._keys, self.failure, self._wait = keys, None, 0.0
        self._renew_at = now + min(max(left - RENEW_SECONDS, left / 2), left - READY_SECONDS)
