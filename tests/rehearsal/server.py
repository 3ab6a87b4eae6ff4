"""The web of the paper's hosts on this machine, with what those hosts do to whoever fetches from them.

A proxy: whoever is given its address as HTTP_PROXY and HTTPS_PROXY and its certificate as SSL_CERT_FILE asks
the true addresses and hosts, and gets what this server has for them. Nothing leaves this machine.
"""

import contextlib
import datetime
import functools
import hashlib
import http.server
import ipaddress
import json
import re
import ssl
import threading
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.serving import serving

DRIVE = "https://drive.usercontent.google.com/download"
_FIELDS = ("export=download", "confirm=t", "uuid=5f1c8a52-0000-4000-8000-3d6a1b2c4e5f")
_BLOCK = 1 << 20
_DAYS = 30


def virus_scan_page(number):
    """Return what Google Drive shows before a file of this number, and where its form leads."""
    fields = [f"id={number}", *_FIELDS]
    inputs = "".join(
        '<input type="hidden" name="{}" value="{}">'.format(*field.split("="))
        for field in fields
    )
    page = (
        "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
        "<p>Google Drive can't scan this file for viruses.</p>"
        f'<form id="download-form" action="{DRIVE}" method="get">{inputs}</form></body></html>'
    )
    return page.encode(), f"{DRIVE}?{'&'.join(fields)}"


class Address(NamedTuple):
    """What an address answers."""

    file: Path | None = None
    """What lies there."""
    to: str | None = None
    """Where it leads instead."""
    status: int = 200
    page: bytes | None = None
    """A page that is sent instead of a file."""
    first: tuple[str, ...] = ()
    """What befalls the first questions, one each: `cut`, `429`, `503`."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """A proxy's side of CONNECT, and then that of the host that was asked for."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    host = None

    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()
        self.host = self.path.rpartition(":")[0]
        try:
            context = self.server.authority.context(self.host)
            self.connection = context.wrap_socket(self.connection, server_side=True)
        except (OSError, ssl.SSLError):
            self.close_connection = True
            return
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = f"https://{self.host}{self.path}" if self.host else self.path
        with self.server.lock:
            self.server.asked[url] += 1
            count = self.server.asked[url]
            self.server.ranges[url].append(self.headers.get("Range"))
        address = self.server.addresses.get(url, Address(status=404))
        fault = address.first[count - 1] if count <= len(address.first) else None
        if fault and fault != "cut":
            self._head(int(fault), 0, {"Retry-After": "0"})
        elif address.to:
            self._head(302, 0, {"Location": address.to})
        elif address.page is not None:
            self._send(address.page, {"Content-Type": "text/html; charset=utf-8"})
        elif address.file is None:
            self._send(b"not here\n", {"Content-Type": "text/plain"}, address.status)
        else:
            self._send_file(address.file, is_cut=fault == "cut")

    def _send(self, content, headers, status=200):
        self._head(status, len(content), headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_file(self, file, is_cut):
        size = file.stat().st_size
        first = 0
        headers = {
            "Content-Type": _content_type(file),
            "ETag": f'"{self.server.tag(file)}"',
            "Accept-Ranges": "bytes",
        }
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if wanted and condition in (None, headers["ETag"]):
            first = int(wanted[1])
            if first >= size:
                self._head(416, 0, {"Content-Range": f"bytes */{size}"})
                return
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
            self._head(206, size - first, headers)
        else:
            self._head(200, size, headers)
        if self.command == "HEAD":
            return
        left = (size - first) // 2 if is_cut else size - first
        self.close_connection = is_cut
        with file.open("rb") as content:
            content.seek(first)
            while left and (block := content.read(min(_BLOCK, left))):
                self.wfile.write(block)
                left -= len(block)

    def _head(self, status, length, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def handle(self):
        with contextlib.suppress(OSError):  # whoever asked has gone
            super().handle()

    def finish(self):
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()  # of TLS, which the server does not know of

    def log_message(self, *words):
        pass


def _content_type(file):
    kinds = {
        ".json": "application/json",
        ".jpg": "image/jpeg",
        ".zip": "application/zip",
    }
    return kinds.get(file.suffix, "application/octet-stream")


class Authority:
    """Who vouches for every host of this web; `file` is its certificate."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rehearsal")])
        certificate = self._signed(self._name, self._key, is_authority=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(_pem(certificate))
        self._lock = threading.Lock()

    def context(self, host):
        """Return what a server of this host needs for TLS."""
        with self._lock:
            return self._made(host)

    @functools.cache  # noqa: B019 - as long as the server
    def _made(self, host):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        file = self._folder / f"{host}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + _pem(self._signed(name, key, host))
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(self, name, key, host=None, is_authority=False):
        now = datetime.datetime.now(datetime.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=_DAYS))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._key.public_key()
                ),
                False,
            )
        )
        if host:
            names = [x509.DNSName(host)]
            with contextlib.suppress(ValueError):
                names = [x509.IPAddress(ipaddress.ip_address(host))]
            built = built.add_extension(x509.SubjectAlternativeName(names), False)
        return built.sign(self._key, hashes.SHA256())


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


@contextlib.contextmanager
def web(addresses, folder):
    """Yield a proxy to the addresses; `asked` counts the questions for each, `ranges` has what part they wanted.

    `environment` is what a process has to be given for its questions to come here.
    """
    authority = Authority(folder)
    tags = {}

    def tag(file):
        if file not in tags:
            tags[file] = hashlib.md5(f"{file.name} {file.stat().st_size}".encode())
        return tags[file].hexdigest()

    noted = {
        "addresses": dict(addresses),
        "authority": authority,
        "asked": Counter(),
        "ranges": _Lists(),
        "tag": tag,
        "lock": threading.Lock(),
        "daemon_threads": True,
    }
    with serving(_Handler, **noted) as server:
        proxy = f"http://127.0.0.1:{server.server_port}"
        names = ("http_proxy", "https_proxy")
        server.environment = {
            **dict.fromkeys([*names, *map(str.upper, names)], proxy),
            "SSL_CERT_FILE": str(authority.file),
        }
        yield server


class _Lists(dict):
    def __missing__(self, name):
        self[name] = []
        return self[name]


def load_addresses(folder):
    """Return what `files.py` has written of single pictures: address -> file, None for one that is gone."""
    listed = json.loads((folder / "pictures.json").read_text())
    return {url: name and folder / name for url, name in listed.items()}
