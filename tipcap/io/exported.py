"""A captioner as a folder that works anywhere: what `tipcap export` writes and `--model FOLDER` reads.

| file | |
|---|---|
| `captioner.json` | the fields of `About`; `format` rises when an older tipcap could not read a folder any more |
| `model.safetensors` | tensors `captioner.*`, and `language_model.*` where the language model was tuned |
| `language_model/` | as Hugging Face lays one out: `config.json`, `model.safetensors`, `tokenizer.json` |
| `encoder/` | `config.json`, `model.safetensors`, and `tokenizer.json` of one that the project trained; none where pictures come as embeddings |
| `corpus/` | `captions.json`, a list of texts, and `embeddings.safetensors`, their `vectors` in half precision; may lack |
| `README.md` | the model card |

Nothing in it is executed. Captioners that ship with the package share encoders, language models and corpora: a folder
that lacks a part has the one of its key in `shared`, in the package's own resources.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, StringConstraints
from torch import Tensor

from tipcap import __version__, paths
from tipcap.config.reading import check
from tipcap.core.nearest import Corpus, sample_corpus
from tipcap.errors import InputError
from tipcap.io.model_files import read_files
from tipcap.io.store import publish, read_json, read_tensors, write_json, write_tensors
from tipcap.paths import ABOUT, EMBEDDINGS, WEIGHTS
from tipcap.specs import Count, Precision, Weight

FORMAT = 1
"""The newest that this tipcap reads."""
_CARD, _TEXTS = "README.md", "captions.json"
_ENCODER_FILES = ("config.json", WEIGHTS, "tokenizer.json")
Part = Literal["encoder", "language_model", "corpus"]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.+-]*[a-z0-9]$")]


class About(BaseModel):
    """`captioner.json`: how a captioner writes, and what it was made of."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    name: str
    """`mini:s1-prompt`, or what its maker called it."""
    embed_dim: Count
    precision: Precision = "float32"
    """Of captioner and language model."""
    prompts: Literal["nouns", "chunks"] | None = None
    """What a prompt names; None: it was not trained with prompts."""
    compounds: bool = True
    """Nouns that follow each other are one word."""
    padding: Literal["labels", "bare"] = "bare"
    """What stands before a caption without a prompt."""
    end: Literal["eos", "full_stop"] = "eos"
    beam: Count = 5
    max_tokens: Count = 40
    length_exponent: Weight = 1.0
    """As of the generate step."""
    shared: dict[Part, Key] = {}
    """Parts that the folder lacks and the package has."""
    steps: dict[str, dict[str, Any]] = {}
    """Step -> `key`, and `spec` with every field: the decisions behind it."""
    cells: tuple[dict[str, Any], ...] = ()
    """Cells of tables that this captioner's captions gave; `runs` says of how many runs the value is the mean."""
    tables: tuple[str, ...] | None = None
    """Tables of its world that had been made, whether they show it or not; None: that is not known, as of one from arrays."""
    tipcap: str = __version__


class Parts(NamedTuple):
    """A captioner's parts, wherever they lie."""

    about: About
    weights: Mapping[str, Tensor]
    language_model: Path
    encoder: Path | None
    """None where pictures come as embeddings."""
    corpus: Callable[[], Corpus | None]
    """Read when it is first asked for."""
    where: str
    """For errors."""


def no_corpus() -> None:
    """Return the corpus of a captioner that has none."""


