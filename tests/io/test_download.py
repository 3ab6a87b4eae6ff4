import hashlib
import http.server
import os
import zipfile
from collections import Counter

import pytest

from tests.serving import serving
from tipcap.errors import InputError
from tipcap.io.download import fetch
from tipcap.step import Request
from tipcap.steps.download import DownloadSpec, download

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = CONTENT[::-1]
SECRET = "s3cret-t0ken"
HALF = len(CONTENT) // 2


class _Handler(http.server.BaseHTTPRequestHandler):
    """Mirrors that are good, wrong, gone, and one whose first transfer breaks off half way."""

    def do_GET(self):
        name = self.path.partition("?")[0].strip("/")
        self.server.asked.append((name, self.headers.get("Range")))
        self.server.encodings.add(self.headers.get("Accept-Encoding"))
        count = Counter(asked for asked, _ in self.server.asked)[name]
        if name == "gone":
            self.send_error(404)
            return
        if name == "signed":
            self.send_response(302)
            self.send_header("Location", f"/gone?Signature={SECRET}")
            self.end_headers()
            return
        content = WRONG if name.startswith("wrong") else CONTENT
        first, status = 0, 200
        if (wanted := self.headers.get("Range")) and name != "whole-only":
            first, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
        if first >= len(content):
            self.send_error(416)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) - first))
        if status == 206:
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        broken = name.endswith("breaks") and count == 1
        self.wfile.write(content[first:HALF] if broken else content[first:])

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    with serving(_Handler, asked=[], encodings=set()) as found:
        yield found


@pytest.fixture
def url(server):
    return lambda name: f"http://127.0.0.1:{server.server_port}/{name}"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "captions.zip"


def names(target):
    return sorted(entry.name for entry in target.parent.iterdir())


def test_a_file_is_fetched_whole(url, target):
    assert fetch([url("good")], target, SHA256, len(CONTENT)) == SHA256
    assert target.read_bytes() == CONTENT
    assert names(target) == [target.name]


def test_the_files_own_bytes_are_asked_for(url, server, target):
    """Of a transfer compressed on the way, a half could not be completed by another mirror."""
    fetch([url("good")], target, SHA256, None)
    assert server.encodings == {"identity"}


def test_a_file_without_known_checksum_is_fetched_and_its_checksum_returned(
    url, target
):
    unnamed = target.with_name("captions")
    assert fetch([url("good")], unnamed, None, None) == SHA256


def test_a_transfer_that_broke_off_goes_on_where_it_stopped(url, server, target):
    with pytest.raises(InputError, match="breaks: RemoteProtocolError"):
        fetch([url("breaks")], target, SHA256, len(CONTENT))
    assert not target.exists()
    assert fetch([url("breaks")], target, SHA256, len(CONTENT)) == SHA256
    assert target.read_bytes() == CONTENT
    assert server.asked == [("breaks", None), ("breaks", f"bytes={HALF}-")]


