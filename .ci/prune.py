"""Remove from a folder of installed packages what the controller never uses: PYTHONPATH=. python .ci/prune.py FOLDER.

For the image, in whose build awscalls.py is beside it. It keeps botocore's descriptions of the AWS calls that are
made, and of the kubernetes client what sends requests and reads its configuration. aiohttp, yarl and what comes with
them are installed only to be removed here, as is websocket: the kubernetes client asks for them, and an installation
without them could not be checked as a whole.

A package that it does not know ends it: whoever adds one says here whether the image needs it. So does a call that
botocore does not know.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path

from awscalls import CALLS, Json, cut, cut_endpoints

# What belongs to no service: partitions, retries, defaults; and the endpoints, which are cut to the services.
COMMON = {"endpoints.json", "partitions.json", "_retry.json", "sdk-default-configuration.json"}
NEEDED = {
    "_yaml", "annotated_types", "boto3", "botocore", "certifi", "charset_normalizer", "dateutil", "durationpy", "idna",
    "jmespath", "kubernetes", "oauthlib", "prometheus_client", "pydantic", "pydantic_core", "requests",
    "requests_oauthlib", "s3transfer", "six", "typing_extensions", "typing_inspection", "urllib3", "yaml",
}  # fmt: skip
# The aiohttp family and websocket, which only parts import that are not used, the commands of packages, and pip's
# leftovers.
UNUSED = {
    "aiohappyeyeballs", "aiohttp", "aiohttp_retry", "aiosignal", "attr", "attrs", "bin", "frozenlist", "multidict",
    "propcache", "share", "websocket", "websocket_client", "yarl",
}  # fmt: skip
UNUSED_OF_BOTO3 = ("examples", "data")
# Of the kubernetes client, what else its top imports: 1 to 2 MiB and some 10 ms of each start.
UNUSED_OF_KUBERNETES = ("aio", "dynamic", "informer", "leaderelection", "stream", "watch")
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
    for inside in UNUSED_OF_BOTO3:
        remove(folder / "boto3" / inside)
    lighten(folder / "kubernetes")
    trim(folder / "botocore" / "data")
    for path in sorted(folder.rglob("*")):
        if path.name in TESTS and path.is_dir():
            remove(path)
    for path in folder.glob("*.dist-info"):
        remove_record(path)


def lighten(kubernetes: Path) -> None:
    """Leave of the kubernetes client the parts that are used, and of its imports those of them."""
    for part in UNUSED_OF_KUBERNETES:
        remove(kubernetes / part)
    top = kubernetes / "__init__.py"
    gone = {f"from . import {part}" for part in UNUSED_OF_KUBERNETES}
    top.write_text("".join(line for line in top.read_text().splitlines(keepends=True) if line.rstrip() not in gone))


def trim(models: Path) -> None:
    """Leave of botocore's models the calls of `CALLS`, and what they reach."""
    for path in models.iterdir():
        if path.name not in CALLS.keys() | COMMON:
            remove(path)
    for service in CALLS:
        trim_service(models / service)
    write(models / "endpoints.json", cut_endpoints(read(models / "endpoints.json")))


def trim_service(service: Path) -> None:
    """Leave the newest version of a service with the calls that are made."""
    *older, version = sorted(service.iterdir())
    for path in older:
        remove(path)
    model, pages = cut(merged(version, "service-2"), service.name), merged(version, "paginators-1")
    if missing := sorted(CALLS[service.name] - model["operations"].keys()):
        raise ValueError(f"botocore's model of {service.name} knows no such call: {', '.join(missing)}")
    pages["pagination"] = {
        name: page for name, page in pages.get("pagination", {}).items() if name in model["operations"]
    }
    rules = merged(version, "endpoint-rule-set-1")
    remove(version)
    version.mkdir()
    for kind, text in (("service-2", model), ("paginators-1", pages), ("endpoint-rule-set-1", rules)):
        write(version / f"{kind}.json", text)


def merged(version: Path, kind: str) -> Json:
    """Return a file of a model with botocore's own additions to it, {} where there is none."""
    found = read(version / f"{kind}.json")
    merge(found, read(version / f"{kind}.sdk-extras.json").get("merge", {}))
    return found


def merge(into: Json, more: Json) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def read(path: Path) -> Json:
    packed = path.with_name(f"{path.name}.gz")
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else b"{}"
    found: Json = json.loads(path.read_bytes() if path.exists() else text)
    return found


def write(path: Path, text: Json) -> None:
    path.write_text(json.dumps(text, separators=(",", ":")))


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
