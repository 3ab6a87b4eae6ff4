"""Pictures published as a list of addresses: fetched side by side, kept as they come, so that a killed call goes on.

What was fetched lies in an SQLite file until all are there. An address that answers "gone", and bytes that
are no picture, are remembered and not asked for again; one that cannot be reached is tried again by the next
call, and counts as gone when `_MAX_CALLS` calls that came to their end could not reach it.
"""

import contextlib
import hashlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tipcap.errors import InputError, edge
from tipcap.io.addresses import shown_address, shown_reason
from tipcap.io.annotations import ImageRecord
from tipcap.io.connection import set_up_connection
from tipcap.io.download import asked_pause
from tipcap.io.hosts import Hosts
from tipcap.io.picture_files import decode_picture
from tipcap.io.progress import Progress

CONNECTIONS = 16
_TIMEOUT_S = 30.0
_MAX_BYTES = 1 << 26
_PAUSES_S = (1.0, 4.0)  # before the second and the third attempt
_BUSY_PAUSES_S = (1.0, 4.0, 15.0, 60.0)  # where a host asks for fewer questions
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
_MAX_CALLS = 3
_SHOWN = 5  # images that a message names
_UNREACHED_IN_A_ROW = 20
"""So many pictures in a row that cannot be reached mean that the network is down."""
PLACEHOLDER = "photo_unavailable"
"""Where Flickr leads for a picture that it no longer has."""
_SCHEMA = """
create table if not exists fetched (image_id integer primary key, content blob not null);
create table if not exists gone_from (image_id integer primary key, reason text not null, addresses text not null);
create table if not exists unreached (image_id integer primary key, calls integer not null);
"""


class _Gone(Exception):
    """The picture cannot be had from this address, now or later."""


class _Unreached(Exception):
    """The address gave no answer that would settle whether it has the picture."""


class _Busy(Exception):
    """The host wants to be asked later, after `seconds` where it says so."""

    def __init__(self, problem: str, seconds: float | None) -> None:
        super().__init__(problem)
        self.seconds = seconds


class Collection:
    """The pictures that were fetched so far, in a file. Used by one process at a time.

    Raises:
        InputError: the file is no such collection.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._edge():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file)
            self._connection.executescript(_SCHEMA)

    def _edge(self) -> AbstractContextManager[None]:
        return edge(
            self._file,
            "pictures fetched earlier, and room for more",
            "free disk space, or remove the file, they are then fetched again",
        )

    def close(self) -> None:
        """Close the file, which stays."""
        self._connection.close()

    def fetched(self) -> set[int]:
        """Return the ids of pictures that are there."""
        return {image_id for (image_id,) in self._read("select image_id from fetched")}

    def gone(self, candidates: Iterable[ImageRecord]) -> dict[int, str]:
        """Return why pictures cannot be had, by id; those that have other addresses now may be there."""
        rows = self._read("select image_id, reason, addresses from gone_from")
        known = {image_id: (reason, at) for image_id, reason, at in rows}
        return {
            record.image_id: known[record.image_id][0]
            for record in candidates
            if known.get(record.image_id, ("", ""))[1] == _addresses(record)
        }

    def content(self, image_id: int) -> bytes:
        """Return a picture as it was published."""
        ask = "select content from fetched where image_id = ?"
        ((content,),) = self._read(ask, image_id)
        return bytes(content)

    def add(self, image_id: int, content: bytes) -> None:
        """Keep a picture."""
        self._write("insert or replace into fetched values (?, ?)", image_id, content)

    def mark_gone(self, record: ImageRecord, reason: str) -> None:
        """Remember that a picture cannot be had from its addresses."""
        statement = "insert or replace into gone_from values (?, ?, ?)"
        self._write(statement, record.image_id, reason, _addresses(record))

    def mark_unreached(self, record: ImageRecord, reason: str) -> None:
        """Count a call that could not reach a picture; after a few of them it is gone."""
        ask = (
            "insert into unreached values (?, 1)"
            " on conflict (image_id) do update set calls = calls + 1 returning calls"
        )
        with self._edge(), self._connection:
            answer = self._connection.execute(ask, (record.image_id,)).fetchall()
        ((calls,),) = answer
        if calls >= _MAX_CALLS:
            self.mark_gone(record, reason)

    def _read(self, question: str, *values: object) -> list[Any]:
        with self._edge():
            return self._connection.execute(question, values).fetchall()

    def _write(self, statement: str, *values: object) -> None:
        with self._edge(), self._connection:
            self._connection.execute(statement, values)


def _addresses(record: ImageRecord) -> str:
    """Return what tells a picture's addresses from others."""
    return hashlib.sha256("\n".join(record.urls).encode()).hexdigest()


