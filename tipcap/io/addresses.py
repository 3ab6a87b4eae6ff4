"""Addresses and what went wrong there, told without the secrets that they may hold.

A password stands before the host's name, a signature behind the question mark; libraries put both into
the texts of their exceptions, also those of an address that they were sent on to.
"""

import re

from tipcap.errors import reason_of

_PLAIN = re.compile(
    r"([a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?"
    r"((?:[^/?#@:\[\]]+|\[[0-9a-f:.]+\])(?::\d*)?)(/[^?#]*)?",
    re.IGNORECASE,
)
"""The beginning, who asks (left out), the host with its port, and the path."""


def shown_address(address: str) -> str:
    """Return an address without user, password, query and fragment.

    Of one that is malformed only the beginning is left: nobody can say where its password ends.
    """
    if found := _PLAIN.match(address):
        rest = address[found.end() :]
        if not rest or rest[0] in "?#":
            return "".join(part or "" for part in found.groups())
    scheme, mark, _ = address.partition("://")
    beginning = re.sub(r"\S*@|[?#].*", "", scheme)
    return f"{beginning}{mark}..." if mark else beginning


def shown_reason(error: BaseException) -> str:
    """Return what a network library complains of: the status of an answer, or its words without addresses."""
    answer = getattr(error, "response", None)
    status = getattr(answer, "status_code", None)
    if status is not None:
        return f"status {status}"
    name = type(error).__name__
    if name == "InvalidURL":  # of httpx and others, which quote a part of it
        return name
    # what holds a stroke or an at-sign may be part of an address
    words = re.sub(r"\S*[/@]\S*", "...", reason_of(error, 1000))[:200]
    return f"{name} {words}".strip()
