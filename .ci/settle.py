"""Make an image's files the same at each build: python .ci/settle.py PACKAGES APP.

It compiles what a start of the controller imports, and nothing else, since under a read-only root nobody could keep
it later; and it gives every file and folder one time, SOURCE_DATE_EPOCH, and one mode. What is compiled goes by the
hash of its source, not by its time: so it holds at any time, and a source that somebody changes is compiled anew.
"""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import tempfile
from pathlib import Path

EPOCH = "315532800"  # 1980, where none is named
# With the clients made, as botocore imports a good part only then; three of the four are made at their use.
START = """
import aws, commands, config, controller
for client in aws.connect("us-east-1", 1).values():
    client.meta
"""


def imported(packages: Path, app: Path) -> list[Path]:
    """Return the sources that a start and the commands read, in order: those too that are found not to fit here.

    Another process starts, and leaves what it compiles in a folder of its own: what comes of compiling depends on
    what the process has imported before. It finds no module in the folder of the build, where awscalls.py is too (-P).
    """
    with tempfile.TemporaryDirectory() as compiled:
        path = os.pathsep.join(map(str, (app, packages)))
        environ = {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": compiled, "HOME": "/nonexistent"}
        subprocess.run([sys.executable, "-SP", "-c", START], env=environ, check=True)  # noqa: S603 - our own
        found = [Path("/", each.relative_to(compiled)) for each in Path(compiled).rglob("*.pyc")]
    sources = [each.with_name(f"{each.name.partition('.')[0]}.py") for each in found]
    return sorted(each for each in sources if packages in each.parents or app in each.parents)


def settle(packages: Path, app: Path, seconds: int) -> None:
    for source in imported(packages, app):
        home = packages if packages in source.parents else app
        shown = f"/{home.name}/{source.relative_to(home)}"  # as tracebacks name it in the image
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        py_compile.compile(str(source), dfile=shown, doraise=True, invalidation_mode=mode)
    for folder in (packages, app):
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (seconds, seconds))


if __name__ == "__main__":
    settle(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH))
