"""`tipcap new`: looks at a person's files, says what they allow, and writes the world that the workflow runs."""

import os
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.commands.own_world_file import TABLE, OwnModels, OwnWorld, world_text
from tipcap.config.world import load_world
from tipcap.core.own_data import (
    MIN_CAPTIONS,
    MIN_TEST,
    Material,
    scoring_of,
    settings_of,
)
from tipcap.errors import InputError, meant, unknown_name
from tipcap.io.architectures import open_clip_architectures
from tipcap.io.archives import Archive, open_archives
from tipcap.io.image_records import ImageRecord, LeftOut
from tipcap.io.own_data import (
    damaged_pictures,
    is_held_out,
    picture_names,
    read_own_web,
    read_pairs,
    read_texts,
    read_unscored,
)
from tipcap.io.own_files import read_entries
from tipcap.plan import load
from tipcap.wording import counted

CONFIG = Path("config")
MINI, CLIP = "mini", "clip"
_CLIP_MODEL = "rn50x4"
_ON_HUB = "on a hub it is called open_clip_model.safetensors"
_GPT2 = "openai-community/gpt2"
_OWN = "own"
_NAME = re.compile(r"[a-z0-9-]{1,24}")
_GONE = 20
"""One of so many pictures that are fetched by address may be gone."""


class OwnFiles(NamedTuple):
    """The files that somebody names."""

    captions: Path
    pictures: Path | None = None
    pairs: Path | None = None
    web_pairs: Path | None = None


class Found(NamedTuple):
    """What lies in the files."""

    material: Material
    datasets: dict[str, dict[str, Any]]
    """As a world's file declares them."""
    repeated: int
    """Captions for scoring that the corpus has word for word."""
    damaged: dict[str, str]
    """Pictures that cannot be read whole, and why: they are left out."""


def make_world(
    name: str,
    files: OwnFiles,
    encoder: str = MINI,
    weights: Path | None = None,
    language_model: str | None = None,
) -> Iterator[str]:
    """Write `config/NAME.yaml` and yield what there is to say about it.

    Args:
        name: of the world.
        files: what is there.
        encoder: `mini`, `clip`, a CLIP model of the paper's world, or an architecture of open_clip with `weights`.
        weights: file of an encoder's weights.
        language_model: a folder or a name on the Hugging Face hub; by default the one that goes with the encoder.

    Raises:
        InputError: what cannot be right, before anything is written.
    """
    target = CONFIG / f"{name}.yaml"
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r}: expected a name of 1 to 24 characters a-z, 0-9 and -, found another; choose one"
        )
    if not (CONFIG / "mini.yaml").is_file():
        raise InputError(
            f"{CONFIG}: expected the worlds of the repository, found none in {Path.cwd()}; run this where the Snakefile lies"
        )
    if target.exists():
        raise InputError(
            f"{target}: expected a new name, found a file, which is not overwritten; choose another name or remove it"
        )
    models = own_models(encoder, weights, language_model)
    found = look_at(files)
    sizes = load_world(CONFIG / f"{models.extends}.yaml").sizes
    world = OwnWorld(name, found.material, found.datasets, models, sizes)
    text = world_text(world)
    with target.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
            load(target)
        except BaseException:  # nothing half-written stays, whoever ended it
            target.unlink()
            raise
    yield from _report(world, found, target)


def _report(world: OwnWorld, found: Found, target: Path) -> Iterator[str]:
    material = found.material
    for verdict in settings_of(material):
        answer = "yes" if verdict.is_allowed else "no"
        yield f"setting {verdict.setting}: {answer:3} ({verdict.why})"
    scoring = scoring_of(material)
    if scoring.is_allowed:
        yield f"scored: on {scoring.why}, which no training sees"
    else:
        yield f"scored: no ({scoring.why})"
    if found.damaged:
        name, reason = next(iter(found.damaged.items()))
        number = len(found.damaged)
        others = "; all stand in the world's file under leave_out" if number > 1 else ""
        yield f"left out: {counted(number, 'damaged picture')} ({name}: {reason}{others})"
    if found.repeated and world.is_scored:
        is_one = found.repeated == 1
        stand, them = ("stands", "it") if is_one else ("stand", "them")
        yield f"note: {found.repeated:,} of their captions {stand} in the corpus word for word; take {them} out for scores that mean something"
    yield _about_models(world.models)
    yield f"written: {target}"
    scored = (
        f", then results/{world.name}/tables/table_{TABLE}.csv"
        if world.is_scored
        else ""
    )
    yield f"train: snakemake --configfile {target} --cores all{scored}"
    yield f"then: tipcap caption --model {world.name}:{world.captioners[-1]} PICTURE"


