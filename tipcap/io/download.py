"""Fetching files: mirrors in order, resumed where a transfer broke off, named only when they are what they should be."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

import httpx

from tipcap.config.downloads import PIP_ADDRESS, local_path
from tipcap.errors import InputError
from tipcap.io.addresses import shown_address, shown_reason
from tipcap.io.connection import set_up_connection
from tipcap.io.file_kinds import problem_of
from tipcap.io.folders import files_in
from tipcap.io.local_files import take_path
from tipcap.io.progress import Progress
from tipcap.io.web_forms import address_behind, is_page
from tipcap.io.wheels import transfer_wheel

_TIMEOUT_S = 60.0
_MAX_PAUSE_S = 60.0  # that a server may ask for
_MAX_PAGE = 1 << 20  # bytes of a page that are looked at
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
_AS_THEY_ARE = {"Accept-Encoding": "identity"}
"""Compressed on the way, a transfer could not be resumed at a byte of the file."""


class _Refused(Exception):
    """An address gave something that is not the file; the words say what."""


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
    package, from the index that pip is configured with. A path (`local_path`) is a file of this machine, which is
    checked like any other, or a folder, which becomes an archive; both stay where they are.

    Args:
        urls: mirrors, in the order they are tried.
        target: final name; the transfer goes on in `.<name>.part` beside it across calls: from any mirror where
            the checksum is known, else only from the address that it was begun at, if that still has the same.
        sha256: expected checksum; None where it is not known. Then the file must be what its name says, and whole.
        num_bytes: expected size; None where it is not known.
        headers: sent along with every request.
        remedy: what else to do where nobody has the file; by default, about downloads.csv.

    Raises:
        InputError: no mirror gave the expected bytes, with what each one gave; or another file is there; or
            the environment names a proxy that cannot be used.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return checked(target, sha256, num_bytes)
    places = [local_path(url) for url in urls]
    if None in places or not places:
        set_up_connection()
    part = _Part(target.with_name(f".{target.name}.part"))
    failures = []
    for url, place in zip(urls, places, strict=True):
        if place is not None:
            found, problem = take_checked(place, target, sha256, num_bytes)
            if not problem:
                part.drop()
                return found
            failures.append(f"{place}: {problem}")
            continue
        resumed = part.path.exists()
        try:
            found, problem = _attempt(
                url, part, target.name, sha256, num_bytes, headers
            )
            if problem and resumed and not part.path.exists():
                # the fault may have lain in what was here before
                found, problem = _attempt(
                    url, part, target.name, sha256, num_bytes, headers
                )
        except Exception as error:  # whatever the network and the library come up with
            failures.append(f"{shown_address(url)}: {shown_reason(error)}")
            continue
        if not problem:
            part.path.replace(target)
            part.drop()
            return found
        failures.append(f"{shown_address(url)}: {problem}")
    reasons = "; ".join(failures) if failures else "no address is known"
    remedy = (
        remedy or f"fetch the file by hand to {target} or add a mirror to downloads.csv"
    )
    raise InputError(
        f"{target.name}: expected {_expected(sha256, num_bytes)}, found {reasons}; {remedy}"
    )


def take_checked(
    place: Path, target: Path, sha256: str | None, num_bytes: int | None
) -> tuple[str, str]:
    """Put what lies on this machine under its final name if it is right.

    Args:
        place: a file, or a folder, which becomes an archive.
        target: final name.
        sha256: expected checksum; None where it is not known.
        num_bytes: expected size; None where it is not known.

    Returns:
        Its sha256, and what is wrong with it; an empty text if nothing is.

    Raises:
        InputError: as `take_path`.
    """
    try:
        if place.is_file():
            found, problem = _check(place, target.name, sha256, num_bytes)
            if not problem:
                take_path(place, target)
            return found, problem
        if not place.is_dir():
            return "", "a device" if place.exists() else "nothing there"
        if sha256 or num_bytes:
            return "", "a folder, whose archive has no checksum or size of its own"
        if next(files_in(place), None) is None:
            return "", "an empty folder"
        take_path(place, target)
        found, problem = _check(target, target.name, sha256, num_bytes)
        if problem:
            target.unlink()
        return found, problem
    except FileNotFoundError as error:  # a link in a folder
        return "", f"{error.filename}, which leads nowhere"
    except OSError as error:
        return "", shown_reason(error)


def checked(file: Path, sha256: str | None, num_bytes: int | None) -> str:
    """Return the sha256 of a file that is there already.

    Raises:
        InputError: it is another file.
    """
    found, problem = _check(file, file.name, sha256, num_bytes)
    if problem:
        raise another(file, sha256, num_bytes, problem)
    return found


def another(
    file: Path, sha256: str | None, num_bytes: int | None, problem: str
) -> InputError:
    """Return the error for a file that lies where another should."""
    return InputError(
        f"{file}: expected {_expected(sha256, num_bytes)}, found {problem}; remove the file"
    )


def _expected(sha256: str | None, num_bytes: int | None) -> str:
    return f"sha256 {sha256}" if sha256 else f"{num_bytes or 'some'} bytes"


class _Part:
    """What has come of a file so far, and from where; the second lies in a file beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._origin = path.with_name(f"{path.name}.from")

    def drop(self) -> None:
        """Forget everything."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def validator(self, url: str) -> str | None:
        """Return what tells the file that was begun at an address from later ones there; None if nothing does."""
        try:
            origin = json.loads(self._origin.read_bytes())
            if origin["address"] == _digest(url):
                return str(origin["validator"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def begin(self, url: str, validator: str | None) -> None:
        """Note where the bytes that are about to come are from, before any of them."""
        self.drop()
        if validator:
            origin = {"address": _digest(url), "validator": validator}
            self._origin.write_text(json.dumps(origin), "utf-8")


def _digest(url: str) -> str:
    """Return what tells addresses apart and holds none of their secrets."""
    return hashlib.sha256(url.encode()).hexdigest()


def _attempt(
    url: str,
    part: _Part,
    name: str,
    sha256: str | None,
    num_bytes: int | None,
    headers: Mapping[str, str] | None,
) -> tuple[str, str]:
    """Complete `part` from one address; return as `_check`. A wrong file is removed."""
    package = PIP_ADDRESS.fullmatch(url)
    try:
        if package and sha256:
            problem = transfer_wheel(package[1], part.path, sha256, num_bytes)
            if problem:
                return "", problem
        else:
            _transfer(_Wanted(url, name, sha256, num_bytes), part, headers)
    except _Refused as refusal:
        return "", str(refusal)
    found, problem = _check(part.path, name, sha256, num_bytes)
    if problem:
        part.drop()
    return found, problem


def _check(
    file: Path, name: str, sha256: str | None, num_bytes: int | None
) -> tuple[str, str]:
    """Return a file's sha256 and what is wrong with it; an empty text if nothing is."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if sha256 is not None:
        if found == sha256:
            return found, ""
        kind = problem_of(file, name)
        return found, f"sha256 {found}{f', {kind}' if kind else ''}"
    if num_bytes is not None and file.stat().st_size != num_bytes:
        kind = problem_of(file, name)
        return found, f"{file.stat().st_size} bytes{f', {kind}' if kind else ''}"
    return found, problem_of(file, name)


