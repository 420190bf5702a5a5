"""What is left out of an import is there at its first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHILD_SECONDS = 60


def said_by(code: str, folder: Path) -> list[str]:
    """Return the lines that a new process prints, which finds the packages of a folder."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Make a package that imports all of itself and says so, and a module that uses another one in an import."""
    big = tmp_path / "big"
    big.mkdir()
    (big / "__init__.py").write_text("print('all of it')\nfrom big import part\nVERSION = '1'\n")
    (big / "part.py").write_text("WHAT = 'a part'\n")
    (tmp_path / "heavy.py").write_text("print('heavy')\nclass Session:\n    def ask(self): return 'asked'\n")
    (tmp_path / "user.py").write_text("from heavy import Session\nimport heavy\n")
    return tmp_path


def test_a_part_of_a_package_comes_without_the_rest(packages: Path) -> None:
    assert said_by("import lean; lean.put_off('big')\nfrom big.part import WHAT; print(WHAT)", packages) == ["a part"]


def test_whatever_else_is_asked_of_the_package_is_there(packages: Path) -> None:
    asked = "import lean; lean.put_off('big')\nimport big, big.part; print(big.VERSION, big.VERSION)"
    assert said_by(asked, packages) == ["all of it", "1 1"]


def test_a_package_that_is_in_use_already_stays_as_it_is_and_one_that_is_missing_is_told_by_its_import(
    packages: Path,
) -> None:
    assert said_by("import big, lean; lean.put_off('big'); print(big.VERSION)", packages) == ["all of it", "1"]
    asked = "import lean; lean.put_off('missing')\ntry: import missing\nexcept ImportError as error: print(error)"
    assert said_by(asked, packages) == ["No module named 'missing'"]


def test_what_is_imported_later_is_loaded_at_its_first_use_and_is_itself(packages: Path) -> None:
    begin = "import lean\nwith lean.later('heavy'):\n    import user\nprint('heavy' in sys.modules)\n"
    assert said_by(f"{begin}print(user.Session().ask(), user.heavy.Session.__name__)", packages) == [
        "False", "heavy", "asked Session",
    ]  # fmt: skip
    assert said_by(f"{begin}import heavy; print(heavy.Session().ask())", packages) == ["False", "heavy", "asked"]


def test_the_controller_loads_nothing_of_what_it_leaves_out() -> None:
    unused = ("kubernetes.dynamic", "kubernetes.stream", "websocket", "oauthlib", "requests_oauthlib", "requests")
    code = f"import controller, gc\nprint(sorted(sys.modules.keys() & {set(unused)!r}), gc.isenabled())"
    assert said_by(code, ROOT) == ["[] True"]
