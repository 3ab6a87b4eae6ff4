"""Pictures published as a list of addresses: fetched side by side, kept as they come, so that a killed call goes on.

What was fetched lies in an SQLite file until all are there. An address that answers "gone", and bytes that
are no picture, are remembered and not asked for again; one that cannot be reached is tried again by the next
call, and counts as gone when `_MAX_CALLS` calls that came to their end could not reach it.
"""

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import httpx

from tipcap.errors import InputError
from tipcap.io.addresses import shown_address
from tipcap.io.annotations import ImageRecord
from tipcap.io.pictures import decode_picture
from tipcap.io.progress import Progress

CONNECTIONS = 16
_TIMEOUT_S = 30.0
_MAX_BYTES = 1 << 26
_PAUSES_S = (1.0, 4.0)  # before the second and the third attempt
_MAX_PAUSE_S = 60.0  # that a server may ask for
_MAX_CALLS = 3
_UNREACHED_IN_A_ROW = 20
"""So many pictures in a row that cannot be reached mean that the network is down."""
_PLACEHOLDER = "photo_unavailable"  # where Flickr leads for a picture it no longer has
_SCHEMA = """
create table if not exists fetched (image_id integer primary key, content blob not null);
create table if not exists gone (image_id integer primary key, reason text not null);
create table if not exists unreached (image_id integer primary key, calls integer not null);
"""


class _Gone(Exception):
    """The picture cannot be had from this address, now or later."""


class _Unreached(Exception):
    """The address gave no answer that would settle whether it has the picture."""


class Collection:
    """The pictures that were fetched so far, in a file. Used by one process at a time.

    Raises:
        InputError: the file is no such collection.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file)
        try:
            self._connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{file}: expected pictures fetched earlier, found something else ({error}); remove the file, they are then fetched again"
            ) from error

    def close(self) -> None:
        """Close the file, which stays."""
        self._connection.close()

    def fetched(self) -> set[int]:
        """Return the ids of pictures that are there."""
        ask = "select image_id from fetched"
        return {image_id for (image_id,) in self._connection.execute(ask)}

    def gone(self) -> dict[int, str]:
        """Return why pictures cannot be had, by id."""
        return dict(self._connection.execute("select image_id, reason from gone"))

    def content(self, image_id: int) -> bytes:
        """Return a picture as it was published."""
        ask = "select content from fetched where image_id = ?"
        (content,) = self._connection.execute(ask, (image_id,)).fetchone()
        return bytes(content)

    def add(self, image_id: int, content: bytes) -> None:
        """Keep a picture."""
        self._write("insert or replace into fetched values (?, ?)", image_id, content)

    def mark_gone(self, image_id: int, reason: str) -> None:
        """Remember that a picture cannot be had."""
        self._write("insert or replace into gone values (?, ?)", image_id, reason)

    def mark_unreached(self, image_id: int, reason: str) -> None:
        """Count a call that could not reach a picture; after a few of them it is gone."""
        ask = (
            "insert into unreached values (?, 1)"
            " on conflict (image_id) do update set calls = calls + 1 returning calls"
        )
        with self._connection:
            ((calls,),) = self._connection.execute(ask, (image_id,)).fetchall()
        if calls >= _MAX_CALLS:
            self.mark_gone(image_id, reason)

    def _write(self, statement: str, *values: object) -> None:
        with self._connection:
            self._connection.execute(statement, values)


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
) -> Collected:
    """Fetch pictures in the candidates' order until `num_wanted` are there.

    Which are chosen does not depend on what answers first: one that cannot be reached holds its place.

    Raises:
        InputError: the network is down, some pictures could not be reached, or too few exist.
    """
    fetched, gone = collection.fetched(), collection.gone()
    open_records = [
        record
        for record in candidates
        if record.image_id not in fetched and record.image_id not in gone
    ]
    num_good = sum(record.image_id in fetched for record in candidates)
    unreached: dict[int, str] = {}
    progress = Progress(label, num_wanted, min(num_good, num_wanted))
    with _fetchers() as (pool, client):
        queue = iter(open_records)
        running: dict[Future[bytes], ImageRecord] = {}
        in_a_row = 0
        while True:
            while len(running) < min(
                2 * CONNECTIONS, num_wanted - num_good - len(unreached)
            ) and (record := next(queue, None)):
                running[pool.submit(_fetch, client, record.urls)] = record
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                image_id = running.pop(future).image_id
                try:
                    collection.add(image_id, future.result())
                    fetched.add(image_id)
                    num_good += 1
                    in_a_row = 0
                    progress.advance()
                except _Gone as answer:
                    gone[image_id] = str(answer)
                    collection.mark_gone(image_id, gone[image_id])
                    in_a_row = 0
                except _Unreached as answer:
                    unreached[image_id] = str(answer)
                    in_a_row += 1
            if in_a_row >= _UNREACHED_IN_A_ROW:
                raise _unreached_error(label, unreached, num_good, num_wanted)
    progress.close()
    for image_id, reason in unreached.items():
        collection.mark_unreached(image_id, reason)
    if unreached:
        raise _unreached_error(label, unreached, num_good, num_wanted)
    found = [record for record in candidates if record.image_id in fetched]
    if len(found) < num_wanted:
        reasons = Counter(gone.values()).most_common(3)
        shown = ", ".join(f"{reason} ({count})" for reason, count in reasons)
        raise InputError(
            f"{label}: expected {num_wanted} pictures, found {len(found)} and {len(gone)} that are gone: {shown}; "
            "lower sample_size, or name an archive under `pictures` in the world's file instead of `collect`"
        )
    return Collected(found[:num_wanted], gone)


def picture_at(address: str) -> bytes:
    """Return the picture of one address as it is published.

    Raises:
        InputError: there is none, or no answer.
    """
    try:
        with httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S) as client:
            return _picture(client, address)
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


def _fetch(client: httpx.Client, urls: Sequence[str]) -> bytes:
    """Return the picture from the first address that has it.

    Raises:
        _Gone: no address has it.
        _Unreached: one that might have it gave no answer.
    """
    gone: list[str] = []
    unreached: list[str] = []
    for url in urls:
        try:
            return _picture(client, url)
        except _Gone as reason:
            gone.append(str(reason))
        except _Unreached as reason:
            unreached.append(str(reason))
    if unreached:
        raise _Unreached("; ".join(unreached))
    raise _Gone(gone[0])


def _picture(client: httpx.Client, url: str) -> bytes:
    for pause in (*_PAUSES_S, None):
        try:
            content, asked_pause = _answer(client, url)
        except httpx.InvalidURL as error:
            raise _Gone("no address") from error
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise _Gone(type(error).__name__) from error
        except httpx.HTTPError as error:
            problem, asked_pause = f"{shown_address(url)}: {type(error).__name__}", 0.0
        else:
            if isinstance(content, bytes):
                return content
            problem = content
        if pause is not None:
            time.sleep(min(max(pause, asked_pause), _MAX_PAUSE_S))
    raise _Unreached(problem)


def _answer(client: httpx.Client, url: str) -> tuple[bytes | str, float]:
    """Return the picture; or why another attempt may succeed, and the seconds the server asks to wait for."""
    with client.stream("GET", url) as response:
        if _PLACEHOLDER in response.url.path:
            raise _Gone("removed by its owner")
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or (
            response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
        ):
            asked = response.headers.get("retry-after", "")
            seconds = float(asked) if asked.isdecimal() else 0.0
            return f"{shown_address(url)}: status {response.status_code}", seconds
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
    return bytes(content), 0.0
