"""pip against an index on this machine, which has one small wheel."""

import base64
import hashlib
import http.server
import io
import os
import subprocess
import sys
import time
import zipfile

import pytest
from processes import processes_with, survives

from tests.serving import serving
from tipcap.errors import InputError
from tipcap.io.download import fetch
from tipcap.io.wheels import _reason, find_wheel

SECRET = "s3cret-t0ken"
CREDENTIALS = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
NAME = "jars-1.0-py3-none-any.whl"
ADDRESS = ["pip:jars==1.0"]


def wheel():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("jars/big.jar", os.urandom(200_000))
        facts = "Metadata-Version: 2.1\nName: jars\nVersion: 1.0\n"
        # neither is installed: another Python and a package that is nowhere
        needs = "Requires-Python: <3\nRequires-Dist: nowhere\n"
        archive.writestr("jars-1.0.dist-info/METADATA", facts + needs)
        archive.writestr(
            "jars-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("jars-1.0.dist-info/RECORD", "")
    return content.getvalue()


WHEEL = wheel()
SHA256 = hashlib.sha256(WHEEL).hexdigest()


class _Index(http.server.BaseHTTPRequestHandler):
    """The simple API: open under /simple, for who has the secret under /private, broken under /down."""

    def do_GET(self):
        self.server.asked.append(self.path)
        kind, *_, last = self.path.strip("/").split("/")
        if kind == "down":
            self.send_error(503)
        elif kind == "private" and self.headers.get("Authorization") != CREDENTIALS:
            self.send_error(401)
        elif last == "jars":
            self.answer("text/html", f'<a href="{NAME}">{NAME}</a>'.encode())
        elif last == NAME:
            self.answer("application/zip", WHEEL)
        else:
            self.send_error(404)

    def answer(self, kind, content):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if kind == "application/zip" and self.server.stalls:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            time.sleep(600)
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Return a function that makes a path of the server pip's index, and nothing else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(_Index, asked=[], stalls=False) as server:
        server.daemon_threads = True
        server.block_on_close = False

        def choose(path, user=""):
            address = f"http://{user}127.0.0.1:{server.server_port}/{path}"
            monkeypatch.setenv("PIP_INDEX_URL", address)
            return server

        yield choose


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / NAME


def refused(target, sha256=SHA256, urls=ADDRESS):
    """The one line that a download ends with; nothing is left then."""
    with pytest.raises(InputError) as caught:
        fetch(urls, target, sha256, len(WHEEL))
    assert not list(target.parent.iterdir())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_wheel_comes_from_pips_own_index_and_shows_how_far_it_is(
    index, target, capfd
):
    server = index("simple")
    assert fetch(ADDRESS, target, SHA256, len(WHEEL)) == SHA256
    assert target.read_bytes() == WHEEL
    assert [path.name for path in target.parent.iterdir()] == [NAME]
    assert "/simple/jars/" in server.asked
    out, err = capfd.readouterr()
    assert out == ""
    assert f"{NAME}: {len(WHEEL)}/{len(WHEEL)}" in err


def test_what_the_user_has_set_for_other_packages_does_not_matter(
    index, target, monkeypatch
):
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    index("simple")
    assert fetch(ADDRESS, target, SHA256, None) == SHA256


def test_another_file_of_that_name_is_refused_with_its_checksum(index, target):
    index("simple")
    message = refused(target, sha256="0" * 64)
    assert f"found pip:jars==1.0: sha256 {SHA256}" in message


def test_a_version_that_the_index_does_not_have_is_said(index, target):
    index("simple")
    assert "no such version" in refused(target, urls=["pip:jars==2.0"])
    assert "no such version" in refused(target, urls=["pip:nowhere==1.0"])


def test_an_index_that_is_down_is_said_and_the_next_address_is_tried(
    index, target, tmp_path
):
    server = index("down")
    assert "does not answer" in refused(target)
    mirror = f"http://127.0.0.1:{server.server_port}/simple/{NAME}"
    assert fetch([*ADDRESS, mirror], target, SHA256, len(WHEEL)) == SHA256


def test_an_index_that_cannot_be_reached_is_said(index, target, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:{SECRET}@127.0.0.1:9/{SECRET}/")
    message = refused(target)
    assert "does not answer; look at `pip config list`" in message
    assert SECRET not in message


def test_an_index_with_a_password_is_used_and_never_named(index, target, capfd):
    index("private", f"me:{SECRET}@")
    assert fetch(ADDRESS, target, SHA256, len(WHEEL)) == SHA256
    target.unlink()
    index("private", f"me:{SECRET}-of-yesterday@")
    message = refused(target) + "".join(capfd.readouterr())
    assert "access refused" in message
    assert SECRET not in message
    assert "127.0.0.1" not in message


def test_a_python_without_pip_is_said(target, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2; exit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr("tipcap.io.wheels.tied", lambda command: [str(python)])
    assert "no pip in this Python" in refused(target)


@pytest.mark.parametrize(
    "said",
    [
        f"ERROR: cannot open https://me:{SECRET}@host/simple for http://host/{SECRET}/x",
        f"ERROR: odd answer of me:{SECRET}@host",
        f"no error line, but {SECRET}",
    ],
)
def test_what_pip_says_of_an_address_is_left_out(said):
    assert SECRET not in _reason(2, said)


def test_a_failure_that_is_not_known_is_told_by_its_last_line():
    said = "WARNING: one\nERROR: first\nERROR: the moon is in the way\n"
    assert _reason(2, said) == "pip ended with status 2 ERROR: the moon is in the way"


FETCH = """
import sys
from pathlib import Path
from tipcap.io.download import fetch
fetch(["pip:jars==1.0"], Path(sys.argv[1]), sys.argv[2], None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_killed_nothing_has_the_final_name_and_no_pip_goes_on(index, target):
    server = index("simple")
    server.stalls = True
    command = [sys.executable, "-c", FETCH, str(target), SHA256]
    with subprocess.Popen(command) as caller:
        while not any(NAME in path for path in server.asked):
            assert caller.poll() is None
            time.sleep(0.02)
        assert len(processes_with(str(target.parent / f"..{NAME}"))) == 1
        caller.kill()
    assert not survives(str(target.parent / f"..{NAME}"))
    assert not target.exists()
    server.stalls = False
    assert fetch(ADDRESS, target, SHA256, len(WHEEL)) == SHA256
    assert [path.name for path in target.parent.iterdir()] == [NAME]


def test_whether_pip_would_find_a_wheel_is_known_without_fetching_it(index):
    server = index("simple")
    assert find_wheel("jars==1.0", 60.0) == ""
    assert "no such version" in find_wheel("jars==2.0", 60.0)
    assert not any(path.endswith(NAME) for path in server.asked)
    assert find_wheel("jars==1.0", 0.01) == "no answer of pip within 0.01 s"
