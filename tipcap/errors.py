"""The one error a user can cause, what goes into its line, and the end that somebody asked for.

Whatever a person or a file got wrong is raised as `InputError`; the command line prints it as one
line and exits with status 2. Anything else is a defect and keeps its traceback.
"""

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit status of a command that was ended from the keyboard."""


class InputError(ValueError):
    """Bad input: the message says what was expected, what was found, where, and what to do."""


_NEAR = 3
_MOST_NAMES, _MOST_CHARACTERS = 20, 400
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Stopped(Exception):
    """A step was asked to end and did, with its work saved: the same command goes on from there."""


def one_line(text: str) -> str:
    """Return text on one line, without what would move a terminal's cursor or colour it: a file's name may hold that."""
    return _CONTROL.sub("?", " ".join(text.split()))


def reason_of(error: BaseException, length: int = 200) -> str:
    """Return the beginning of an exception's text on one line."""
    return one_line(str(error))[:length]


def what_failed(error: BaseException) -> str:
    """Return what a system or a library complains of, without the path that stands before it anyway."""
    match error:
        case FileNotFoundError():
            return "none"
        case IsADirectoryError():
            return "a folder"
        case MemoryError():
            return "too little memory for it"
        case OSError(strerror=str(words)):
            return f"one that the system refuses ({words})"
    return f"something else ({type(error).__name__} {reason_of(error)})".replace(
        " )", ")"
    )


@contextmanager
def edge(
    where: str | os.PathLike[str], expected: str, remedy: str, absent: str | None = None
) -> Iterator[None]:
    """Turn whatever a library or the system raises in the block into one `InputError`.

    Libraries document a few of their exceptions and let through what they call themselves: a damaged archive
    may raise any of a dozen. So all are caught, and the block holds the library's calls and nothing else.

    Args:
        where: the file, address or option.
        expected: what it should have been.
        remedy: what to do.
        absent: what to do where there is no such file; by default `remedy`.
    """
    try:
        yield
    except (InputError, Stopped):
        raise
    except Exception as error:
        is_absent = absent is not None and isinstance(error, FileNotFoundError)
        raise InputError(
            f"{os.fspath(where)}: expected {'a file' if is_absent else expected}, found {what_failed(error)}; {absent if is_absent else remedy}"
        ) from error


def refused(error: OSError) -> InputError:
    """Return the error for what the system refused where nobody was prepared for it."""
    # what was renamed is named second
    where = error.filename2 or error.filename or "the system"
    return InputError(
        f"{where}: expected to be read or written, found that it cannot be ({error.strerror or reason_of(error)}); check its name, its owner and the disk, then run again"
    )


def unknown_name(kind: str, name: str, known: Iterable[str], where: str) -> InputError:
    """Return the error for a name that is not declared, with the closest declared ones.

    Args:
        kind: what is named, in words ("experiment", "table", "key").
        name: what was found.
        known: the names that exist.
        where: file or option the name stands in.
    """
    names = sorted(known)
    hint = meant(name, names) or f"known: {_listed(names)}"
    return InputError(f"{where}: unknown {kind} {name!r}; {hint}")


def meant(name: str, known: Iterable[str]) -> str:
    """Return the question whether one of the names near to it, in any case, was meant; nothing where none is near."""
    alike: dict[str, list[str]] = {}
    for one in sorted(known):
        alike.setdefault(one.casefold(), []).append(one)
    near = difflib.get_close_matches(name.casefold(), alike, n=_NEAR, cutoff=0.5)
    close = [one for folded in near for one in alike[folded]][:_NEAR]
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


def _listed(names: list[str]) -> str:
    """Return names in words, so many as a line holds."""
    shown = names[:_MOST_NAMES]
    while len(shown) > 1 and len(", ".join(shown)) > _MOST_CHARACTERS:
        shown.pop()
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
