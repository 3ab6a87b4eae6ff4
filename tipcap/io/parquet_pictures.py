"""Pictures in the rows of a Parquet file, as the hub's data sets have them: a column of `bytes` and `path`, another with names."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NAME_COLUMNS = ("image_file_name", "file_name", "filename")
"""Whose value names a picture, the first that is there; else the path beside its bytes."""


class ParquetPictures:
    """Pictures of one file by their names; a group of rows is in memory at a time.

    Raises:
        ValueError: the file is damaged, has no column of pictures, or gives two pictures one name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        file = self._open()
        schema = file.schema_arrow
        self._column = next((f.name for f in schema if _holds_pictures(f.type)), "")
        if not self._column:
            raise ValueError(f"Parquet without pictures, of {', '.join(schema.names)}")
        flat = {f.name for f in schema if not pa.types.is_nested(f.type)}
        named = next((name for name in NAME_COLUMNS if name in flat), None)
        fields = {f.name for f in schema.field(self._column).type}
        if named is None and "path" not in fields:
            raise ValueError(f"Parquet whose pictures have no {NAME_COLUMNS[0]}")
        wanted = named or f"{self._column}.path"
        self._places: dict[str, tuple[int, int]] = {}
        for group in range(file.num_row_groups):
            for row, value in enumerate(self._read(group, wanted).to_pylist()):
                name = value["path"] if isinstance(value, dict) else value
                if name in self._places:
                    raise ValueError(f"two pictures called {name}")
                if name is not None:
                    self._places[str(name)] = group, row
        self._group, self._rows = -1, pa.chunked_array([], pa.null())

    @property
    def names(self) -> list[str]:
        """Names in the order of the rows; rows without one are left out."""
        return list(self._places)

    def content(self, name: str) -> bytes:
        """Return a picture as it was published.

        Raises:
            ValueError: its row is damaged or empty.
        """
        group, row = self._places[name]
        if group != self._group:
            self._group, self._rows = group, self._read(group, f"{self._column}.bytes")
        content = (self._rows[row].as_py() or {}).get("bytes")
        if content is None:
            raise ValueError("a row without a picture")
        return bytes(content)

    def _read(self, group: int, column: str) -> pa.ChunkedArray:
        try:
            return self._open().read_row_group(group, [column]).column(0)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._path)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error


def _holds_pictures(type_: pa.DataType) -> bool:
    if not pa.types.is_struct(type_):
        return False
    contents = [field.type for field in type_ if field.name == "bytes"]
    return any(pa.types.is_binary(c) or pa.types.is_large_binary(c) for c in contents)