class Collected(NamedTuple):
    """What `collect` found."""

    records: list[ImageRecord]
    """Whose pictures are there, in the order of the candidates."""
    gone: dict[int, str]
    """Why others are not, by image id."""


def collect_pictures(
    candidates: Sequence[ImageRecord],
    num_wanted: int,
    collection: Collection,
    label: str,
    max_missing: int = 0,
) -> Collected:
    """Fetch pictures in the candidates' order until `num_wanted` are there.

    Up to `max_missing` fewer will do where no candidate is left. Which are chosen does not depend on what answers first: one that cannot be reached holds its place.

    Raises:
        InputError: the network is down, some pictures could not be reached, or too few exist.
    """
    set_up_connection()
    fetched, gone = collection.fetched(), collection.gone(candidates)
    open_records = [
        record
        for record in candidates
        if record.image_id not in fetched and record.image_id not in gone
    ]
    num_good = sum(record.image_id in fetched for record in candidates)
    unreached: dict[int, str] = {}
    unreached_records: list[ImageRecord] = []
    progress = Progress(label, num_wanted, min(num_good, num_wanted))
    with _fetchers() as (pool, client):
        queue = iter(open_records)
        running: dict[Future[bytes], ImageRecord] = {}
        in_a_row, hosts = 0, Hosts()
        while True:
            while len(running) < min(
                2 * CONNECTIONS, num_wanted - num_good - len(unreached)
            ) and (record := next(queue, None)):
                running[pool.submit(_fetch, client, hosts, record.urls)] = record
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                record = running.pop(future)
                image_id = record.image_id
                try:
                    collection.add(image_id, future.result())
                    fetched.add(image_id)
                    num_good += 1
                    in_a_row = 0
                    progress.advance()
                except _Gone as answer:
                    gone[image_id] = str(answer)
                    collection.mark_gone(record, gone[image_id])
                    in_a_row = 0
                except _Unreached as answer:
                    unreached[image_id] = str(answer)
                    unreached_records.append(record)
                    in_a_row += 1
            if in_a_row >= _UNREACHED_IN_A_ROW:
                raise _unreached_error(label, unreached, num_good, num_wanted)
    progress.close()
    for record in unreached_records:
        collection.mark_unreached(record, unreached[record.image_id])
    if unreached:
        raise _unreached_error(label, unreached, num_good, num_wanted)
    found = [record for record in candidates if record.image_id in fetched]
    if len(found) < num_wanted - max_missing:
        reasons = Counter(gone.values()).most_common(3)
        shown = ", ".join(f"{reason} ({count})" for reason, count in reasons)
        named = ", ".join(map(str, sorted(gone)[:_SHOWN]))
        more = ", ..." if len(gone) > _SHOWN else ""
        allowed = f", or {max_missing} fewer" if max_missing else ""
        raise InputError(
            f"{label}: expected {num_wanted} pictures{allowed}, found {len(found)} and {len(gone)} that are gone: {shown}; images {named}{more}; "
            "in the world's file lower sample_size, raise `missing`, name them under `leave_out`, or name an archive under `pictures` instead"
        )
    return Collected(found[:num_wanted], gone)


