"""Remove from a folder of installed packages what the controller never uses: python .ci/prune.py FOLDER.

For the image. It keeps botocore's descriptions of the four AWS services that we call, and the half of the
kubernetes client that is not asyncio. A package that it does not know ends it: whoever adds one says here whether
the image needs it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

SERVICES = {"eks", "ec2", "iam", "sts"}
# What belongs to no service: endpoints, partitions, retries, defaults.
COMMON = {"endpoints.json", "partitions.json", "_retry.json", "sdk-default-configuration.json"}
NEEDED = {
    "_yaml", "annotated_types", "boto3", "botocore", "certifi", "charset_normalizer", "dateutil", "durationpy", "idna",
    "jmespath", "kubernetes", "oauthlib", "prometheus_client", "pydantic", "pydantic_core", "requests",
    "requests_oauthlib", "s3transfer", "six", "typing_extensions", "typing_inspection", "urllib3", "websocket", "yaml",
}  # fmt: skip
# The aiohttp family, which only kubernetes/aio imports, the commands of packages, and pip's leftovers.
UNUSED = {
    "aiohappyeyeballs", "aiohttp", "aiohttp_retry", "aiosignal", "attr", "attrs", "bin", "frozenlist", "multidict",
    "propcache", "share", "yarl",
}  # fmt: skip
UNUSED_INSIDE = ("kubernetes/aio", "boto3/examples", "boto3/data")
TESTS = {"__pycache__", "test", "tests"}


def prune(folder: Path) -> None:
    """Remove what is not needed; raise ValueError, nothing removed, if something in the folder is unknown."""
    top = {path: path.name.removesuffix(".py").partition(".")[0] for path in folder.iterdir()}
    top = {path: name for path, name in top.items() if path.suffix != ".dist-info"}
    unknown = sorted(set(top.values()) - NEEDED - UNUSED - TESTS)
    if unknown:
        raise ValueError(f"not known to {Path(__file__).name}, neither as needed nor as unused: {', '.join(unknown)}")
    for path, name in top.items():
        if name not in NEEDED:
            remove(path)
    for inside in UNUSED_INSIDE:
        remove(folder / inside)
    for path in (folder / "botocore" / "data").iterdir():
        if path.name not in SERVICES | COMMON:
            remove(path)
    for path in sorted(folder.rglob("*")):
        if path.name in TESTS and path.is_dir():
            remove(path)
    for path in folder.glob("*.dist-info"):
        remove_record(path)


def remove_record(info: Path) -> None:
    """Keep of a package's metadata what importlib.metadata and licences need; the list of files is no longer true."""
    name = info.name.partition("-")[0].lower()
    known = {each.lower() for each in UNUSED}
    if name in known:
        remove(info)
        return
    for leftover in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
        remove(info / leftover)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        prune(Path(sys.argv[1]))
    except ValueError as error:
        sys.exit(str(error))