def test_the_next_mirror_goes_on_where_the_first_broke_off(url, server, target):
    fetch([url("breaks"), url("good")], target, SHA256, len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert server.asked[1] == ("good", f"bytes={HALF}-")


def test_a_server_that_cannot_resume_sends_all_again(url, target):
    fetch([url("breaks"), url("whole-only")], target, SHA256, len(CONTENT))
    assert target.read_bytes() == CONTENT


def test_a_wrong_first_half_does_not_spoil_the_next_mirror(url, target):
    """What a broken mirror left is wrong; the good one is asked for the whole file."""
    fetch([url("wrong-breaks"), url("good")], target, SHA256, len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert names(target) == [target.name]


@pytest.mark.parametrize("bad", ["wrong", "gone"])
def test_a_mirror_with_another_file_or_none_is_passed_over(url, target, bad):
    assert fetch([url(bad), url("good")], target, SHA256, None) == SHA256
    assert target.read_bytes() == CONTENT


def test_a_file_of_another_size_is_refused(url, target):
    with pytest.raises(InputError, match=f"found .*good: {len(CONTENT)} bytes"):
        fetch([url("good")], target, None, len(CONTENT) + 1)
    assert not target.exists()


def test_when_all_mirrors_fail_one_line_says_what_each_gave(url, target):
    odd = ["http://127.0.0.1:9/closed", "http://127.0.0.1:port/", "ftp://127.0.0.1/"]
    urls = [url("gone"), url("wrong"), *odd]
    with pytest.raises(InputError, match=r"captions\.zip") as caught:
        fetch(urls, target, SHA256, None)
    message = str(caught.value)
    assert "404" in message
    assert hashlib.sha256(WRONG).hexdigest() in message
    urls[urls.index("http://127.0.0.1:port/")] = "http://..."
    assert all(f"{address}: " in message for address in urls)
    assert SHA256 in message
    assert str(target) in message
    assert "\n" not in message
    assert names(target) == []


@pytest.mark.parametrize("name", ["signed", "breaks", "wrong", f"gone?key={SECRET}"])
def test_secrets_in_addresses_are_not_shown(url, target, name, capfd):
    address = url(name).replace("//", f"//me:{SECRET}@")
    with pytest.raises(InputError) as caught:
        fetch([address, f"http://me:{SECRET}@127.0.0.1:9/"], target, SHA256, None)
    assert url(name).partition("?")[0] in str(caught.value)
    assert SECRET not in str(caught.value) + "".join(capfd.readouterr())


def test_a_file_without_addresses_has_to_be_put_there_by_hand(target):
    with pytest.raises(InputError, match="no address is known; fetch the file by hand"):
        fetch([], target, SHA256, None)


@pytest.mark.parametrize("num_bytes", [len(CONTENT), None])
def test_what_is_complete_already_is_not_fetched_again(url, server, target, num_bytes):
    target.parent.mkdir()
    (target.parent / f".{target.name}.part").write_bytes(CONTENT)
    assert fetch([url("good")], target, SHA256, num_bytes) == SHA256
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == (0 if num_bytes else 1)


def test_a_right_file_that_was_put_there_by_hand_is_kept(server, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert fetch([], target, SHA256, len(CONTENT)) == SHA256
    assert target.read_bytes() == CONTENT


def test_another_file_under_the_final_name_is_refused_and_left(url, server, target):
    target.parent.mkdir()
    target.write_bytes(WRONG)
    with pytest.raises(InputError, match=f"expected sha256 {SHA256}.*remove the file"):
        fetch([url("good")], target, SHA256, None)
    assert target.read_bytes() == WRONG
    assert server.asked == []


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "my own.zip"
    file.write_bytes(CONTENT)
    return file


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}"])
def test_a_file_of_this_machine_is_checked_and_stays(mine, target, form):
    address = form.format(mine)
    assert fetch([address], target, SHA256, len(CONTENT)) == SHA256
    assert target.read_bytes() == mine.read_bytes() == CONTENT
    assert names(target) == [target.name]


def test_another_file_of_this_machine_is_refused_and_left(mine, target, url):
    mine.write_bytes(WRONG)
    with pytest.raises(InputError, match=r"my own\.zip: sha256 .*; fetch the file"):
        fetch([str(mine)], target, SHA256, None)
    with pytest.raises(InputError, match=r"a/b\.zip: nothing there"):
        fetch([str(target.parent / "a/b.zip")], target, SHA256, None)
    assert mine.read_bytes() == WRONG
    assert names(target) == []
    assert fetch([str(mine), url("good")], target, SHA256, None) == SHA256
    assert mine.read_bytes() == WRONG


def test_a_broken_transfer_is_never_continued_in_somebodys_own_file(mine, target, url):
    """The second mirror goes on where the first broke off, with a file of this machine between them."""
    mine.write_bytes(CONTENT[:HALF])
    urls = [str(mine), url("breaks"), str(mine), url("good")]
    assert fetch(urls, target, SHA256, None) == SHA256
    assert mine.read_bytes() == CONTENT[:HALF]


def test_a_folder_of_this_machine_becomes_an_archive(tmp_path, target):
    folder = tmp_path / "photos"
    (folder / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="photos: an empty folder"):
        fetch([str(folder)], target, None, None)
    (folder / "a" / "b.png").write_bytes(b"a picture")
    with pytest.raises(InputError, match="photos: a folder, whose archive has no"):
        fetch([str(folder)], target, SHA256, None)
    table = target.with_name("a.json")
    with pytest.raises(InputError, match="photos: something that is not a JSON file"):
        fetch([str(folder)], table, None, None)
    assert not table.exists()
    (folder / "link").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"photos: .*link, which leads nowhere"):
        fetch([str(folder)], target, None, None)
    (folder / "link").unlink()
    fetch([str(folder)], target, None, None)
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ["a/b.png"]


def test_no_proxy_is_needed_for_what_lies_here(mine, target, monkeypatch):
    monkeypatch.setenv("http_proxy", "nonsense://")
    assert fetch([str(mine)], target, SHA256, None) == SHA256


@pytest.fixture
def run_download(tmp_path, target):
    def run(url):
        listed = tmp_path / "downloads.csv"
        listed.write_text(
            "file,urls,sha256,bytes,licence,note\n"
            f"{target.name},{url},{SHA256},{len(CONTENT)},none,\n"
        )
        spec = DownloadSpec(file=target.name, sha256=SHA256)
        download(Request("download", "k", {}, {}, target.parent), spec, listed)

    return run


def test_the_download_step_fetches_what_the_list_says(
    run_download, url, target, capsys
):
    run_download(url("good"))
    assert target.read_bytes() == CONTENT
    assert SHA256 in capsys.readouterr().out


def test_the_download_step_keeps_a_right_file_put_there_by_hand(
    run_download, url, server, target
):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    run_download(url("gone"))
    assert target.read_bytes() == CONTENT
    assert server.asked == []


def test_the_download_step_names_a_wrong_path(run_download):
    with pytest.raises(
        InputError, match=r"correct its path in .*downloads\.csv, which"
    ):
        run_download("./mine.zip")


@pytest.mark.parametrize(
    ("place", "found"), [("pipe", "a device"), ("a\0b", "nothing there")]
)
def test_what_is_no_file_of_this_machine_is_one_line(tmp_path, target, place, found):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=f": {found};"):
        fetch([f"file:{tmp_path}/{place}"], target, None, None)
