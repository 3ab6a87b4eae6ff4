"""The embed step: a split's pictures or captions through the encoder, in batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from tipcap.errors import InputError
from tipcap.paths import EMBEDDINGS
from tipcap.specs import Spec, Split
from tipcap.step import Request, Step

if TYPE_CHECKING:
    from torch import Tensor

    from tipcap.io.annotations import ImageRecord
    from tipcap.io.encoder import Encoder
    from tipcap.io.pictures import PictureArchives

Item = TypeVar("Item")
_IMAGES_PER_BATCH, _TEXTS_PER_BATCH = 256, 1024


class EmbedSpec(Spec):
    """Unit-norm embeddings of all pictures or all captions of a split."""

    step: ClassVar[str] = "embed"
    lineage: ClassVar[tuple[str, ...]] = ("dataset", "encoder")

    modality: Literal["image", "text"]
    split: Split


def embed(
    request: Request,
    spec: EmbedSpec,
    dataset: Path,
    encoder: Path,
    pictures: Sequence[Path] = (),
    *,
    device: str,
) -> None:
    """Publish `embeddings.safetensors`: unit-norm vectors with image ids and caption numbers."""
    import torch

    from tipcap.core.types import Embeddings
    from tipcap.io.annotations import read_annotations
    from tipcap.io.embeddings import write_embeddings
    from tipcap.io.encoder import load_encoder
    from tipcap.io.pictures import PictureArchives
    from tipcap.io.record import artefact

    records = [r for r in read_annotations(dataset) if r.split == spec.split]
    if not records:
        raise InputError(
            f"{dataset}: expected images of split {spec.split!r}, found none; choose another split"
        )
    with artefact(request) as draft:
        clip = load_encoder(encoder).to(device)
        if spec.modality == "image":
            vectors = _embed_pictures(clip, records, PictureArchives(pictures), device)
            owners, numbers = [r.image_id for r in records], [0] * len(records)
        else:
            vectors = _embed_captions(clip, records, device)
            owners = [r.image_id for r in records for _ in r.captions]
            numbers = [number for r in records for number in range(len(r.captions))]
        embeddings = Embeddings(vectors, torch.tensor(owners), torch.tensor(numbers))
        write_embeddings(draft.folder / EMBEDDINGS, embeddings)
        draft.device = device
        draft.counts |= {"embeddings": len(vectors), "embed_dim": vectors.shape[1]}


def _in_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _embed_pictures(
    encoder: "Encoder",
    records: Sequence["ImageRecord"],
    archives: "PictureArchives",
    device: str,
) -> "Tensor":
    import torch

    from tipcap.io.progress import Progress

    def parts() -> Iterator["Tensor"]:
        progress = Progress("embedding pictures", len(records))
        for batch in _in_batches(records, _IMAGES_PER_BATCH):
            pictures = [
                encoder.prepare(archives.read(r.archive, r.member, r.image_id))
                for r in batch
            ]
            yield encoder.embed_images(torch.stack(pictures).to(device)).cpu()
            progress.advance(len(batch))
        progress.close()

    return torch.cat(list(parts()))


def _embed_captions(
    encoder: "Encoder", records: Sequence["ImageRecord"], device: str
) -> "Tensor":
    import torch

    from tipcap.io.progress import Progress

    captions = [caption for record in records for caption in record.captions]

    def parts() -> Iterator["Tensor"]:
        progress = Progress("embedding captions", len(captions))
        for batch in _in_batches(captions, _TEXTS_PER_BATCH):
            yield encoder.embed_texts(encoder.tokenize(batch).to(device)).cpu()
            progress.advance(len(batch))
        progress.close()

    return torch.cat(list(parts()))


STEP = Step(
    EmbedSpec,
    embed,
    main_file=EMBEDDINGS,
    torch_threads=True,
    libraries=(
        "tipcap.io.embeddings",
        "tipcap.io.pictures",
        "tipcap.io.libraries:open_clip_module",
    ),
)