class _Wanted(NamedTuple):
    """A file at an address."""

    url: str
    name: str
    sha256: str | None
    num_bytes: int | None


def _transfer(wanted: _Wanted, part: _Part, given: Mapping[str, str] | None) -> None:
    """Bring `part` to its end; what cannot be shown to belong to this very file is fetched anew."""
    headers = {**(given or {}), **_AS_THEY_ARE}
    have = part.path.stat().st_size if part.path.exists() else 0
    validator = part.validator(wanted.url)
    if have and not wanted.sha256:
        if validator is None:
            have = 0
        else:
            headers["If-Range"] = validator
    if have and have == wanted.num_bytes and wanted.sha256:
        return
    if have:
        headers["Range"] = f"bytes={have}-"
    else:
        headers.pop("If-Range", None)
    if _receive(wanted.url, wanted, part, headers, have) is _AGAIN:
        whole = {**(given or {}), **_AS_THEY_ARE}
        if _receive(wanted.url, wanted, part, whole, 0) is _AGAIN:
            raise _Refused("an answer about another part of the file")


_DONE, _AGAIN = object(), object()


def _receive(
    url: str,
    wanted: _Wanted,
    part: _Part,
    headers: Mapping[str, str],
    have: int,
    *,
    is_behind_form: bool = False,
) -> object:
    """Add to `part` what an address answers; `_AGAIN` where all of it has to be asked for anew."""
    behind, pause = None, 0.0
    for is_last in (False, True):
        with httpx.stream(
            "GET", url, headers=dict(headers), follow_redirects=True, timeout=_TIMEOUT_S
        ) as response:
            if response.status_code in _BUSY and not is_last:
                pause = asked_pause(response)
            elif response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                # all of it may be here already; the checksum decides
                return _DONE if wanted.sha256 else _AGAIN
            else:
                response.raise_for_status()
                if not _is_page(response, wanted.name):
                    return _keep(response, wanted, part, have)
                page = b"" if is_behind_form else _beginning_of(response)
                behind = address_behind(page, str(response.url))
                if behind is None:
                    raise _Refused("a page (HTML) instead of the file")
        if behind is not None:
            break
        time.sleep(pause)
    # a page's form leads to other hosts, which are told no secrets
    plain = {k: headers[k] for k in ("Range", "If-Range") if k in headers}
    plain |= _AS_THEY_ARE
    return _receive(str(behind), wanted, part, plain, have, is_behind_form=True)


