"""A stand-in for the hub's HTTP API: what an upload needs of it, on a local port."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub:
    """What was asked of the stand-in.

    files: The content of each committed file, by repository and path.
    """

    def __init__(self) -> None:
        self.url = ""
        self.token = "hf_secret"
        self.repos: dict[str, dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.commits: list[dict[str, Any]] = []

    def answer(self, path: str, body: bytes) -> Any:
        """RETURNS (Any): JSON, or None for a path that is not known."""
        path, _, _ = path.partition("?")
        if path.startswith("/blobs/"):
            self.blobs[path.removeprefix("/blobs/")] = body
            return {}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'someone'}/{asked['name']}"
            self.repos[name] = asked
            return {"url": f"{self.url}/{name}", "id": name}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if path.endswith("/info/lfs/objects/batch"):
            found = json.loads(body)["objects"]
            hrefs = {o["oid"]: f"{self.url}/blobs/{o['oid']}" for o in found}
            objects = [{**o, "actions": {"upload": {"href": hrefs[o["oid"]]}}} for o in found]
            return {"transfer": "basic", "objects": objects}
        for step in ("preupload", "commit"):
            before, found, revision = path.partition(f"/{step}/")
            if found and before.startswith("/api/models/"):
                repo = before.removeprefix("/api/models/")
                return getattr(self, step)(repo, revision, body)
        return None

    def preupload(self, repo: str, revision: str, body: bytes) -> Any:
        large = (".safetensors", ".whl")
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(large) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
        }

    def commit(self, repo: str, revision: str, body: bytes) -> Any:
        files = self.files.setdefault(repo, {})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.commits.append({"repo": repo, "revision": revision, **value})
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
        url = f"{self.url}/{repo}/commit/1234567"
        return {"success": True, "commitUrl": url, "commitOid": "1234567", "pullRequestUrl": None}


@contextlib.contextmanager
def serve_hub() -> Iterator[Hub]:
    """Run a stand-in until the end of the block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            known = self.headers.get("Authorization") == f"Bearer {hub.token}"
            open_to_all = self.path.startswith("/blobs/")
            answer = hub.answer(self.path, body) if known or open_to_all else None
            status = 200 if answer is not None else 404 if known else 401
            content = json.dumps(answer or {"error": "Invalid credentials"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
