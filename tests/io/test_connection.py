import contextlib
import os
import socket
import socketserver
import threading

import httpx
import pytest
from picture_server import picture_of, picture_server

from tests.serving import running
from tipcap.errors import InputError
from tipcap.io import connection
from tipcap.io.connection import set_up_connection
from tipcap.io.download import fetch

NAMES = [f"{scheme}_proxy" for scheme in ("http", "https", "all", "no", "ftp")]
NAMES += [name.upper() for name in NAMES] + ["SSL_CERT_FILE", "SSL_CERT_DIR"]


@pytest.fixture
def environment(monkeypatch):
    """An environment without proxies; what is set up there is gone after the test."""
    kept = {name: text for name, text in os.environ.items() if name not in NAMES}
    monkeypatch.setattr(os, "environ", kept)
    return monkeypatch


class _Socks5(socketserver.BaseRequestHandler):
    """SOCKS 5 for whoever names no password: connects to this machine, whatever host is asked for."""

    def handle(self):
        _, count = self.request.recv(2)
        self.request.recv(count)
        self.request.sendall(b"\x05\x00")
        *_, kind = self.request.recv(4)
        length = self.request.recv(1)[0] if kind == 3 else 4
        self.request.recv(length)
        port = int.from_bytes(self.request.recv(2), "big")
        self.server.ports.append(port)
        with socket.create_connection(("127.0.0.1", port)) as other:
            self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
            back = threading.Thread(target=_copy, args=(other, self.request))
            back.start()
            _copy(self.request, other)
            back.join()


def _copy(source, target):
    with contextlib.suppress(OSError):
        while block := source.recv(1 << 16):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def socks_proxy():
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Socks5)
    server.ports = []
    server.daemon_threads = True
    with running(server):
        yield server


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks", "SOCKS5"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "http_proxy"])
def test_files_come_by_way_of_a_socks_proxy(environment, tmp_path, scheme, name):
    pytest.importorskip("socksio")
    with picture_server() as server, socks_proxy() as proxy:
        environment.setenv(name, f"{scheme}://127.0.0.1:{proxy.server_address[1]}")
        fetch([server.url("good", 1)], tmp_path / "a.jpg", None, None)
        assert proxy.ports == [server.server_port]
    assert (tmp_path / "a.jpg").read_bytes() == picture_of(1)


@pytest.mark.parametrize(
    "hosts", ["[::1]", "[::1]:80, ::1", "fe80::/10,10.0.0.0/8", "*.a.b,.c", " ,[::1]"]
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_hosts_without_a_proxy_may_be_written_in_any_form(
    environment, tmp_path, hosts, name
):
    environment.setenv("http_proxy", "http://127.0.0.1:1")
    environment.setenv(name, f"{hosts},127.0.0.1")
    with picture_server() as server:
        fetch([server.url("good", 1)], tmp_path / "a.jpg", None, None)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("[::1]", "::1"),
        ("*.a.b", ".a.b"),
        ("a.b:80", "a.b:80"),
        ("*", "*"),
        ("a.b c; d,", "a.b,c,d"),
    ],
)
def test_a_host_without_a_proxy_is_what_httpx_reads(environment, given, read):
    environment.setenv("NO_PROXY", given)
    set_up_connection()
    assert os.environ["no_proxy"] == read


@pytest.mark.parametrize(
    "proxy",
    [
        "socks4://h:1080",
        "socks4a://h:1080",
        "ftp://h:21",
        "http://",
        "http://:3128",
        "http://h:port",
        "http://h:99999",
        "http://h:0",
        "http://u:s3cret@h:1,http://more@h:2",
        "u:s3cret@http://h:1",
        "http://u:s3cret#more@h:3128",
        "http://u:s3cret/more@h:3128",
        "http://a host:3128",
        "h:port",
        "://h",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_nobody_can_use_is_refused_before_anything_is_asked(
    environment, tmp_path, name, proxy
):
    environment.setenv(name, proxy)
    with picture_server() as server:
        with pytest.raises(InputError, match=f"^{name.lower()}=.*: expected") as caught:
            fetch([server.url("good", 1)], tmp_path / "a.jpg", None, None)
        assert not server.asked
    assert "s3cret" not in str(caught.value)
    assert "more" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_socks_proxy_without_its_package_says_which(environment, monkeypatch):
    monkeypatch.setattr(connection.importlib.util, "find_spec", lambda _: None)
    environment.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(InputError, match="expected the package socksio"):
        set_up_connection()


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.example.org:3128",
        "HTTP://proxy.example.org:3128/",
        "https://u:p%40ss@proxy.example.org",
        "http://[::1]:3128",
    ],
)
def test_a_proxy_in_any_usual_form_is_what_httpx_takes(environment, proxy):
    environment.setenv("HTTPS_PROXY", proxy)
    environment.setenv("ftp_proxy", "socks4://h:1")  # nobody asks for it
    set_up_connection()
    set_up_connection()
    httpx.Client().close()
    assert os.environ["https_proxy"].partition("://")[0] in ("http", "https")


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_certificates_that_cannot_be_read_are_one_line(environment, tmp_path, content):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    environment.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(InputError, match=r"SSL_CERT_FILE=.*: expected certificates"):
        set_up_connection()


def test_folders_of_certificates_that_are_none_are_one_line(environment, tmp_path):
    environment.setenv("SSL_CERT_DIR", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    with pytest.raises(InputError, match=r"SSL_CERT_DIR=.*: expected certificates"):
        set_up_connection()
    (tmp_path / "b").mkdir()
    set_up_connection()
