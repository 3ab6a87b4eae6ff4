"""What the environment says of the way to the network, brought into the form that all libraries understand.

Desktops and administrators write proxies in more forms than libraries read: httpx stops at `socks://` and at
`no_proxy=[::1]`. What has only one meaning is rewritten in this process's environment, which the programs that
it starts have too; what nobody here can use is refused before anything is fetched.
"""

import importlib.util
import os
import re
import ssl
import urllib.request
from ipaddress import ip_address
from pathlib import Path

import httpx

from tipcap.errors import InputError, edge
from tipcap.io.addresses import shown_address

_ASKED = ("http", "https", "all")
"""The proxies that are asked for by what is fetched here; `ftp_proxy` is none of them."""
_SOCKS = ("socks5", "socks5h")
_BETWEEN = re.compile(r"[,;\s]+")  # hosts, as curl and others take them
_FORMS = "http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT"


def set_up_connection() -> None:
    """Bring proxies and certificates of the environment into a form that can be used.

    Raises:
        InputError: a proxy of a kind that is not spoken here or with a malformed address, or certificates
            that cannot be read.
    """
    # libraries ask for the names in small letters first
    for scheme, address in urllib.request.getproxies_environment().items():
        name = f"{scheme}_proxy"
        if scheme in _ASKED:
            os.environ[name] = _proxy(name, address)
        elif scheme == "no":
            hosts = map(_host, _BETWEEN.split(address))
            os.environ[name] = ",".join(filter(None, hosts))
    for name, option in (("SSL_CERT_FILE", "cafile"), ("SSL_CERT_DIR", "capath")):
        if place := os.environ.get(name):
            with edge(f"{name}={place}", "certificates", "correct or unset it"):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(**{option: place})
    folders = [f for f in os.environ.get("SSL_CERT_DIR", "").split(os.pathsep) if f]
    is_asked = not os.environ.get("SSL_CERT_FILE")
    # OpenSSL takes folders that are none, and trusts nobody then
    if is_asked and folders and not any(Path(folder).is_dir() for folder in folders):
        raise InputError(
            f"SSL_CERT_DIR={os.environ['SSL_CERT_DIR']}: expected certificates, found no such folder; correct or unset it"
        )


def _proxy(name: str, address: str) -> str:
    """Return a proxy's address in the form that all libraries read."""
    scheme, mark, rest = address.strip().partition("://")
    scheme, rest = (scheme.lower(), rest) if mark else ("http", scheme)
    if scheme == "socks":  # what desktops write
        scheme = "socks5"
    shown = f"{name}={shown_address(address)}"
    if scheme not in ("http", "https", *_SOCKS):
        kind = f"one of kind {scheme}" if scheme.isalnum() else "another"
        raise InputError(
            f"{shown}: expected a proxy of the form {_FORMS}, found {kind}; name another proxy or unset it"
        )
    try:
        found = httpx.Proxy(f"{scheme}://{rest}").url
    except (ValueError, httpx.InvalidURL):
        found = None
    if (
        found is None
        or not found.host.strip("*")
        or " " in rest
        or not 0 < (1 if found.port is None else found.port) < 1 << 16
        or found.path.strip("/")
        or found.query
        or found.fragment
    ):
        raise InputError(
            f"{shown}: expected a proxy of the form {_FORMS}, found a malformed address; correct or unset it, with signs of a password such as @ and / written as %40 and %2F"
        )
    if scheme in _SOCKS and importlib.util.find_spec("socksio") is None:
        raise InputError(
            f"{shown}: expected the package socksio, which SOCKS proxies need, found none; pip install -r requirements.lock"
        )
    return f"{scheme}://{rest}"


def _host(entry: str) -> str:
    """Return a host that is reached without a proxy as httpx reads it; an empty text for what it would stop at."""
    host = entry.strip()
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    if host.startswith("["):
        host = f"all://{host}"  # with a port
    elif host.startswith("*."):
        host = host[1:]
    try:
        httpx.URL(host if "://" in host else f"all://*{host}")
    except (
        httpx.InvalidURL
    ):  # a range of addresses of version 6, which no library here reads
        return ""
    return host
