"""The one error a user can cause, what goes into its line, and the end that somebody asked for.

Whatever a person or a file got wrong is raised as `InputError`; the command line prints it as one
line and exits with status 2. Anything else is a defect and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: the message says what was expected, what was found, where, and what to do."""


class Stopped(Exception):
    """A step was asked to end and did, with its work saved: the same command goes on from there."""


def reason_of(error: BaseException, length: int = 200) -> str:
    """Return the beginning of an exception's text on one line."""
    return " ".join(str(error).split())[:length]


def unknown_name(kind: str, name: str, known: Iterable[str], where: str) -> InputError:
    """Return the error for a name that is not declared, with the closest declared ones.

    Args:
        kind: what is named, in words ("experiment", "table", "key").
        name: what was found.
        known: the names that exist.
        where: file or option the name stands in.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(map(repr, close))}?"
        if close
        else f"known: {', '.join(names[:20])}"
    )
    return InputError(f"{where}: unknown {kind} {name!r}; {hint}")
