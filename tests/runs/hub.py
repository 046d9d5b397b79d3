"""A stand-in for the Hugging Face hub: the calls that its client makes to push a folder and to fetch one."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """Repositories, each a list of commits; a commit is a dictionary of files."""

    def __init__(self) -> None:
        self.repos: dict[str, list[dict[str, bytes]]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.tokens: set[str | None] = set()

    def commit_id(self, repo: str, n: int) -> str:
        return hashlib.sha1(f"{repo} {n}".encode()).hexdigest()

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.repos.get(repo, [])
        names = {self.commit_id(repo, n): n for n in range(len(commits))}
        n = len(commits) - 1 if revision == "main" else names.get(revision, -1)
        return (self.commit_id(repo, n), commits[n]) if n >= 0 else None


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """The address of a server of `hub`, while the `with` block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body, parts = self._body(), self._parts()
        here = f"http://{self.headers['Host']}"
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.hub.tokens.add(self.headers.get("Authorization"))
            self.hub.repos.setdefault(repo, [{}])
            self.hub.private[repo] = bool(asked.get("private")) or asked.get("visibility") == "private"
            self._json({"url": f"{here}/{repo}"})
        elif parts == ["api", "validate-yaml"]:
            self._json({"errors": [], "warnings": []})
        elif parts[-2:-1] == ["preupload"]:
            modes = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular"}
                for f in json.loads(body)["files"]
            ]
            self._json({"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif parts[-3:] == ["lfs", "objects", "batch"]:
            objects = [
                {**one, "actions": {"upload": {"href": f"{here}/large/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})
        elif parts[-2:-1] == ["commit"]:
            repo = "/".join(parts[2:4])
            files = dict(self.hub.repos[repo][-1])
            for line in map(json.loads, body.splitlines()):
                key, value = line["key"], line["value"]
                if key == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif key == "lfsFile":
                    files[value["path"]] = self.hub.large[value["oid"]]
                elif key == "deletedFile":
                    del files[value["path"]]
            self.hub.repos[repo].append(files)
            oid = self.hub.commit_id(repo, len(self.hub.repos[repo]) - 1)
            self._json({"commitUrl": f"{here}/{repo}/commit/{oid}", "commitOid": oid})
        else:
            self._missing()

    def do_PUT(self) -> None:
        self.hub.large[self._parts()[1]] = self._body()
        self._send(200, b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self._parts()
        if parts[:2] == ["api", "models"]:
            repo, what = "/".join(parts[2:4]), parts[4:]
            revision = what[1] if len(what) > 1 else "main"
            found = self.hub.at(repo, revision)
            if found is None:
                self._missing("RevisionNotFound" if repo in self.hub.repos else "RepoNotFound")
            elif what[:1] == ["tree"]:
                self._json([_entry(path, content) for path, content in found[1].items()])
            else:
                siblings = [{"rfilename": path} for path in found[1]]
                self._json({"id": repo, "modelId": repo, "sha": found[0], "private": False, "siblings": siblings})
        elif parts[2:3] == ["resolve"]:
            found = self.hub.at("/".join(parts[:2]), parts[3])
            content = None if found is None else found[1].get("/".join(parts[4:]))
            if found is None or content is None:
                self._missing("EntryNotFound")
            else:
                tag = hashlib.sha256(content).hexdigest()
                self._send(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": found[0]})
        else:
            self._missing()

    def _parts(self) -> list[str]:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.calls.append(f"{self.command} {path}")
        return path.split("/")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str = "") -> None:
        self._send(404, b"{}", {"X-Error-Code": code, "Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(path: str, content: bytes) -> dict[str, object]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return {"type": "file", "path": path, "size": len(content), "oid": blob}
