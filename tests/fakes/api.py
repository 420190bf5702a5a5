"""A plain client of a Kubernetes API server, for the stand-ins that act on one: JSON in, JSON out.

It is nobody's edge: no watch, no retries, and a refusal is raised as it was said.
"""

from __future__ import annotations

import json
from typing import Any

import urllib3

Obj = dict[str, Any]
PATCH = "application/merge-patch+json"


class Refused(Exception):
    """An answer that is no success, or none at all (code 0)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Api:
    """An API server, asked as an administrator who may call himself by any name."""

    def __init__(self, url: str, token: str = "", ca: str | None = None) -> None:
        self._url, self._token = url, token
        self._pool = urllib3.PoolManager(retries=False, timeout=10, ca_certs=ca)

    def call(self, method: str, path: str, body: Obj | None = None, user: str = "") -> Obj:
        """Return the answer to one request; `user` is whom the audit log names."""
        url = self._url + path
        headers = {"Content-Type": PATCH if method == "PATCH" else "application/json"}
        headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers |= {"Impersonate-User": user, "Impersonate-Group": "system:masters"} if user else {}
        raw = None if body is None else json.dumps(body)
        try:
            response = self._pool.request(method, url, body=raw, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise Refused(0, str(error)) from error
        if response.status >= 300:
            raise Refused(response.status, response.data.decode(errors="replace"))
        said: Obj = json.loads(response.data)
        return said

    def find(self, path: str) -> Obj | None:
        """Return an object, None where there is none."""
        try:
            return self.call("GET", path)
        except Refused as refused:
            if refused.code != 404:
                raise
            return None

    def list(self, path: str) -> list[Obj]:
        """Return what is there, each with the kind that lists leave out."""
        page = self.call("GET", path)
        head = {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List")}
        return [{**head, **each} for each in page["items"]]


def path_of(obj: Obj, plural: str, *sub: str) -> str:
    """Return where a namespaced object, or a part of it, is."""
    meta = obj["metadata"]
    return "/".join((place(obj["apiVersion"], meta["namespace"], plural), meta["name"], *sub))


def place(version: str, namespace: str, plural: str) -> str:
    """Return where objects of a kind are made."""
    return f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{namespace}/{plural}"
