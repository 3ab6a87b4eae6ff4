"""What `tipcap score` is given: captions and references read, and each caption's image found."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tipcap.errors import InputError
from tipcap.io.image_matching import PLACE, KnownImages, Matching, match_images
from tipcap.io.reference_files import (
    ReferenceFile,
    read_references,
    references_beside,
)
from tipcap.io.result_files import ResultFile, read_results
from tipcap.wording import counted


class Inputs(NamedTuple):
    """Captions of one or several files, and the references of their images."""

    images: dict[int, str]
    """What the first file calls each image, by number."""
    captions: list[dict[int, str]]
    """Of each file, by the number of the image."""
    references: dict[int, list[str]]
    field: str
    """By which field of the references the first file's images were found."""
    notes: list[str]
    """What a reader of the scores should know, one line each."""


def read_inputs(
    files: Sequence[Path],
    references: Path | None,
    *,
    strict: bool = False,
    vizwiz: bool = False,
) -> Inputs:
    """Return what the files say.

    Args:
        files: of captions, all of the same images.
        references: their references; None: they stand beside the captions of the first file.
        strict: whether an image without a caption is an error, of the splits that are captioned.
        vizwiz: whether references that VizWiz marks as rejected or precanned are left out.

    Raises:
        InputError: a file of another form, or files that do not fit each other.
    """
    found = [read_results(file) for file in files]
    notes = [
        line
        for file, one in zip(files, found, strict=True)
        for line in _what_is_odd(file, one)
    ]
    source, known = _known(files[0], found[0], references, vizwiz, notes)
    matched = [
        match_images(file, list(one.captions), source, known.known)
        for file, one in zip(files, found, strict=True)
    ]
    for file, one, matching in zip(files, found, matched, strict=True):
        notes += _how_matched(file, list(one.captions), source, known.known, matching)
    _check_same_images(files, matched)
    without = [row for row in matched[0].rows if not known.captions[row]]
    if without and not vizwiz:
        image = list(found[0].captions)[matched[0].rows.index(without[0])]
        raise InputError(
            f"{source}: expected references of every captioned image, found none of {len(without)} (image {image}); add them or leave the images out"
        )
    if without:
        notes.append(
            f"note: {counted(len(without), 'captioned image')} left out: of its references none is left"
        )
    texts = [text for row in matched[0].rows for text in known.captions[row]]
    if empty := sum(not text.strip() for text in texts):
        notes.append(
            f"warning: {source}: {counted(empty, 'reference')} without text, used like all others"
        )
    notes += _left_out(files[0], source, known, matched[0], strict)
    return _numbered(found, known, matched, set(without), notes)


def _what_is_odd(file: Path, found: ResultFile) -> list[str]:
    notes = []
    if found.num_repeated:
        notes.append(
            f"note: {file}: {counted(found.num_repeated, 'further entry', 'further entries')} with an equal caption of the same image; each image counts once"
        )
    if found.fields:
        taken, *others = found.fields
        notes.append(
            f"note: {file}: captions are those called {taken}, not {' or '.join(others)}"
        )
    if empty := sum(not text.strip() for text in found.captions.values()):
        notes.append(
            f"warning: {file}: {counted(empty, 'caption')} without text, scored like all others"
        )
    return notes


def _known(
    file: Path,
    found: ResultFile,
    references: Path | None,
    vizwiz: bool,
    notes: list[str],
) -> tuple[Path, ReferenceFile]:
    if references is None:
        missing = len(found.captions) - len(found.references)
        if missing:
            raise InputError(
                f"{file}: expected --references, or references beside each caption, found none of {missing} images; name a file of references"
            )
        if vizwiz:
            raise InputError(
                "--vizwiz: expected VizWiz's annotations as --references, found none; name them"
            )
        notes.append(f"note: references are those in {file}")
        return file, references_beside(found.references)
    known = read_references(references, vizwiz)
    if vizwiz:
        notes.append(
            f"note: {counted(known.num_marked, 'reference')} left out that VizWiz marks as rejected or precanned"
        )
    elif known.num_marked:
        notes.append(
            f"warning: {counted(known.num_marked, 'reference')} marked as rejected or precanned; VizWiz's own scores leave these out, as --vizwiz does"
        )
    return references, known


