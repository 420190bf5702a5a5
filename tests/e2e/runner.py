"""`python controller.py` with what production has no flags for, set from variables before main is called.

    python -m tests.e2e.runner

E2E_SILENCE_SECONDS: of a watch, before it is given up. E2E_LOST_CREATE_SECONDS: for which an unanswered create may
still come true. E2E_SERVICE_ACCOUNT: the folder that a pod has its token in. E2E_TOKEN_SECONDS: for which a token that
was read is used. E2E_LOOK_SECONDS: between two looks at pods,
and for which a pod waits before it is evicted. E2E_FILE_SECONDS: between two looks at the clusters file.
E2E_TERM_SECONDS: for which facts are believed, and between the two looks at tags before a profile is replaced.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import clustersfile
import config
import controller
import evictions
import kube
import limits
import lookups
import podlooks


def main() -> int:
    """Set what is asked for and run the controller."""
    if seconds := os.environ.get("E2E_SILENCE_SECONDS"):
        _set(kube, "Kube", partial(kube.Kube, silence_seconds=float(seconds)))
    if seconds := os.environ.get("E2E_LOST_CREATE_SECONDS"):
        _set(config, "Settings", partial(limits.Settings, lost_create=timedelta(seconds=float(seconds))))
    if folder := os.environ.get("E2E_SERVICE_ACCOUNT"):
        _set(kube, "connect", partial(kube.connect, service_account=Path(folder)))
    if seconds := os.environ.get("E2E_TOKEN_SECONDS"):
        _set(kube, "_PodLoader", partial(_short_loader, kube._PodLoader, timedelta(seconds=float(seconds))))
    if seconds := os.environ.get("E2E_FILE_SECONDS"):
        _set(clustersfile, "LOOK_SECONDS", float(seconds))
    if seconds := os.environ.get("E2E_TERM_SECONDS"):
        for name in ("FACTS_SECONDS", "LOOKS_APART_SECONDS"):
            _set(lookups, name, float(seconds))
    if seconds := os.environ.get("E2E_LOOK_SECONDS"):
        for name in ("LEAST_SECONDS", "SETTLING_SECONDS", "STEP_SECONDS"):
            _set(podlooks, name, float(seconds))
        _set(evictions, "WAITS_SECONDS", float(seconds))
    return controller.main(sys.argv[1:], os.environ)


def _set(module: Any, name: str, value: Any) -> None:
    setattr(module, name, value)


def _short_loader(kind: Any, period: timedelta, *files: str) -> Any:
    loader = kind(*files)
    loader._token_refresh_period = period
    return loader


if __name__ == "__main__":
    sys.exit(main())