def asked_pause(response: httpx.Response) -> float:
    """Return for how many seconds a busy server asks to wait, at most a minute; one where it does not say."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isdecimal():
        seconds = float(asked)
    else:
        try:
            seconds = parsedate_to_datetime(asked).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            seconds = 1.0
    return min(max(seconds, 0.0), _MAX_PAUSE_S)


def _is_page(response: httpx.Response, name: str) -> bool:
    is_html = is_page(response.headers.get("content-type", ""))
    return is_html and not name.endswith((".html", ".htm"))


def _beginning_of(response: httpx.Response) -> bytes:
    page = bytearray()
    for chunk in response.iter_bytes():
        page += chunk
        if len(page) > _MAX_PAGE:
            break
    return bytes(page)


def _keep(response: httpx.Response, wanted: _Wanted, part: _Part, have: int) -> object:
    """Write what an answer brings; it must be all of the file, or go on where `part` ends."""
    total = None
    resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
    if resumed:
        span = response.headers.get("content-range", "").removeprefix("bytes ")
        place, _, length = span.partition("/")
        if not have or place.partition("-")[0] != str(have):
            return _AGAIN
        before, now = part.validator(wanted.url), _validator_of(response)
        if not wanted.sha256 and now and now != before:
            return _AGAIN  # another file, of a server that does not know If-Range
        total = int(length) if length.isdecimal() else None
    else:
        have = 0
        part.begin(wanted.url, _validator_of(response))
    left = int(response.headers.get("content-length", 0))
    encoding = response.headers.get("content-encoding", "").strip().lower()
    # a server may call a file compressed on the way that is so itself
    is_raw = encoding in ("gzip", "x-gzip") and wanted.name.endswith((".gz", ".tgz"))
    progress = Progress(wanted.name, have + left, have)
    with part.path.open("ab" if resumed else "wb") as file:
        for chunk in response.iter_raw() if is_raw else response.iter_bytes():
            file.write(chunk)  # as they come: a broken transfer loses none
            progress.advance(len(chunk))
    progress.close()
    if total is not None and part.path.stat().st_size != total:
        size = part.path.stat().st_size
        part.drop()
        raise _Refused(f"{size} bytes of {total}")
    return _DONE


def _validator_of(response: httpx.Response) -> str | None:
    """Return what a later request can tell this very file by: a strong tag, or else its date."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return None
    tag = response.headers.get("etag", "")
    found = tag if tag.startswith('"') else response.headers.get("last-modified")
    return None if found is None else str(found)
