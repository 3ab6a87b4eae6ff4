"""Datasets of a world: where their raw files and pictures come from, how many, and what is left out."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tipcap.specs import Count, Reader, Seed

DECLARED = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
"""Of all that a world's file says; unknown fields are errors."""


class _Declared(BaseModel):
    model_config = DECLARED


PictureAddress = Annotated[
    str, StringConstraints(pattern=r"^https?://.*[{](member|name)[}]")
]


class PictureFolder(_Declared):
    """A folder of pictures that is there."""

    folder: str
    """Its path, from where Snakemake is started."""


class Raw(_Declared):
    """Where the raw files of a dataset come from: drawn, downloaded, or a person's own."""

    draw: dict[str, Any] | None = None
    """Fields of `DrawSpec`."""
    download: tuple[str, ...] = ()
    """Annotation files, as named in downloads.csv."""
    file: str | None = None
    """An annotation file that is there: its path, from where Snakemake is started. Its content identifies it."""
    pictures: tuple[str, ...] | Literal["collect", "by_address"] | PictureFolder = ()
    """Archives of pictures, as named in downloads.csv; `collect`: all of a list of addresses, or a sample of it, one by
    one; `by_address`: one by one too, and no more of them than a target needs; or `{folder: PATH}`: one that is there,
    with pictures at any depth or archives of them."""
    addresses: tuple[PictureAddress, ...] = ()
    """By address: where each picture lies, `{member}` being its path in its archive as published and `{name}` the end of
    that; the next where one does not have it. Those that the annotations say, or their reader knows, come after."""
    missing: Annotated[int, Field(ge=0)] = 0
    """Collected: how many pictures of a set that is used whole may be gone; they are left out, and counted."""
    picture_bytes: Count | None = None
    """The size of a picture on average, for what it costs to fetch them one by one."""

    @model_validator(mode="after")
    def _one_source(self) -> "Raw":
        given = (self.draw is not None, bool(self.download), self.file is not None)
        is_folder = isinstance(self.pictures, PictureFolder)
        if sum(given) > 1 or not (any(given) or is_folder):
            raise ValueError(
                "one of draw, download and file, or a folder of pictures alone"
            )
        if self.draw is not None and self.pictures:
            raise ValueError("no pictures beside draw, which makes its own")
        if self.pictures != "collect" and self.missing:
            raise ValueError("`missing` beside `collect` only")
        if (self.addresses or self.picture_bytes) and self.draw is not None:
            raise ValueError("no `addresses` or `picture_bytes` beside draw")
        return self


class Dataset(_Declared):
    """A dataset of this world."""

    reader: Reader
    raw: Raw
    sample_size: Count | None = None
    """How many images of it are used; absent: all."""
    seed: Seed = 0
    sizes: dict[str, tuple[Count, Count]] = {}
    """Images and captions of each split as published (of NoCaps each domain): another number is another file."""
    leave_out: tuple[str, ...] = ()
    """Pictures that are not used, nor their captions, as their archive names them: damaged ones, say."""

    @model_validator(mode="after")
    def _reader_fits(self) -> "Dataset":
        raw = self.raw
        is_bare = raw.draw is None and not raw.download and raw.file is None
        if is_bare != (self.reader in ("pictures", "unpaired")):
            raise ValueError(
                "a folder of pictures alone for readers `pictures` and `unpaired`, annotations for others"
            )
        return self