def _how_matched(
    file: Path,
    images: Sequence[str],
    source: Path,
    known: KnownImages,
    matching: Matching,
) -> list[str]:
    notes = []
    names = known.names[matching.field]
    first = next(iter(known.names))
    pairs = list(zip(images, (names[row] for row in matching.rows), strict=True))
    other = next((pair for pair in pairs if pair[0] != str(pair[1]).strip()), None)
    splits = Counter(known.splits[row] for row in matching.rows)
    of = ", ".join(f"{split}: {count}" for split, count in splits.most_common())
    if matching.field != first or other is not None:
        image, name = other or pairs[0]
        form = f" {matching.form}" if matching.form else ""
        where = f"; splits {of}" if any(splits) else ""
        notes.append(
            f"note: {file}: images were found by {matching.field}{form} ({image} is {name} in {source.name}{where})"
        )
    if len(splits) > 1:
        notes.append(
            f"warning: {file}: the captioned images are of several splits ({of}); check that the ids are those of {source.name}"
        )
    elif matching.field == PLACE and "train" in splits:
        notes.append(
            f"warning: {file}: all captioned images are of split train; if the numbers are places in another split, write ids or file names instead"
        )
    return notes


def _check_same_images(files: Sequence[Path], matched: Sequence[Matching]) -> None:
    here = set(matched[0].rows)
    for file, matching in zip(files[1:], matched[1:], strict=True):
        there = set(matching.rows)
        if here != there:
            raise InputError(
                f"{file}: expected captions of the images of {files[0]}, found {len(there - here)} of other images and {len(here - there)} missing; compare captions of the same images"
            )


def _left_out(
    file: Path, source: Path, known: ReferenceFile, matching: Matching, strict: bool
) -> list[str]:
    rows, splits = set(matching.rows), known.known.splits
    captioned = {splits[row] for row in rows}
    left = [
        row
        for row, texts in enumerate(known.captions)
        if texts and row not in rows and splits[row] in captioned
    ]
    if not left:
        return []
    of = f" of split {next(iter(captioned))}" if captioned != {None} else ""
    if len(captioned) > 1:
        of = " of these splits"
    what = f"{counted(len(left), 'image')}{of} with references but no caption"
    if strict:
        raise InputError(
            f"{file}: expected a caption of every image of {source}, found {what}; caption them or leave out --strict"
        )
    return [f"note: {what}: left out"]


def _numbered(
    found: Sequence[ResultFile],
    known: ReferenceFile,
    matched: Sequence[Matching],
    without: set[int],
    notes: list[str],
) -> Inputs:
    """Give every image a number: its own where all have one, else its place among the names."""
    names = {
        row: image
        for row, image in zip(matched[0].rows, found[0].captions, strict=True)
        if row not in without
    }
    if not names:
        raise InputError(
            "--vizwiz: expected images with references, found none that are neither rejected nor precanned; check the file"
        )
    images = names.values()
    if all(name.isdecimal() and str(int(name)) == name for name in images):
        numbers = {row: int(name) for row, name in names.items()}
    else:
        ordered = sorted(names, key=names.__getitem__)
        numbers = {row: number for number, row in enumerate(ordered)}
    return Inputs(
        {numbers[row]: name for row, name in names.items()},
        [
            {
                numbers[row]: text
                for row, text in zip(matching.rows, one.captions.values(), strict=True)
                if row in numbers
            }
            for one, matching in zip(found, matched, strict=True)
        ],
        {numbers[row]: known.captions[row] for row in names},
        matched[0].field,
        notes,
    )
