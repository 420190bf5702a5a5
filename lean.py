"""Importing a package without those parts of it that nothing here uses.

    put_off("kubernetes")            its __init__, which imports all of it, runs once something else of it is asked for
    with later("oauthlib"): ...      what is imported within gets this module only once it uses it

Packages import all of themselves, and a process keeps what it has imported. What it is not: a way to do without a
package. Whatever is asked for is there, at its price then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


def put_off(name: str) -> None:
    """Put a package in place so that its modules can be imported, one by one, without its own `__init__`."""
    spec = find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:  # the import says what is wrong
        return
    loader, package = spec.loader, module_from_spec(spec)

    def whole(attribute: str) -> Any:
        del vars(package)["__getattr__"]
        loader.exec_module(package)
        return getattr(package, attribute)

    vars(package)["__getattr__"] = whole
    sys.modules[name] = package


@contextmanager
def later(*names: str) -> Iterator[None]:
    """Within, have imports of these modules get what looks each name up in the module once it is used."""
    stand_ins: dict[str, ModuleType] = {name: _Later(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


class _Later(ModuleType):
    """Stands for a module."""

    __path__: list[str] = []  # noqa: RUF012 - a package: so the import system has it

    def __getattr__(self, name: str) -> Any:
        return _Name(self.__name__, name)


class _Name:
    """Stands for what a module has under a name."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _itself(self) -> Any:
        return getattr(import_module(self._module), self._name)

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self._itself()(*args, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._itself(), name)
