"""Pictures that a world names to be left out: damaged ones, say. With the picture its captions are."""

from collections.abc import Container, Sequence
from pathlib import Path

from tipcap.errors import InputError


class Remaining(Container[str | None]):
    """The members of archives that are not left out, of those that are there; remembers what it was asked for."""

    def __init__(
        self, leave_out: Sequence[str], members: Container[str | None] | None = None
    ) -> None:
        self._names = {_parts(name): name for name in leave_out}
        self._members = members
        self._found: dict[str, set[str]] = {name: set() for name in leave_out}

    def __contains__(self, member: object) -> bool:
        if self._names and isinstance(member, str):
            parts = _parts(member)
            for start in range(len(parts)):
                if name := self._names.get(parts[start:]):
                    self._found[name].add(member)
                    return False
        return self._members is None or member in self._members

    def count(self, source: Path) -> int:
        """Return how many pictures were left out.

        Args:
            source: for messages.

        Raises:
            InputError: a name is that of no picture, or of several.
        """
        for name, found in self._found.items():
            if len(found) != 1:
                raise InputError(
                    f"{source}: expected one picture {name}, which the world's file names under `leave_out`, found {' and '.join(sorted(found)[:2]) or 'none'}; name it as its archive does (train2014/NAME.jpg)"
                )
        return len(self._found)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split("/") if part not in ("", "."))
