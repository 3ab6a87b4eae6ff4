"""Asking addresses whether they have a file, without fetching it: a few at a time, and never for long.

`HEAD` tells size, checksum and where an address leads; where a host refuses it, or it does not tell enough, the
first bytes are asked for.
"""

import base64
import binascii
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

import httpx

from tipcap.io.addresses import shown_address, shown_reason
from tipcap.io.file_kinds import LFS_POINTER, PAGE
from tipcap.io.web_forms import is_page

Result = TypeVar("Result")
_FIRST_BYTES = 1024
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?', re.IGNORECASE)
_DIGEST = re.compile(r"sha-?256=:?([A-Za-z0-9+/]{43}=)", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{43}=")
_PERMANENT = (httpx.codes.MOVED_PERMANENTLY, httpx.codes.PERMANENT_REDIRECT)


class Answer(NamedTuple):
    """What an address says of a file."""

    state: Literal["file", "other", "busy", "none"]
    """The file, as far as can be told; something else in its place; none at the moment; none."""
    found: str
    """In words."""
    moved: str = ""
    """Where it leads, in words; empty if nowhere else."""
    remark: str = ""
    """What does not fit and need not mean anything."""


class _Said(NamedTuple):
    response: httpx.Response
    start: bytes | None
    """The first bytes; None after `HEAD`."""


def ask(
    client: httpx.Client, url: str, sha256: str | None, num_bytes: int | None
) -> Answer:
    """Return whether an address has a file.

    Args:
        client: with the time that an answer may take.
        url: the address.
        sha256: of the file; None where it is not known.
        num_bytes: its size, likewise.
    """
    try:
        said = _ask_politely(client, url, num_bytes)
    except httpx.TimeoutException:
        return Answer("none", f"no answer within {client.timeout.read:g} s")
    except httpx.TooManyRedirects:
        return Answer("none", "led in circles")
    except httpx.ConnectError as error:
        return Answer("none", f"no network or no such host ({shown_reason(error)})")
    except Exception as error:  # whatever the network and the library come up with
        return Answer("none", f"no answer ({shown_reason(error)})")
    answer = _judged(said, sha256, num_bytes)
    if not (before := said.response.history):
        return answer
    for_now = "" if all(r.status_code in _PERMANENT for r in before) else " for now"
    there = shown_address(str(said.response.url))
    return answer._replace(moved=f"moved{for_now} to {there}")


def _ask_politely(client: httpx.Client, url: str, num_bytes: int | None) -> _Said:
    """Ask by `HEAD`, and for the first bytes if that was refused or does not settle what is there."""
    headers = {"Accept-Encoding": "identity"}  # else the size is not the file's
    try:
        response = client.head(url, headers=headers)
    except (httpx.RemoteProtocolError, httpx.ReadError):  # a host that hangs up on it
        pass
    else:
        is_settled = response.is_success and num_bytes in _sizes(response)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or (
            is_settled and not _is_page(response)
        ):
            return _Said(response, None)
    headers["Range"] = f"bytes=0-{_FIRST_BYTES - 1}"
    with client.stream("GET", url, headers=headers) as response:
        start = b""
        for block in response.iter_raw(_FIRST_BYTES):
            start += block
            if len(start) >= _FIRST_BYTES:
                break
        return _Said(response, start)


def _judged(said: _Said, sha256: str | None, num_bytes: int | None) -> Answer:
    response = said.response
    status = response.status_code
    match status:
        case 404 | 410:
            return Answer("none", f"gone (status {status})")
        case 401 | 403 | 407 | 451:
            return Answer("none", f"refused (status {status})")
        case 429:
            return Answer("busy", "too many requests (status 429)")
        case _ if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return Answer("busy", f"the host is in trouble (status {status})")
        case _ if not response.is_success:
            return Answer("none", f"refused (status {status})")
    start = said.start or b""
    if _is_page(response) or start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == PAGE:
        return Answer("other", "a page instead of the file")
    if start.startswith(LFS_POINTER):
        return Answer("other", "a Git LFS pointer instead of the file")
    sizes = _sizes(response)
    size = next(iter(sizes), None)
    if num_bytes is not None and size is not None and num_bytes not in sizes:
        return Answer("other", f"a file of {size:,} bytes, expected {num_bytes:,}")
    found, remark = ["reachable"], ""
    if size is not None:
        known = " as expected" if num_bytes is not None else ""
        found.append(f"{num_bytes or size:,} bytes{known}")
    digests = dict(_digests(response))
    if sha256 is not None and sha256.lower() in digests.values():
        found.append("checksum as expected")
    elif sha256 is not None and digests:
        name, other = next(iter(digests.items()))
        if name != "etag":  # a host may number its files as it likes
            return Answer("other", f"a file with checksum {other} ({name})")
        remark = f"its etag is another checksum ({other})"
    return Answer("file", ", ".join(found), remark=remark)


def _is_page(response: httpx.Response) -> bool:
    return is_page(response.headers.get("content-type", ""))


def _sizes(response: httpx.Response) -> list[int]:
    """Return what the hosts on the way say of the file's size, the last one's word first."""
    of_range = response.headers.get("content-range", "").rpartition("/")[2]
    said = [of_range or response.headers.get("content-length", "")]
    # the Hugging Face hub tells it before it leads elsewhere
    said += [r.headers.get("x-linked-size", "") for r in response.history]
    return [int(size) for size in said if size.isdecimal()]


def _digests(response: httpx.Response) -> Iterator[tuple[str, str]]:
    """Yield the file's sha256 as the hosts on the way give it, by the header's name."""
    for one in (*response.history, response):
        for name in ("x-linked-etag", "etag"):
            if found := _SHA256.fullmatch(one.headers.get(name, "")):
                yield name.removeprefix("x-linked-"), found[1].lower()
        for name in ("digest", "repr-digest", "content-digest"):
            # of a part of the file it is the part's
            is_whole = one.status_code != httpx.codes.PARTIAL_CONTENT
            found = _DIGEST.search(one.headers.get(name, ""))
            if found and (is_whole or name == "repr-digest"):
                yield name, _hexadecimal(found[1])
        value = one.headers.get("x-amz-checksum-sha256", "")
        if _BASE64.fullmatch(value):
            yield "x-amz-checksum-sha256", _hexadecimal(value)


def _hexadecimal(text: str) -> str:
    return binascii.hexlify(base64.b64decode(text)).decode()


def ask_side_by_side(
    questions: Sequence[Callable[[], Result]], workers: int, seconds: float
) -> list[Result | None]:
    """Return the answers in the order of the questions; None for those that took longer than all may together.

    Args:
        questions: what to call; they raise nothing.
        workers: how many are asked at the same time.
        seconds: for all of them.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    answered: queue.SimpleQueue[tuple[int, Result]] = queue.SimpleQueue()
    for number in range(len(questions)):
        waiting.put(number)
    end = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < end:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            answered.put((number, questions[number]()))

    # daemons: a host that sends a byte now and then holds up nobody
    for _ in range(min(workers, len(questions))):
        threading.Thread(target=work, daemon=True).start()
    found: list[Result | None] = [None] * len(questions)
    for _ in questions:
        try:
            number, answer = answered.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        found[number] = answer
    return found