def picture_at(address: str) -> bytes:
    """Return the picture of one address as it is published.

    Raises:
        InputError: there is none, or no answer.
    """
    set_up_connection()
    try:
        with httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S) as client:
            return _picture(client, Hosts(), address)
    except (_Gone, _Unreached) as reason:
        raise InputError(
            f"{shown_address(address)}: expected a picture, found none ({reason}); correct the address or fetch the picture by hand"
        ) from reason


def _unreached_error(
    label: str, unreached: dict[int, str], num_good: int, num_wanted: int
) -> InputError:
    image_id, reason = next(iter(unreached.items()))
    return InputError(
        f"{label}: expected {num_wanted} pictures, found {num_good} and {len(unreached)} that could not be reached "
        f"(image {image_id}: {reason}); run again, what was fetched is kept"
    )


@contextlib.contextmanager
def _fetchers() -> Iterator[tuple[ThreadPoolExecutor, httpx.Client]]:
    """Threads that fetch and their client; what is not yet running is given up at the end."""
    limits = httpx.Limits(max_connections=CONNECTIONS)
    with httpx.Client(
        follow_redirects=True, timeout=_TIMEOUT_S, limits=limits
    ) as client:
        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            yield pool, client
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch(client: httpx.Client, hosts: Hosts, urls: Sequence[str]) -> bytes:
    """Return the picture from the first address that has it.

    Raises:
        _Gone: no address has it.
        _Unreached: one that might have it gave no answer.
    """
    gone: list[str] = []
    unreached: list[str] = []
    for url in urls:
        try:
            return _picture(client, hosts, url)
        except _Gone as reason:
            gone.append(str(reason))
        except _Unreached as reason:
            unreached.append(str(reason))
    if unreached:
        raise _Unreached("; ".join(unreached))
    raise _Gone(gone[0])


def _picture(client: httpx.Client, hosts: Hosts, url: str) -> bytes:
    pauses, busy_pauses = iter(_PAUSES_S), iter(_BUSY_PAUSES_S)
    while True:
        hosts.wait(url)
        try:
            content = _answer(client, url, hosts)
        except httpx.InvalidURL as error:
            raise _Gone("no address") from error
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise _Gone(type(error).__name__) from error
        except _Busy as answer:
            if (pause := next(busy_pauses, None)) is None:
                raise _Unreached(str(answer)) from answer
            hosts.pause(url, pause if answer.seconds is None else answer.seconds)
        except _Gone:
            raise
        except Exception as error:  # whatever the network and the library come up with
            hosts.unanswered(url)
            if hosts.is_down(url) or (pause := next(pauses, None)) is None:
                problem = f"{shown_address(url)}: {shown_reason(error)}"
                raise _Unreached(problem) from error
            time.sleep(pause)
        else:
            hosts.answered(url)
            return content


def _answer(client: httpx.Client, url: str, hosts: Hosts) -> bytes:
    """Return the picture.

    Raises:
        _Gone: it is not there.
        _Busy: the host wants fewer questions.
        httpx.HTTPError: another attempt may succeed.
    """
    with client.stream("GET", url) as response:
        hosts.reached(url)
        if PLACEHOLDER in response.url.path:
            raise _Gone("removed by its owner")
        if response.status_code in _BUSY:
            has_asked = "retry-after" in response.headers
            seconds = asked_pause(response) if has_asked else None
            raise _Busy(f"{shown_address(url)}: status {response.status_code}", seconds)
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            response.raise_for_status()
        if response.status_code != httpx.codes.OK:
            raise _Gone(f"status {response.status_code}")
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > _MAX_BYTES:
                raise _Gone(f"more than {_MAX_BYTES} bytes")
    try:
        decode_picture(bytes(content))
    except ValueError as error:
        raise _Gone("no whole picture") from error
    return bytes(content)