def _about_models(models: OwnModels) -> str:
    if models.extends == MINI and not models.encoders:
        return "models: the mini world's, which ship and know drawings of 64 x 64 pixels only: they show that all works, and say nothing sensible of photographs; --encoder clip takes CLIP and GPT-2 (1 GB are fetched once)"
    return f"models: {models.encoder} and {models.language_model}; what is to be fetched, snakemake fetches"


def own_models(
    encoder: str, weights: Path | None, language_model: str | None
) -> OwnModels:
    """Return the models that some options mean.

    Raises:
        InputError: no such model, weights of another kind of file, or one option without the other.
    """
    published = load_world(CONFIG / "paper.yaml").encoders
    extends, name, encoders = "paper", encoder, {}
    if weights is not None:
        encoders[_OWN] = _open_clip(encoder, weights)
        name = _OWN
    elif encoder == MINI:
        extends, name = MINI, _CLIP_MODEL
    elif encoder == CLIP:
        name = _CLIP_MODEL
    elif encoder not in published:
        raise _not_an_encoder(encoder, (MINI, CLIP, *published))
    if language_model is None or (language_model, extends) == ("gpt2", "paper"):
        return OwnModels(extends, name, encoders, "gpt2", {})
    folder = Path(language_model)
    if folder.is_dir():
        fields = {"source": "folder", "model": _shown(folder)}
    else:
        on_hub = _GPT2 if language_model == "gpt2" else language_model
        fields = {"source": "hub", "model": on_hub}
    return OwnModels(extends, name, encoders, _OWN, {_OWN: fields})


def _not_an_encoder(found: str, known: Sequence[str]) -> InputError:
    """Return the error for a name that is none of those that need no weights."""
    of_open_clip = open_clip_architectures()
    if found in of_open_clip:
        return InputError(
            f"--encoder {found}: expected --weights FILE with an architecture of open_clip, found none; name a file of its weights ({_ON_HUB})"
        )
    hint = meant(found, (*known, *of_open_clip)) or "choose one of these"
    return InputError(
        f"--encoder: expected {', '.join(known)}, or an architecture of open_clip with --weights FILE, found {found!r}; {hint}"
    )


def _open_clip(model: str, weights: Path) -> dict[str, str]:
    if not weights.is_file() or weights.suffix not in (".safetensors", ".pt"):
        raise InputError(
            f"--weights: expected a file of open_clip (.safetensors) or OpenAI's archive (.pt), found {weights}; name another file ({_ON_HUB})"
        )
    known = open_clip_architectures()
    if model not in known:
        raise unknown_name("architecture of open_clip", model, known, "--encoder")
    return {"source": "file", "model": model, "file": _shown(weights)}


def look_at(files: OwnFiles) -> Found:
    """Return what lies in the files, and how a world declares it.

    Raises:
        InputError: too few captions, no pictures, or pictures and captions that do not meet.
    """
    folder = _folder(files.pictures)
    archives = open_archives(folder) if folder else []
    names = picture_names(folder) if folder else []
    if folder and not names:
        raise InputError(
            f"{folder}: expected pictures, found none; name the folder that holds them, unpacked or in archives"
        )
    damaged = damaged_pictures(archives, names)
    if folder and len(damaged) == len(names):
        raise InputError(
            f"{folder}: expected pictures, found none that can be read ({names[0]}: {damaged[names[0]]}); save or fetch them again"
        )
    records = _records(read_texts(files.captions, ""))
    captions = [text for record in records for text in record.captions]
    datasets: dict[str, dict[str, Any]] = {}
    pairs_file = files.pairs or _captions_with_pictures(files.captions, archives)
    pairs: list[ImageRecord] = []
    reader, spared = "pairs", 0
    if pairs_file:
        met = _met(read_pairs, pairs_file, archives, folder)
        pairs, gone = _whole(met, archives, damaged)
        if 0 < (few := _num_scored(pairs)) < MIN_TEST:
            # too few for scores, so the drawn ones among them are not kept from training
            met = _records(read_unscored(pairs_file, ""))
            pairs, gone = _whole(met, archives, damaged)
            spared = few - _num_scored(pairs)
            reader = "unscored" if spared else "pairs"
    if pairs_file == files.captions:
        captions = [t for r in pairs if r.split == "train" for t in r.captions]
    else:
        datasets["captions"] = _declared("texts", files.captions)
    if len(captions) < MIN_CAPTIONS:
        raise InputError(
            f"{files.captions}: expected at least {MIN_CAPTIONS} captions to learn from, found {len(captions)}; name another file"
        )
    if pairs_file:
        datasets["pairs"] = _declared(reader, pairs_file, folder, pairs, gone)
    web: list[ImageRecord] = []
    if files.web_pairs:
        web, gone = _whole(
            _met(read_own_web, files.web_pairs, archives, folder), archives, damaged
        )
        datasets["web"] = _declared("web", files.web_pairs, folder, web, gone)
    scored = [record for record in pairs if record.split == "test"]
    num_pictures = 0
    if folder:
        declared, num_pictures = _unpaired(folder, names, pairs, archives, damaged)
        datasets["pictures"] = declared
    number = sum(record.split == "train" for record in pairs)
    material = Material(
        len(captions), num_pictures, len(web), number, len(scored), spared
    )
    corpus = {caption.lower() for caption in captions}
    kept = [caption for record in scored for caption in record.captions]
    repeated = sum(text.lower() in corpus for text in kept)
    return Found(material, datasets, repeated, damaged)