def write_exported(
    folder: Path,
    parts: Parts,
    card: str,
    *,
    num_captions: int,
    shared: Mapping[Part, str] | None = None,
) -> None:
    """Write a captioner as a folder.

    Args:
        folder: must not be there, or be empty.
        parts: of the captioner.
        card: text of the model card.
        num_captions: of the corpus that go along, a seeded sample; 0 for none.
        shared: parts that are left out, since the package has them under these keys.

    Raises:
        InputError: the folder holds something, or there is no space.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder}: expected a new or an empty folder, found one that holds something; name another one"
        )
    shared = dict(shared or {})
    about = parts.about.model_copy(update={"shared": shared})
    with publish(folder) as partial:
        kept = {k: t for k, t in parts.weights.items() if not k.startswith("mapping.")}
        write_tensors(partial / WEIGHTS, kept)
        if "language_model" not in shared:
            _copy(parts.language_model, partial / "language_model", read_files)
        if "encoder" not in shared and parts.encoder is not None:
            _copy(parts.encoder, partial / "encoder", _encoder_files)
        if num_captions and "corpus" not in shared and (found := parts.corpus()):
            write_corpus(partial / "corpus", sample_corpus(found, num_captions))
        (partial / _CARD).write_text(card, "utf-8")
        write_json(partial / ABOUT, about.model_dump(mode="json"))
        for file in partial.rglob("*.safetensors"):
            file.chmod(0o644)  # that library makes files for their owner alone


def _encoder_files(names: Iterable[str]) -> list[str]:
    return [name for name in names if name in _ENCODER_FILES]


def _copy(
    source: Path, target: Path, chosen: Callable[[Iterable[str]], list[str]]
) -> None:
    target.mkdir()
    for name in chosen(file.name for file in source.iterdir() if file.is_file()):
        shutil.copyfile(source / name, target / name)


def write_corpus(folder: Path, corpus: Corpus) -> None:
    """Write a corpus for suggestions and nearest captions."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _TEXTS, list(corpus.captions))
    write_tensors(folder / EMBEDDINGS, {"vectors": corpus.vectors.half()})


def read_corpus(folder: Path) -> Corpus:
    """Return the corpus of a folder, with unit norm in single precision.

    Raises:
        InputError: a file is missing, damaged, or does not belong to the other.
    """
    texts = read_json(folder / _TEXTS)
    vectors = read_tensors(folder / EMBEDDINGS).get("vectors", torch.empty(0))
    if not isinstance(texts, list) or vectors.ndim != 2 or len(texts) != len(vectors):
        raise InputError(
            f"{folder}: expected a list of captions ({_TEXTS}) with a vector each ({EMBEDDINGS}), found others; export the captioner again"
        )
    return Corpus(texts, F.normalize(vectors.float(), dim=1))


def read_about(folder: Path) -> About:
    """Return what a captioner's folder says of itself.

    Raises:
        InputError: it is no such folder, or one of a later format.
    """
    file = folder / ABOUT
    if not file.is_file():
        raise InputError(
            f"{folder}: expected the folder of an exported captioner ({ABOUT} in it), found {'another' if folder.is_dir() else 'none'}; make one with `tipcap export`"
        )
    fields = read_json(file)
    found = fields.get("format") if isinstance(fields, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise InputError(
            f"{file}: expected format {FORMAT}, found {found}; install the tipcap that wrote it ({fields.get('tipcap')}) or a later one"
        )
    return check(About, fields, str(file))


def read_exported(folder: Path) -> Parts:
    """Return the parts of an exported captioner.

    Raises:
        InputError: as `read_about`, or a part is missing or damaged.
    """
    about = read_about(folder)
    language_model = _part(folder, about, "language_model")
    if language_model is None:
        raise InputError(
            f"{folder}/language_model: expected a folder, found none; export the captioner again"
        )
    corpus = _part(folder, about, "corpus")
    return Parts(
        about,
        read_tensors(folder / WEIGHTS),
        language_model,
        _part(folder, about, "encoder"),
        no_corpus if corpus is None else lambda: read_corpus(corpus),
        str(folder),
    )


def _part(folder: Path, about: About, part: Part) -> Path | None:
    own = folder / part
    if own.is_dir():
        return own
    if (key := about.shared.get(part)) is None:
        return None
    if (found := shipped_part(part, key)) is None:
        raise InputError(
            f"{folder}: expected its {part} {key} in the package, found none there; install the tipcap that it came with ({about.tipcap}) or export the captioner again"
        )
    return found


def shipped_part(part: Part, key: str) -> Path | None:
    """Return the folder of an encoder, language model or corpus that ships with the package, if it does."""
    for base in ("models", paths.CAPTIONERS):
        found = paths.packaged(f"{base}/{part}/{key}")
        if found.is_dir():
            return found
    return None


def shipped_captioners() -> dict[str, Path]:
    """Return the captioners that ship with the package, by name."""
    found = paths.packaged(paths.CAPTIONERS).glob(f"*/*/{ABOUT}")
    return {f"{f.parent.parent.name}:{f.parent.name}": f.parent for f in sorted(found)}
