"""Fetching files: mirrors in order, resumed where a transfer broke off, named only when the checksum is right."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import httpx

from tipcap.errors import InputError
from tipcap.io.progress import Progress

_TIMEOUT_S = 60.0


def fetch(
    urls: Sequence[str], target: Path, sha256: str | None, num_bytes: int | None
) -> str:
    """Fetch a file from the first address that has it, and return its sha256.

    Args:
        urls: mirrors, in the order they are tried.
        target: final name; the transfer goes on in `.<name>.part` beside it across calls.
        sha256: expected checksum; None where it is not known.
        num_bytes: expected size; None where it is not known.

    Raises:
        InputError: no mirror gave the expected bytes; says what each one gave.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    failures = []
    for url in urls:
        resumed = part.exists()
        try:
            found, problem = _attempt(url, part, sha256, num_bytes)
            if problem and resumed:  # the fault may lie in what was here before
                found, problem = _attempt(url, part, sha256, num_bytes)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = str(error).partition("\n")[0]
            failures.append(f"{url}: {type(error).__name__} {reason}".strip())
            continue
        if not problem:
            part.replace(target)
            return found
        failures.append(f"{url}: {problem}")
    expected = f"sha256 {sha256}" if sha256 else f"{num_bytes or 'some'} bytes"
    reasons = "; ".join(failures) if failures else "no address is known"
    raise InputError(
        f"{target.name}: expected {expected}, found {reasons}; fetch the file by hand to {target} or add a mirror to downloads.csv"
    )


def _attempt(
    url: str, part: Path, sha256: str | None, num_bytes: int | None
) -> tuple[str, str]:
    """Complete `part` from one address; return its sha256 and what is wrong with it.

    Nothing is wrong: an empty text. A wrong file is removed.
    """
    _transfer(url, part, num_bytes)
    found, size = _sha256(part), part.stat().st_size
    if sha256 is not None and found != sha256:
        problem = f"sha256 {found}"
    elif num_bytes is not None and size != num_bytes:
        problem = f"{size} bytes"
    else:
        return found, ""
    part.unlink()
    return found, problem


def _transfer(url: str, part: Path, num_bytes: int | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if num_bytes is not None and have == num_bytes:
        return
    # compressed on the way, a transfer could not be resumed at a byte of the file
    headers = {"Accept-Encoding": "identity"}
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
