"""The embed step: a split's pictures or captions through the encoder, in batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import EMBEDDINGS
from tipcap.specs import SampleSpec, Split
from tipcap.step import Request, Step

_PICTURES, _TEXTS = (256, 32), (1024, 1024)
"""How many the encoder reads together, and how many of these a process prepares at a time."""


class EmbedSpec(SampleSpec):
    """Unit-norm embeddings of all captions of a split, or of all pictures or the sample of them that was fetched."""

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
    precision: str = "float32",
    threads: int = 1,
) -> None:
    """Publish `embeddings.safetensors`: unit-norm vectors with image ids and caption numbers.

    Pictures and captions are prepared by `threads` processes, this one among them, while the device computes. Where
    `precision` is bfloat16 that is in half precision, which the record then says. What was embedded lies beside the artefact until
    that is whole, and a run that was killed goes on from there.
    """
    import torch

    from tipcap.io.annotations import read_annotations
    from tipcap.io.embedding_run import Work, embed_items, sole_embedding
    from tipcap.io.encoder import load_encoder, precision_on
    from tipcap.io.workers import MANY_PICTURES, MANY_TEXTS, Crops, PictureFile, Tokens

    records = [r for r in read_annotations(dataset) if r.split == spec.split]
    if not records:
        raise InputError(
            f"{dataset}: expected images of split {spec.split!r}, found none; choose another split"
        )
    if spec.is_sample:
        from tipcap.io.pictures import PictureArchives

        there = PictureArchives(pictures).members()  # those that were drawn
        records = [record for record in records if record.member in there]
    with sole_embedding(request) as (draft, kept):
        if draft is None:
            return
        dtype = precision_on(device, precision)
        clip = load_encoder(encoder).to(device, dtype)
        items: list[PictureFile] | list[str]
        if spec.modality == "image":
            items = [PictureFile(r.archive, r.member, r.image_id) for r in records]
            owners, numbers = [r.image_id for r in records], [0] * len(records)
            crops = Crops(pictures, clip.prepare)
            work = Work(crops, clip.embed_pixels, *_PICTURES, MANY_PICTURES)
        else:
            items = [caption for r in records for caption in r.captions]
            owners = [r.image_id for r in records for _ in r.captions]
            numbers = [number for r in records for number in range(len(r.captions))]
            work = Work(Tokens(encoder), clip.embed_texts, *_TEXTS, MANY_TEXTS)
        embed_items(
            draft,
            kept,
            f"embedding {'pictures' if spec.modality == 'image' else 'captions'}",
            items,
            (torch.tensor(owners), torch.tensor(numbers)),
            work,
            clip.embed_dim,
            device,
            threads,
        )
        draft.device = device
        draft.counts |= {"embeddings": len(items), "embed_dim": clip.embed_dim}
        if dtype != torch.float32:
            draft.counts["precision"] = str(dtype).removeprefix("torch.")


STEP = Step(
    EmbedSpec,
    embed,
    main_file=EMBEDDINGS,
    torch_threads=True,
    libraries=(
        "tipcap.io.embedding_run",
        "tipcap.io.libraries:open_clip_module",
    ),
)
