"""Artefacts: written under a temporary name, shown by rename, described by `meta.json`.

An artefact is a folder with a few files. All of them are written to a sibling folder first and moved
in when complete, `meta.json` last, so a process killed at any moment leaves nothing under a final name.
"""

import contextlib
import errno
import fcntl
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from tipcap.errors import InputError, edge
from tipcap.paths import META

if TYPE_CHECKING:
    import torch

_ABSENT = "run the step that makes it"
_ELSEWHERE = "name another place, or change its owner"
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""The escape of one half of a character beyond the first 65,536: two of them make one."""
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """Turn what says that a disk is full, or a quota met, into one `InputError`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in _NO_SPACE
        if full or any(f"os error {number}" in str(error) for number in _NO_SPACE):
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{path}: expected room to write, found none ({reason}); free disk space and run again, nothing was overwritten"
            ) from error
        raise


def user_folder(variable: str, name: str) -> Path | None:
    """Return a user's folder of the XDG base directories, or None for a user without a home.

    Args:
        variable: that names it, `XDG_CACHE_HOME`.
        name: what it is called in a home, `.cache`.
    """
    given = Path(os.environ.get(variable, ""))
    if given.is_absolute():  # others, says the specification, are to be ignored
        return given
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no account of this number
        return None
    return home / name if home.is_absolute() else None


def user_cache(made: str = "") -> Path:
    """Return the folder for what a user need not fetch or make twice.

    Where there is no home, or nothing can be written there, it lies beside other temporary files.

    Args:
        made: a folder or file in it; where it is there, the place may be one that cannot be written.

    Raises:
        InputError: somebody else has taken that place.
    """
    if (home := user_folder("XDG_CACHE_HOME", ".cache")) is not None:
        folder = home / "tipcap"
        with contextlib.suppress(OSError):
            if made and (folder / made).exists():
                return folder
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    folder = Path(tempfile.gettempdir()) / f"tipcap-{os.getuid()}"
    with edge(folder, "a folder of yours", "set XDG_CACHE_HOME to another one"):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "another user's")
    return folder


@contextmanager
def publish(out: Path) -> Iterator[Path]:
    """Yield an empty folder whose files are moved to `out` when the block ends without an error.

    Files of the same names in `out` are replaced one by one, `meta.json` last.

    Raises:
        InputError: no space left on the device, or a quota was met.
    """
    with _room_for(out), partial_folder(out) as partial:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        out.mkdir(exist_ok=True)
        for entry in sorted(
            partial.iterdir(), key=lambda path: (path.name == META, path.name)
        ):
            target = out / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            entry.replace(target)


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that vanishes with the block.

    A folder that an earlier, killed process left behind is removed first.
    """
    partial = _partial(path)
    with edge(path, "a folder to write into", _ELSEWHERE):
        partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a file or folder; yields whether another process had to be waited for.

    The lock is a file beside it that stays. It is free again when its process ends, however that ends.
    """
    with edge(path, "a folder to write into", _ELSEWHERE):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
    with lock as file:
        waits = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits = True
        if waits:
            print(f"{path}: waiting for another process", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield waits


def _partial(target: Path) -> Path:
    """Return a free name beside `target`, after removing what killed processes left there.

    Raises:
        InputError: the folder is not there and cannot be made.
    """
    with edge(target, "a folder to write into", _ELSEWHERE):
        target.parent.mkdir(parents=True, exist_ok=True)
    own = target.parent / f".{target.name}.partial-{os.getpid()}"
    for found in target.parent.glob(f".{target.name}.partial-*"):
        # containers count their processes anew: a leftover may carry the id of this process
        if found == own or not _is_alive(found.name.rsplit("-", 1)[1]):
            if found.is_dir():
                shutil.rmtree(found, ignore_errors=True)
            else:
                found.unlink(missing_ok=True)
    return own


def check_place(path: Path) -> None:
    """See whether a file can be written here, before the work that it shall hold. Nothing is left behind.

    Raises:
        InputError: it cannot, or what is there is no file.
    """
    with edge(path, "a place to write", _ELSEWHERE):
        if path.exists() and not path.is_file():
            raise InputError(
                f"{path}: expected the name of a file, found a folder or a device; {_ELSEWHERE}"
            )
        partial = _partial(path)
        partial.touch()
        partial.unlink()


def _is_alive(pid: str) -> bool:
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed to it when the block ends without an error.

    Raises:
        InputError: as `check_place`, or no space is left.
    """
    check_place(path)
    partial = _partial(path)
    try:
        with _room_for(path):
            yield partial
            with partial.open("rb") as handle:
                os.fsync(handle.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as UTF-8 JSON with sorted keys: equal values give equal bytes."""
    path.write_text(
        json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        + "\n",
        "utf-8",
    )


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    with edge(path, "JSON", "make or fetch the file again", _ABSENT):
        return parse_json(path.read_bytes().decode())


def parse_json(text: str, **options: Any) -> Any:
    """Return what JSON says, perhaps behind a byte order mark; `options` are those of `json.loads`.

    Raises:
        ValueError: it is none, or holds half a character, which could not be written again.
        RecursionError: lists in lists without end.
    """
    text = text.removeprefix("\ufeff")
    value = json.loads(text, **options)
    if _HALF.search(text):
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    return value


def write_tensors(
    path: Path,
    tensors: "Mapping[str, torch.Tensor]",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors as safetensors."""
    # here: steps that handle text only start without torch
    from safetensors.torch import save_file

    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        path,
        dict(metadata or {}),
    )


def read_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """Return all tensors of a safetensors file.

    Raises:
        InputError: the file is missing, truncated or not safetensors.
    """
    with (
        edge(path, "safetensors", "delete it and run again", _ABSENT),
        safe_open(path, "pt") as file,
    ):
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def scratch_tensor(folder: Path, shape: tuple[int, int]) -> "torch.Tensor":
    """Return a float32 tensor that lies on disk, in a file that is gone with it: memory need not hold it.

    Raises:
        OSError: no space left on the device.
    """
    import torch

    path = folder / ".scratch"
    try:
        with path.open("wb") as file:
            # a map of a file without room would end the process when it is written
            os.posix_fallocate(file.fileno(), 0, max(1, 4 * math.prod(shape)))
        size = math.prod(shape)
        return torch.from_file(str(path), True, size, dtype=torch.float32).view(shape)
    finally:
        path.unlink(missing_ok=True)


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one record to a JSON-lines file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(
            json.dumps({"time": round(time.time(), 3), **record}, sort_keys=True) + "\n"
        )
