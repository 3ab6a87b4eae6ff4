"""The import of what was made into MLflow's database, on one host and by one writer at a time.

MLflow itself makes the database; runs are then written with SQL, all of an import in one transaction, so that a process
killed at any moment leaves all of them or none. Its client commits a dozen times for each run: 86 ms of CPU a run
against 5 ms here. `schema_problem` sees to it that the tables are those of the installed MLflow.
"""

import contextlib
import importlib.util
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError, edge, reason_of, refused
from tipcap.io.store import locked, replace_file
from tipcap.io.tracked_runs import LAYOUT, RunRecord
from tipcap.io.tracked_steps import read_step
from tipcap.io.tracking import client_class
from tipcap.io.tracking_rows import (
    ARTIFACTS,
    TABLES,
    Writer,
    layout_of,
    location_of,
)

_SQLITE = b"SQLite format 3\0"
_REMEDY = "move it away and run again, everything is imported anew"
_PATIENCE_SECONDS = 60


class Imported(NamedTuple):
    """How many runs an import wrote, and how many it found there already."""

    added: int
    present: int


def import_records(
    results: Path, database: Path, records: Sequence[RunRecord]
) -> Imported:
    """Return how many runs were written into a tracking database; what is there is not written again.

    A step that was made again makes its run a further one. A store that was moved or copied with its world is made to name
    the files beside it; one of another layout stays as a deleted experiment, and a new one is begun.

    Args:
        results: the world's folder: its name becomes MLflow's experiment, its `mlflow-artifacts` keeps files.
        database: an SQLite file; made where it is missing.
        records: experiments and tables; a step's folder may occur in several.

    Raises:
        InputError: a folder without a complete `meta.json`, an unreadable file, a database file that
            is none, or one of another MLflow.
    """
    folders = dict.fromkeys(f for record in records for f in record.folders)
    steps = {folder: read_step(folder) for folder in folders}
    with locked(database):
        _open(database)
        follow_move(results, database)
        with _connected(database, "rw") as base:
            writer = Writer(base, results)
            for record in records:
                writer.add(record, [steps[folder] for folder in record.folders])
    return Imported(writer.added, writer.present)


def is_current(results: Path, database: Path) -> bool:
    """Return whether a database holds this world's runs, in this layout and with this folder as the place of their files."""
    if not database.exists() or schema_problem(database) is not None:
        return False
    ask = "select artifact_location, experiment_id from experiments where name = ?"
    with _connected(database, "ro") as base:
        found = base.execute(ask, (results.name,)).fetchone()
        return (
            found is not None
            and found[0] == location_of(results)
            and layout_of(base, found[1]) == LAYOUT
        )


def experiment_of(results: Path, database: Path) -> int | None:
    """Return the number of a world's experiment, or None where nothing was imported yet."""
    ask = "select experiment_id from experiments where name = ? and lifecycle_stage = 'active'"
    with _connected(database, "ro") as base:
        found = base.execute(ask, (results.name,)).fetchone()
    return None if found is None else int(found[0])


def schema_problem(database: Path) -> str | None:
    """Return why the installed MLflow cannot use a database, and what to do, in one line; None where it can.

    Looks at the file alone: neither MLflow nor its libraries are imported.
    """
    try:
        with database.open("rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE:
                return f"{database}: expected an SQLite database, found another file; {_REMEDY}"
        with _connected(database, "ro") as base:
            found = base.execute("select version_num from alembic_version").fetchall()
            tables = {
                name
                for (name,) in base.execute("select name from sqlite_master").fetchall()
            }
    except OSError as error:
        return str(refused(error))
    except InputError as error:
        return str(error)
    revisions = [str(one) for (one,) in found]
    newest, known = _revisions()
    if revisions != [newest]:
        is_older = set(revisions) <= known
        return (
            f"{database}: expected MLflow's schema {newest}, found {' and '.join(revisions) or 'none'} of {'an older' if is_older else 'another'} MLflow; "
            + (
                f"bring it up to date with `mlflow db upgrade sqlite:///{database}`, or "
                if is_older and revisions
                else ""
            )
            + _REMEDY
        )
    if lacking := sorted(set(TABLES) - tables):
        return f"{database}: expected MLflow's tables, found none called {lacking[0]}; {_REMEDY}"
    return None


def _revisions() -> tuple[str, frozenset[str]]:
    """Return the newest revision of the schema that the installed MLflow has, and all of them, from its migrations' text."""
    spec = importlib.util.find_spec("mlflow")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    revisions: set[str] = set()
    before: set[str] = set()
    for place in places:
        for file in Path(place, "store", "db_migrations", "versions").glob("*.py"):
            text = file.read_text("utf-8")
            revisions |= set(re.findall(r'^revision\s*=\s*"(\w+)"', text, re.M))
            before |= set(re.findall(r'^down_revision\s*=\s*"(\w+)"', text, re.M))
    (newest,) = (revisions - before) or {"none"}
    return newest, frozenset(revisions)


def follow_move(results: Path, database: Path) -> None:
    """Let a database that was moved or copied with its world's folder name the files that lie beside it.

    MLflow keeps absolute addresses and has no call to change them, so new files would appear at the old place. That is true
    of every experiment in it, also of the empty one that MLflow itself begins with. A place that somebody chose stays.

    Raises:
        InputError: the database cannot be written, or another MLflow has laid it out.
    """
    if not database.exists():
        return
    location = location_of(results)
    with _connected(database, "rw") as base:
        ask = "select experiment_id, artifact_location from experiments"
        for number, before in base.execute(ask).fetchall():
            found = re.search(f"/{ARTIFACTS}(/[^/]+)?$|/mlruns(/0)$", before or "")
            if found is None or before.startswith(location):
                continue
            now = location + (found[1] or found[2] or "")
            base.execute(
                "update runs set artifact_uri = ? || substr(artifact_uri, ?) where experiment_id = ? and substr(artifact_uri, 1, ?) = ?",
                (now, len(before) + 1, number, len(before), before),
            )
            base.execute(
                "update experiments set artifact_location = ? where experiment_id = ?",
                (now, number),
            )


@contextlib.contextmanager
def _connected(database: Path, access: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection; what is changed over it is kept if the block ends well, all or nothing."""
    address = f"{database.resolve().as_uri()}?mode={access}"
    try:
        with (
            closing(
                sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)
            ) as base,
            base,
        ):
            yield base
    except sqlite3.Error as error:
        raise InputError(
            f"{database}: expected a database of MLflow, found one that cannot be used ({reason_of(error)}); {_REMEDY}"
        ) from error


class _Client:
    """MLflow's client, whatever of whose calls fails in one line."""

    def __init__(self, database: Path) -> None:
        self._database = database
        with self._edge():
            self._client = client_class()(f"sqlite:///{database.resolve()}")

    def _edge(self) -> AbstractContextManager[None]:
        return edge(self._database, "a database that MLflow can use", _REMEDY)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*given: Any, **named: Any) -> Any:
            with self._edge():
                return method(*given, **named)

        return call


def _open(database: Path) -> None:
    """See to it that a database is there and can be used."""
    if not database.exists():
        # Making the tables takes seconds; a process killed meanwhile leaves no half-made database.
        with replace_file(database) as partial:
            _Client(partial).search_experiments()
    if problem := schema_problem(database):
        raise InputError(problem)