def _folder(pictures: Path | None) -> Path | None:
    if pictures is not None and not pictures.is_dir():
        raise InputError(
            f"--pictures: expected a folder, found {'a file' if pictures.exists() else 'none'} at {pictures}; name the folder that holds the pictures or their archives"
        )
    return pictures


def _num_scored(records: Iterable[ImageRecord]) -> int:
    return sum(record.split == "test" for record in records)


def _records(found: Iterable[ImageRecord | LeftOut]) -> list[ImageRecord]:
    return [one for one in found if isinstance(one, ImageRecord)]


def _captions_with_pictures(file: Path, archives: Sequence[Archive]) -> Path | None:
    """Return the file of captions if it names pictures that are there: it then holds pairs too."""
    entries = read_entries(file) if archives else []
    if not entries or any(entry.image is None for entry in entries):
        return None
    records = _records(read_pairs(file, ""))
    return file if any(_place(record, archives) for record in records) else None


def _place(record: ImageRecord, archives: Sequence[Archive]) -> str | None:
    found = (archive.find(str(record.member)) for archive in archives)
    return next(filter(None, found), None)


def _met(
    read: Callable[[Path, str], Iterable[ImageRecord | LeftOut]],
    file: Path,
    archives: Sequence[Archive],
    folder: Path | None,
) -> list[ImageRecord]:
    """Return the pictures that a file names, all of which are there or have an address."""
    records = _records(read(file, ""))
    addressed = [record for record in records if record.urls]
    if addressed and len(addressed) < len(records):
        raise InputError(
            f"{file}: expected names of pictures or addresses, found both; part them into two files"
        )
    if records and not addressed and folder is None:
        raise InputError(
            f"{file}: expected --pictures with the folder of its pictures, found none; name it"
        )
    missing = [r for r in records if not r.urls and not _place(r, archives)]
    if missing:
        some = "none" if len(missing) == len(records) else f"{len(missing)} missing"
        raise InputError(
            f"{file}: expected its {counted(len(records), 'picture')} in {folder}, found {some} ({missing[0].member}); correct the names, or leave out their lines"
        )
    if not records:
        raise InputError(
            f"{file}: expected pictures with captions, found none; name another file"
        )
    return records


def _whole(
    records: Sequence[ImageRecord],
    archives: Sequence[Archive],
    damaged: Container[str],
) -> tuple[list[ImageRecord], list[str]]:
    """Return the records whose pictures are not damaged, and the others' pictures as the file names them."""
    is_gone = [not r.urls and _place(r, archives) in damaged for r in records]
    pairs = list(zip(records, is_gone, strict=True))
    gone = {str(record.member) for record, is_it in pairs if is_it}
    return [record for record, is_it in pairs if not is_it], sorted(gone)


def _unpaired(
    folder: Path,
    names: Sequence[str],
    pairs: Sequence[ImageRecord],
    archives: Sequence[Archive],
    damaged: Container[str],
) -> tuple[dict[str, Any], int]:
    """Return how a world declares the pictures for setting 3, and how many they are: none that are damaged or scored on."""
    here = [record for record in pairs if not record.urls]
    scored = [record for record in here if record.split == "test"]
    reader, left_out = "pictures", {name for name in names if name in damaged}
    # which pictures are scored on follows from their names, or a file says it
    if all((r.split == "test") == is_held_out(str(r.member)) for r in here) and scored:
        reader = "unpaired"
        names = [name for name in names if not is_held_out(name)]
        left_out &= {*names}
    else:
        left_out |= {str(_place(record, archives)) for record in scored}
    declared = _declared(reader, None, folder, left_out=sorted(left_out))
    return declared, len({*names} - left_out)


def _declared(
    reader: str,
    file: Path | None,
    folder: Path | None = None,
    records: Sequence[ImageRecord] = (),
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    raw: dict[str, Any] = {} if file is None else {"file": _shown(file)}
    if any(record.urls for record in records):
        raw |= {"pictures": "collect", "missing": len(records) // _GONE}
    elif folder is not None:
        raw |= {"pictures": {"folder": _shown(folder)}}
    declared = {"reader": reader, "raw": raw}
    return {**declared, "leave_out": list(left_out)} if left_out else declared


def _shown(path: Path) -> str:
    """Return a path as the world's file has it: from here on where it lies below, else whole."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - links keep their names
    return str(
        whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole
    )
