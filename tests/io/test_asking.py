import base64
import contextlib
import hashlib
import http.server
import threading

import httpx
import pytest

from tests.serving import serving
from tipcap.io.asking import Answer, ask, ask_side_by_side

FILE = b"PK" + bytes(range(256)) * 20
SHA256 = hashlib.sha256(FILE).hexdigest()
IN_BASE64 = base64.b64encode(hashlib.sha256(FILE).digest()).decode()
OTHER = "0" * 64
PATIENCE = 1.5


class Host(http.server.BaseHTTPRequestHandler):
    """`/KIND[/...]`; the kind says what happens to whoever asks."""

    def do_HEAD(self):
        self.server.asked.append((self.command, self.path))
        kind, _, rest = self.path.strip("/").partition("/")
        headers = {
            "linked": {"X-Linked-ETag": f'"{SHA256}"', "X-Linked-Size": "5122"},
            "etag": {"ETag": f'"{SHA256}"'},
            "etag-other": {"ETag": f'"{OTHER}"'},
            "digest": {"Digest": f"sha-256={IN_BASE64}"},
            "repr": {"Repr-Digest": f"sha-256=:{IN_BASE64}:"},
            "repr-other": {"Repr-Digest": f"sha-256=:{'A' * 43}=:"},
            "amazon": {"x-amz-checksum-sha256": IN_BASE64},
        }.get(kind, {})
        is_head = self.command == "HEAD"
        match kind:
            case "301" | "302" | "307" | "308" | "linked":
                status = 302 if kind == "linked" else int(kind)
                self.answer(status, b"", {**headers, "Location": f"/{rest}"})
            case "circle":
                self.answer(302, b"", {"Location": "/circle"})
            case "401" | "403" | "404" | "410" | "429" | "500" | "503":
                self.answer(int(kind), b"<html>no</html>")
            case "no-head" if is_head:
                self.answer(int(rest), b"")
            case "hangs-up" if is_head:
                self.close_connection = True
            case "hangs":
                self.server.ended.wait(20)
            case "page":
                self.answer(200, b"<html>sign in</html>", {"Content-Type": "text/html"})
            case "page-unsaid":
                self.answer(200, b"\xef\xbb\xbf <!DOCTYPE html><p>scan</p>")
            case "pointer":
                self.answer(200, b"version https://git-lfs.github.com/spec/v1\n")
            case "sizeless":
                self.answer(200, FILE, {"Content-Length": None})
            case "longer":
                self.answer(200, FILE + b"x")
            case "range" if not is_head:
                assert self.headers["Range"] == "bytes=0-1023"
                part = {"Content-Range": f"bytes 0-1023/{len(FILE)}"}
                self.answer(206, FILE[:1024], part)
            case "range":
                self.answer(405, b"")
            case _:
                self.answer(200, FILE, headers)

    do_GET = do_HEAD

    def answer(self, status, content, headers=None):
        self.send_response(status)
        for name, text in {"Content-Length": len(content), **(headers or {})}.items():
            if text is not None:
                self.send_header(name, str(text))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def asked_host():
    """Yield the host; `url(path)` is an address of it, `asked` what it was asked for."""
    with serving(Host, asked=[], ended=threading.Event()) as server:
        server.url = lambda path: f"http://127.0.0.1:{server.server_port}/{path}"
        yield server
        server.ended.set()


@pytest.fixture(scope="module")
def host():
    with asked_host() as server:
        yield server


@pytest.fixture(scope="module")
def said(host):
    with httpx.Client(follow_redirects=True, timeout=PATIENCE) as client:
        yield lambda path, sha256=None, size=None: ask(
            client, host.url(path), sha256, size
        )


def test_a_file_of_the_right_size_is_asked_for_once(host, said):
    host.asked.clear()
    assert said("file", SHA256, len(FILE)) == Answer(
        "file", "reachable, 5,122 bytes as expected"
    )
    assert host.asked == [("HEAD", "/file")]


@pytest.mark.parametrize(
    "path", ["no-head/403", "no-head/405", "no-head/404", "hangs-up", "range"]
)
def test_where_head_is_refused_the_first_bytes_tell(said, path):
    found = said(path, None, len(FILE))
    assert found == Answer("file", "reachable, 5,122 bytes as expected")


@pytest.mark.parametrize(
    ("path", "state", "found"),
    [
        ("404", "none", "gone (status 404)"),
        ("410", "none", "gone (status 410)"),
        ("403", "none", "refused (status 403)"),
        ("401", "none", "refused (status 401)"),
        ("429", "busy", "too many requests (status 429)"),
        ("503", "busy", "the host is in trouble (status 503)"),
        ("page", "other", "a page instead of the file"),
        ("page-unsaid", "other", "a page instead of the file"),
        ("302/page", "other", "a page instead of the file"),
        ("pointer", "other", "a Git LFS pointer instead of the file"),
        ("longer", "other", "a file of 5,123 bytes, expected 5,122"),
        ("circle", "none", "led in circles"),
        ("hangs", "none", "no answer within 1.5 s"),
        ("sizeless", "file", "reachable"),
    ],
)
def test_what_is_wrong_is_said(said, path, state, found):
    answer = said(path, None, len(FILE))
    assert (answer.state, answer.found) == (state, found)


def test_a_page_of_the_files_size_is_a_page(said):
    size = len(b"<html>sign in</html>")
    assert said("page", None, size).found == "a page instead of the file"


@pytest.mark.parametrize("size", [None, len(FILE)])
def test_too_many_requests_are_not_answered_by_another_one(host, said, size):
    host.asked.clear()
    said("429", None, size)
    assert len(host.asked) == 1


def test_where_it_leads_is_said(host, said):
    for path, words in {"301": "moved", "308": "moved", "302": "moved for now"}.items():
        answer = said(f"{path}/file?token=s3cret", None, len(FILE))
        assert answer.state == "file"
        assert answer.moved == f"{words} to {host.url('file')}"


@pytest.mark.parametrize(
    "path", ["etag", "digest", "repr", "amazon", "linked/file", "302/etag"]
)
def test_a_checksum_in_a_header_is_compared(said, path):
    assert said(path, SHA256, None).found.endswith(", checksum as expected")


def test_another_checksum_is_another_file_unless_the_host_numbers_as_it_likes(said):
    assert said("repr-other", SHA256, None).state == "other"
    answer = said("etag-other", SHA256, len(FILE))
    assert answer.state == "file"
    assert answer.remark == f"its etag is another checksum ({OTHER})"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://[::1", "ftp://h/x", "h", "", "http://\x00"]
)
def test_an_address_that_cannot_be_reached_is_an_answer(url):
    with httpx.Client(timeout=PATIENCE) as client:
        assert ask(client, url, None, None).state == "none"


def test_no_network_is_told_from_a_host_that_refuses(said):
    with httpx.Client(timeout=PATIENCE) as client:
        found = ask(client, "http://127.0.0.1:1/x", None, None).found
    assert found.startswith("no network or no such host")


def test_answers_come_in_the_order_of_the_questions_and_late_ones_are_none():
    asked_to_end = threading.Event()

    def late():
        asked_to_end.wait(60)
        return 0

    found = ask_side_by_side([late, lambda: 1, lambda: 2], 2, 1.0)
    asked_to_end.set()
    assert found == [None, 1, 2]
    assert ask_side_by_side([], 2, 1.0) == []
