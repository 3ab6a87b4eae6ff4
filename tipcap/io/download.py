"""Fetching files: mirrors in order, resumed where a transfer broke off, named only when the checksum is right."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tipcap.config.downloads import PIP_ADDRESS
from tipcap.errors import InputError
from tipcap.io.addresses import shown_address, shown_reason
from tipcap.io.connection import set_up_connection
from tipcap.io.progress import Progress
from tipcap.io.wheels import transfer_wheel

_TIMEOUT_S = 60.0


def fetch(
    urls: Sequence[str],
    target: Path,
    sha256: str | None,
    num_bytes: int | None,
    *,
    headers: Mapping[str, str] | None = None,
    remedy: str | None = None,
) -> str:
    """Fetch a file from the first address that has it, and return its sha256.

    A file that has its final name already is checked and kept. `pip:NAME==VERSION` is the wheel of a
    package, from the index that pip is configured with.

    Args:
        urls: mirrors, in the order they are tried.
        target: final name; the transfer goes on in `.<name>.part` beside it across calls.
        sha256: expected checksum; None where it is not known.
        num_bytes: expected size; None where it is not known.
        headers: sent along with every request.
        remedy: what else to do where nobody has the file; by default, about downloads.csv.

    Raises:
        InputError: no mirror gave the expected bytes, with what each one gave; or another file is there; or
            the environment names a proxy that cannot be used.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    expected = f"sha256 {sha256}" if sha256 else f"{num_bytes or 'some'} bytes"
    if target.exists():
        found, problem = _check(target, sha256, num_bytes)
        if problem:
            raise InputError(
                f"{target}: expected {expected}, found {problem}; remove the file"
            )
        return found
    set_up_connection()
    part = target.with_name(f".{target.name}.part")
    failures = []
    for url in urls:
        resumed = part.exists()
        try:
            found, problem = _attempt(url, part, sha256, num_bytes, headers)
            if problem and resumed:  # the fault may lie in what was here before
                found, problem = _attempt(url, part, sha256, num_bytes, headers)
        except Exception as error:  # whatever the network and the library come up with
            failures.append(f"{shown_address(url)}: {shown_reason(error)}")
            continue
        if not problem:
            part.replace(target)
            return found
        failures.append(f"{shown_address(url)}: {problem}")
    reasons = "; ".join(failures) if failures else "no address is known"
    remedy = (
        remedy or f"fetch the file by hand to {target} or add a mirror to downloads.csv"
    )
    raise InputError(f"{target.name}: expected {expected}, found {reasons}; {remedy}")


def _attempt(
    url: str,
    part: Path,
    sha256: str | None,
    num_bytes: int | None,
    headers: Mapping[str, str] | None,
) -> tuple[str, str]:
    """Complete `part` from one address; return as `_check`. A wrong file is removed."""
    package = PIP_ADDRESS.fullmatch(url)
    if package and sha256:
        if problem := transfer_wheel(package[1], part, sha256, num_bytes):
            return "", problem
    else:
        _transfer(url, part, num_bytes, headers)
    found, problem = _check(part, sha256, num_bytes)
    if problem:
        part.unlink()
    return found, problem


def _check(file: Path, sha256: str | None, num_bytes: int | None) -> tuple[str, str]:
    """Return a file's sha256 and what is wrong with it; an empty text if nothing is."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if sha256 is not None and found != sha256:
        return found, f"sha256 {found}"
    if num_bytes is not None and file.stat().st_size != num_bytes:
        return found, f"{file.stat().st_size} bytes"
    return found, ""


def _transfer(
    url: str, part: Path, num_bytes: int | None, given: Mapping[str, str] | None
) -> None:
    have = part.stat().st_size if part.exists() else 0
    if num_bytes is not None and have == num_bytes:
        return
    # compressed on the way, a transfer could not be resumed at a byte of the file
    headers = {**(given or {}), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with httpx.stream(
        "GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S
    ) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is here already; the checksum decides
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        left = int(response.headers.get("content-length", 0))
        progress = Progress(
            part.name[1:-5], (have if resumed else 0) + left, have if resumed else 0
        )
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_bytes():  # as they come: a broken one loses none
                file.write(chunk)
                progress.advance(len(chunk))
        progress.close()
