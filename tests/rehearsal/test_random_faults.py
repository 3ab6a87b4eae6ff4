"""Whatever a server does, no wrong file gets a final name: random mirrors and random faults, many times."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import random
import threading
import zipfile

import httpx
import pytest

from tests.serving import serving
from tipcap.errors import InputError
from tipcap.io.download import fetch

NUM_CASES = int(os.environ.get("REHEARSAL_FAULTS", "100"))
NUM_CALLS = 4
"""Of the download step for one file, as Snakemake tries again."""
PAGE = b"<!DOCTYPE html><html><body>Virus scan warning</body></html>" * 20
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def archive(seed):
    """A small zip; archives of other seeds have other bytes and often the same length."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        body = random.Random(seed).randbytes(20_000 + seed % 3)
        content.writestr(zipfile.ZipInfo("train2014/1.jpg"), body)
    return buffer.getvalue()


RIGHT = archive(0)
OTHERS = [archive(3), archive(1), archive(5), RIGHT[:-400], PAGE, POINTER, b""]
"""What a mirror may have instead: other files, of the same size too, a part of it, no archive at all."""
WHOLE = [archive(3), archive(1), archive(5)]
FAULTS = (
    *("cut", "cut", "cut at once", "closed", "short", "changed"),
    *("403", "404", "416", "429", "500", "503"),
    *("page", "redirect", "loop", "whole", "wrong range", "packed", "endless"),
)


class _Handler(http.server.BaseHTTPRequestHandler):
    """`/NUMBER`: a mirror, which goes through its faults and is well after them."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        case = self.server.case
        if self.path == "/loop":
            return self._answer(302, b"", {"Location": "/loop"})
        number = int(self.path.strip("/").partition("-")[0])
        mirror = case["mirrors"][number]
        with self.server.lock:
            fault = mirror["faults"].pop(0) if mirror["faults"] else "none"
        if fault == "changed":
            mirror["content"] = random.Random(len(mirror["faults"])).choice(OTHERS)
        content = mirror["content"]
        tag = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}
        if fault.isdecimal():
            return self._answer(int(fault), b"no", {"Retry-After": "1"})
        match fault:
            case "page":
                return self._answer(200, PAGE, {"Content-Type": "text/html"})
            case "redirect":
                return self._answer(302, b"", {"Location": f"/{number}-elsewhere"})
            case "loop":
                return self._answer(302, b"", {"Location": "/loop"})
            case "closed":
                self.close_connection = True
                return None
            case "packed" if "gzip" in self.headers.get("Accept-Encoding", ""):
                packed = {"Content-Encoding": "gzip", **tag}
                return self._answer(200, gzip.compress(content), packed)
        first, status = 0, 200
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range", tag["ETag"])
        if wanted and condition == tag["ETag"] and fault != "whole":
            first, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if first >= len(content):
                return self._answer(416, b"", {})
            start = first + 7 if fault == "wrong range" else first
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self._send(
                206, content[start:], {"Content-Range": span, **tag}, fault
            )
        return self._send(status, content[first:], tag, fault)

    def _send(self, status, body, headers, fault):
        share = {"cut": 2, "cut at once": 1000, "short": 3, "endless": 1}.get(fault)
        sent = body[: len(body) // share] if share else body
        if (
            fault == "endless"
        ):  # neither length nor end: the connection's end is the file's
            self.close_connection = True
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)
            return
        # `short` promises no more than it sends: nothing but the file itself tells
        length = len(sent) if fault == "short" else len(body)
        self._answer(status, sent, headers, length)
        self.close_connection = bool(share)

    def _answer(self, status, body, headers, length=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        with contextlib.suppress(OSError):  # whoever asked has gone
            super().handle()

    def log_message(self, *words):
        pass


def drawn_case(seed):
    """Mirrors with their contents and faults, and what downloads.csv knows of the file."""
    rng = random.Random(seed)
    mirrors = [
        {
            "content": RIGHT if rng.random() < 0.6 else rng.choice(OTHERS),
            "faults": rng.choices(FAULTS, k=rng.randrange(6)),
        }
        for _ in range(rng.randint(1, 3))
    ]
    return {
        "mirrors": mirrors,
        "sha256": hashlib.sha256(RIGHT).hexdigest() if rng.random() < 0.5 else None,
        "num_bytes": len(RIGHT) if rng.random() < 0.5 else None,
    }


def allowed(case):
    """The contents that may get the final name."""
    if case["sha256"]:
        return [RIGHT]
    whole = [RIGHT, *WHOLE]  # no more is known than that it is a whole archive
    return [w for w in whole if case["num_bytes"] in (None, len(w))]


@pytest.fixture
def quick(monkeypatch):
    """No pauses, and one TLS context for all connections, of which none uses it."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    made = functools.cache(httpx.create_ssl_context)
    context = made()
    monkeypatch.setattr(
        "httpx._transports.default.create_ssl_context", lambda **_: context
    )


def run_case(server, case, target):
    """Fetch as Snakemake would have it; return whether the file is there."""
    server.case = case
    urls = [
        f"http://127.0.0.1:{server.server_port}/{number}"
        for number in range(len(case["mirrors"]))
    ]
    for _ in range(NUM_CALLS):
        with contextlib.suppress(InputError):
            found = fetch(urls, target, case["sha256"], case["num_bytes"])
            assert found == hashlib.sha256(target.read_bytes()).hexdigest()
            return True
        assert not target.exists()
    return False


def test_no_wrong_file_gets_a_final_name(tmp_path, quick):
    num_there = 0
    with serving(_Handler, lock=threading.Lock(), case=None) as server:
        for seed in range(NUM_CASES):
            case = drawn_case(seed)
            shown = json.dumps(case, default=len)
            target = tmp_path / str(seed) / "val2014.zip"
            if run_case(server, case, target):
                num_there += 1
                good = target.read_bytes() in allowed(case)
                assert good, f"case {seed}: {shown}"
            # a well mirror ends every such story, whatever was left lying about
            case["mirrors"] = [{"content": RIGHT, "faults": []}]
            if not target.exists():
                assert run_case(server, case, target), f"case {seed}: {shown}"
                assert target.read_bytes() == RIGHT, f"case {seed}: {shown}"
            others = {entry.name for entry in target.parent.iterdir()} - {target.name}
            assert not others, f"case {seed}: {others}"
    assert NUM_CASES // 4 < num_there < NUM_CASES
