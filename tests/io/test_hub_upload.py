import base64
import hashlib
import http.server
import json
import threading

import pytest

from tests.serving import serving
from tipcap.errors import InputError
from tipcap.io.hub_upload import push_folder

MODEL = "some-people/toy"
TOKEN = "Bearer hf_secret"


class _Handler(http.server.BaseHTTPRequestHandler):
    """A hub as far as uploading needs it: small files come with the commit, weights before it."""

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        server, path = self.server, self.path.partition("?")[0]
        if self.headers.get("Authorization") != TOKEN:
            self._answer(401, {"error": "no"})
        elif path == "/api/repos/create":
            server.made.append(json.loads(content))
            self._answer(200, {"url": f"{server.url}/{MODEL}"})
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif path == f"/api/models/{MODEL}/preupload/main":
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs"
                    if file["path"].endswith(".safetensors")
                    else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(content)["files"]
            ]
            self._answer(200, {"files": files})
        elif path == f"/{MODEL}.git/info/lfs/objects/batch":
            objects = [
                {
                    **one,
                    "actions": {"upload": {"href": f"{server.url}/large/{one['oid']}"}},
                }
                for one in json.loads(content)["objects"]
            ]
            self._answer(200, {"transfer": "basic", "objects": objects})
        elif path == f"/api/models/{MODEL}/commit/main":
            with server.lock:
                self._commit([json.loads(line) for line in content.splitlines()])
            self._answer(
                200,
                {
                    "commitUrl": f"{server.url}/{MODEL}/commit/c0ffee",
                    "commitOid": "c0ffee",
                },
            )
        else:
            self._answer(404, {"error": path})

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.large[self.path.rpartition("/")[2]] = content
        self._answer(200, {})

    def do_GET(self):
        if self.headers.get("Authorization") == TOKEN:
            self._answer(200, {"id": MODEL, "sha": "c0ffee", "siblings": []})
        else:
            self._answer(401, {"error": "no"})

    def _commit(self, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.large[value["oid"]]

    def _answer(self, status, value):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(monkeypatch):
    noted = {"files": {}, "large": {}, "made": [], "lock": threading.Lock()}
    with serving(_Handler, **noted) as server:
        server.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN.removeprefix("Bearer "))
        # the other protocol has servers of its own, which nobody can stand in for
        for module in ("hf_api", "_commit_api"):
            name = f"huggingface_hub.{module}.is_xet_available"
            monkeypatch.setattr(name, lambda: False)
        yield server


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "README.md").write_text("---\ntags: []\n---\n# toy\n")
    (tmp_path / "encoder/model.safetensors").write_bytes(bytes(5000))
    return tmp_path


# of the hub's library, which calls httpx in an older way
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_every_file_arrives_as_it_is(hub, folder):
    assert push_folder(folder, MODEL, is_private=True) == f"{hub.url}/{MODEL}"
    there = {
        f.relative_to(folder).as_posix(): f.read_bytes()
        for f in folder.rglob("*")
        if f.is_file()
    }
    assert hub.files == there
    assert list(hub.large) == [hashlib.sha256(bytes(5000)).hexdigest()]
    (made,) = hub.made
    assert (made["organization"], made["name"], made["visibility"]) == (
        "some-people",
        "toy",
        "private",
    )


def test_who_may_not_write_there_is_told_what_to_do(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(InputError, match="status 401; set HF_TOKEN") as refused:
        push_folder(folder, MODEL)
    assert "hf_other" not in str(refused.value)
    assert not hub.files


def test_without_a_network_the_folder_stays(folder, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        InputError, match=r"127.0.0.1:9/some-people/toy: expected to upload"
    ):
        push_folder(folder, MODEL)
    assert (folder / "README.md").exists()
