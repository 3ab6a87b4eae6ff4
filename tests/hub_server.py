"""The Hugging Face hub on this machine, as far as fetching a model needs it."""

import contextlib
import hashlib
import http.server
import json
import threading

from tests.serving import serving

COMMIT = "c0ffee" * 6 + "abcd"
MODEL = "some-people/small"
GUARDED = "some-people/guarded"


class _Handler(http.server.BaseHTTPRequestHandler):
    """One model with one commit at a time, and others that nobody may have."""

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        with self.server.lock:
            self.server.asked.append(
                (path.rpartition("/")[2], self.headers.get("Range"))
            )
            self.server.tokens.add(self.headers.get("Authorization"))
        api, model = f"api/models/{MODEL}/", f"{MODEL}/resolve/"
        if path.startswith("api/models/some-people/guarded/revision"):
            known = {"id": GUARDED, "sha": COMMIT, "siblings": [], "gated": "manual"}
            self._answer_json(known)
        elif "guarded" in path:
            self._refuse(403, "GatedRepo")
        elif self.server.token not in (None, self.headers.get("Authorization")):
            self._refuse(401, "RepoNotFound")
        elif path in (f"{api}revision/main", f"{api}revision/{self.server.commit}"):
            siblings = [
                {"rfilename": name, "size": len(content), **_large(name, content)}
                for name, content in (self.server.files | self.server.listed).items()
            ]
            self._answer_json(
                {"id": MODEL, "sha": self.server.commit, "siblings": siblings}
            )
        elif path.startswith(api):
            self._refuse(404, "RevisionNotFound")
        elif path.startswith(model):
            self._send_file(path.removeprefix(model).partition("/")[2])
        else:
            self._refuse(401, "RepoNotFound")

    def _send_file(self, name):
        if name in self.server.sent_on:
            self.send_response(302)
            self.send_header("Location", self.server.sent_on[name])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.files[name]
        first, status = 0, 200
        if wanted := self.headers.get("Range"):
            first, status = int(wanted.removeprefix("bytes=").partition("-")[0]), 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) - first))
        if status == 206:
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        cut = self.server.cut.pop(name, None)
        if cut is None:
            self.wfile.write(content[first:])
        else:
            self.wfile.write(content[first:cut])
            self.server.is_down = True
            self.close_connection = True

    def parse_request(self):
        if self.server.is_down:
            self.close_connection = True
            return False
        return super().parse_request()

    def _answer_json(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


def _large(name, content):
    """The checksum, which the hub tells of large files only."""
    if not name.endswith((".safetensors", ".bin")):
        return {}
    sha256 = hashlib.sha256(content).hexdigest()
    return {"lfs": {"size": len(content), "sha256": sha256, "pointerSize": 134}}


@contextlib.contextmanager
def hub_server(files):
    """Yield the server; `url` is its address, `cut[NAME] = BYTES` breaks a transfer off and takes the hub down;
    `listed[NAME]` is what it says of a file instead of the truth; `sent_on[NAME]` is where else a file lies;
    `token` is what has to be shown, if anything."""
    noted = {
        "files": files,
        "listed": {},
        "asked": [],
        "tokens": set(),
        "cut": {},
        "is_down": False,
        "sent_on": {},
        "token": None,
        "commit": COMMIT,
        "lock": threading.Lock(),
    }
    with serving(_Handler, **noted) as server:
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server
