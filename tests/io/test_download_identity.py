"""What a transfer must not take for the file: pages, pointers, torn bodies, and bytes of another file."""

import gzip
import hashlib
import http.server
import io
import zipfile

import httpx
import pytest

from tests.serving import serving
from tipcap.errors import InputError
from tipcap.io import download as module
from tipcap.io.download import asked_pause, fetch


def archive_of(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("dataset.json", text)
    return buffer.getvalue()


FIRST, SECOND = archive_of("first " * 2000), archive_of("other " * 2000)
PAGE = b"""<!DOCTYPE html><html><head><title>Virus scan warning</title></head><body>
<form id="download-form" action="ACTION" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="1z8J"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="a&amp;b"></form></body></html>"""
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1000\n"


class _Handler(http.server.BaseHTTPRequestHandler):
    """`/NAME` answers what `server.answers[NAME]` says: a list of (content, headers, bytes sent), the last for ever."""

    def do_GET(self):
        name, _, query = self.path.strip("/").partition("?")
        self.server.asked.append((name, query, dict(self.headers)))
        answers = self.server.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        content, headers, sent = answer
        status, first = headers.get("status", 200), 0
        wanted, tag = self.headers.get("Range"), self.headers.get("If-Range")
        knows = headers.get("knows_if_range", True)
        if "Content-Type" in headers:  # a page is made anew each time
            wanted = None
        if wanted and (not tag or not knows or tag == headers.get("ETag")):
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            status = 206 if first < len(content) else 416
        self.send_response(status)
        for key, value in headers.items():
            if key not in ("status", "knows_if_range"):
                self.send_header(key, value)
        if "Transfer" not in headers:
            self.send_header("Content-Length", str(max(0, len(content) - first)))
        if status == 206:
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        if status in (200, 206):
            self.wfile.write(content[first:sent])

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    with serving(_Handler, asked=[], answers={}) as found:
        found.url = lambda name: f"http://127.0.0.1:{found.server_port}/{name}"
        yield found


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "captions.zip"


def answer(server, name, content, sent=None, **headers):
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    named = {
        {"knows-if-range": "knows_if_range"}.get(k, k): v for k, v in named.items()
    }
    server.answers.setdefault(name, []).append((content, named, sent))
    return server.url(name)


def refusal(urls, target, sha256=None):
    with pytest.raises(InputError) as caught:
        fetch(urls, target, sha256, None)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "headers", "said"),
    [
        (b"<html>busy</html>", {"Content_Type": "text/html"}, "a page (HTML)"),
        (b"{}", {"Content_Type": "Text/HTML; charset=utf-8"}, "a page (HTML)"),
        (b"\n <!DOCTYPE HTML><p>no", {}, "a page"),
        (b"<Error><Code>NoSuchKey</Code></Error>", {}, "a page"),
        (POINTER, {}, "a Git LFS pointer"),
        (b"/annex/objects/SHA256E-s1--2.zip\n", {}, "a git-annex pointer"),
        (FIRST[:-30], {}, "cut short or damaged"),
        (FIRST[: len(FIRST) // 2], {}, "cut short or damaged"),
        (b"Quota exceeded", {}, "something that is not a zip archive"),
        (b"", {}, "an empty file"),
    ],
)
def test_what_is_not_the_file_never_gets_its_name(
    server, target, content, headers, said
):
    url = answer(server, "file", content, **headers)
    assert said in refusal([url], target)
    assert said in refusal([url], target, hashlib.sha256(FIRST).hexdigest())
    good = answer(server, "good", FIRST)
    fetch([url, good], target, None, None)
    assert target.read_bytes() == FIRST
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_body_without_a_length_that_ends_early_is_refused(server, target):
    url = answer(server, "file", FIRST, sent=len(FIRST) // 2, Transfer="none")
    assert "cut short" in refusal([url], target)


def test_the_form_on_a_page_before_a_file_is_followed(server, target):
    page = PAGE.replace(b"ACTION", server.url("behind").encode())
    url = answer(server, "page", page, Content_Type="text/html; charset=utf-8")
    answer(server, "behind", FIRST)
    secret = {"Authorization": "Bearer s3cret"}
    fetch([url], target, None, None, headers=secret)
    assert target.read_bytes() == FIRST
    name, query, told = server.asked[-1]
    assert (name, query) == ("behind", "id=1z8J&confirm=t&uuid=a%26b")
    assert "Authorization" not in told


def test_a_form_that_leads_to_a_page_again_is_no_file(server, target):
    page = PAGE.replace(b"ACTION", server.url("page").encode())
    url = answer(server, "page", page, Content_Type="text/html")
    assert "a page (HTML)" in refusal([url], target)
    assert len(server.asked) == 2


def test_bytes_of_two_mirrors_never_meet_in_one_file(server, target):
    broken = answer(server, "a", FIRST, sent=5000, ETag='"1"')
    other = answer(server, "b", SECOND, ETag='"1"')
    fetch([broken, other], target, None, None)
    assert target.read_bytes() == SECOND
    assert "Range" not in server.asked[-1][2]


def test_a_transfer_goes_on_at_its_own_address(server, target):
    url = answer(server, "a", FIRST, sent=5000, ETag='"1"')
    refusal([url], target)
    answer(server, "a", FIRST, ETag='"1"')
    server.answers["a"].pop(0)
    fetch([url], target, None, None)
    assert target.read_bytes() == FIRST
    told = server.asked[-1][2]
    assert (told["Range"], told["If-Range"]) == ("bytes=5000-", '"1"')


@pytest.mark.parametrize("knows", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(server, target, knows):
    """Whether or not the server knows what If-Range means."""
    url = answer(server, "a", FIRST, sent=5000, ETag='"1"')
    refusal([url], target)
    server.answers["a"] = []
    answer(server, "a", SECOND, ETag='"2"', knows_if_range=knows)
    fetch([url], target, None, None)
    assert target.read_bytes() == SECOND


@pytest.mark.parametrize("tag", [{}, {"ETag": 'W/"1"'}])
def test_what_nothing_tells_from_later_files_is_fetched_anew(server, target, tag):
    url = answer(server, "a", FIRST, sent=5000, **tag)
    refusal([url], target)
    server.answers["a"] = []
    answer(server, "a", SECOND, **tag)
    fetch([url], target, None, None)
    assert target.read_bytes() == SECOND


def test_a_part_longer_than_the_file_is_given_up(server, target):
    url = answer(server, "a", FIRST, sent=5000, ETag='"1"')
    refusal([url], target)
    (target.parent / f".{target.name}.part").write_bytes(SECOND * 2)
    server.answers["a"] = []
    answer(server, "a", FIRST, ETag='"1"')
    fetch([url], target, None, None)
    assert target.read_bytes() == FIRST


def test_a_part_of_a_known_file_outlives_a_page(server, target):
    sha256 = hashlib.sha256(FIRST).hexdigest()
    broken = answer(server, "a", FIRST, sent=5000)
    page = answer(server, "page", b"<html>", Content_Type="text/html")
    good = answer(server, "good", FIRST)
    fetch([broken, page, good], target, sha256, None)
    assert server.asked[-1][2]["Range"] == "bytes=5000-"


def test_a_gzip_file_that_is_called_compressed_on_the_way_stays_one(server, target):
    shard = target.with_name("metadata_000.jsonl.gz")
    packed = gzip.compress(b'{"photoid": 1}\n')
    fetch([answer(server, "a", packed, Content_Encoding="gzip")], shard, None, None)
    assert shard.read_bytes() == packed


def test_a_busy_server_is_asked_again_after_its_pause(server, target, monkeypatch):
    paused = []
    monkeypatch.setattr(module.time, "sleep", paused.append)
    url = answer(server, "a", b"", status=429, Retry_After="7")
    answer(server, "a", FIRST)
    fetch([url], target, None, None)
    assert paused == [7.0]


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7),
        ("3600", 60),
        ("", 1),
        ("soon", 1),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 60),
    ],
)
def test_a_server_asks_for_a_pause_in_seconds_or_until_a_date(asked, seconds):
    headers = {"Retry-After": asked} if asked else {}
    assert asked_pause(httpx.Response(429, headers=headers)) == seconds


def test_a_page_put_there_by_hand_is_refused_and_left(target):
    target.parent.mkdir()
    target.write_bytes(b"<html>sign in</html>")
    with pytest.raises(InputError, match=r"a page .*remove the file"):
        fetch([], target, None, None)
    assert target.exists()
