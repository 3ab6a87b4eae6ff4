"""Files and folders that lie on this machine, put under another name."""

import os
import shutil
import zipfile
from pathlib import Path

from tipcap.errors import InputError
from tipcap.io.folders import files_in
from tipcap.io.store import replace_file


def take_path(source: Path, target: Path) -> None:
    """Put a file, or a folder as an archive, under another name, whole or not at all.

    Of a file no second copy is made where the disk allows that.

    Raises:
        InputError: a file of the folder whose name is no UTF-8.
    """
    with replace_file(target) as partial:
        if source.is_dir():
            _pack(source, partial)
            return
        try:
            os.link(source.resolve(), partial)
        except OSError:  # another disk, or one that knows no links
            shutil.copyfile(source, partial)


def _pack(folder: Path, target: Path) -> None:
    # a zip knows no time before 1980
    with zipfile.ZipFile(target, "w", strict_timestamps=False) as archive:
        for file in files_in(folder):
            try:
                archive.write(file, str(file.relative_to(folder)))
            except UnicodeError as error:
                raise InputError(
                    f"{str(file)!a}: expected a name in UTF-8, found another; rename or remove the file"
                ) from error
