"""The retrieve step: captions taken from the corpus, for comparison. Not of the paper."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import CAPTIONS
from tipcap.specs import Seed, Spec, Split
from tipcap.step import Request, Step

if TYPE_CHECKING:
    from torch import Tensor

_IMAGES_PER_BATCH, _TEXTS_AT_ONCE = 128, 131_072


class RetrieveSpec(Spec):
    """Captions taken from the corpus: the nearest to each picture, or any. Not of the paper."""

    step: ClassVar[str] = "retrieve"
    lineage: ClassVar[tuple[str, ...]] = ("corpus", "dataset")

    method: Literal["nearest", "random"]
    split: Split
    seed: Seed = 0


def retrieve(
    request: Request,
    spec: RetrieveSpec,
    dataset: Path,
    corpus: Path,
    images: Path | None = None,
    texts: Path | None = None,
) -> None:
    """Publish `captions.json` with captions of the corpus: the nearest to each image, or any."""
    import torch

    from tipcap.io.annotations import read_annotations
    from tipcap.io.captioning import write_captions
    from tipcap.io.embeddings import corpus_captions, read_embeddings
    from tipcap.io.record import artefact

    with artefact(request) as draft:
        if spec.method == "random":
            pool = [
                c
                for r in read_annotations(corpus)
                if r.split == "train"
                for c in r.captions
            ]
            owners = [
                r.image_id for r in read_annotations(dataset) if r.split == spec.split
            ]
            generator = torch.Generator().manual_seed(spec.seed)
            taken = torch.randint(len(pool), (len(owners),), generator=generator)
        elif images is None or texts is None:
            raise InputError(
                "retrieve: expected --images and --texts for the nearest caption, found none; name both"
            )
        else:
            image_embeddings = read_embeddings(images)
            text_embeddings = read_embeddings(texts, image_embeddings.vectors.shape[1])
            pool = corpus_captions(corpus, text_embeddings)
            owners = image_embeddings.image_id.tolist()
            taken = nearest_texts(image_embeddings.vectors, text_embeddings.vectors)
        captions = {i: pool[j] for i, j in zip(owners, taken.tolist(), strict=True)}
        write_captions(draft, draft.folder / CAPTIONS, captions)


def nearest_texts(images: "Tensor", texts: "Tensor") -> "Tensor":
    """Return the row of the nearest text of each image, any of equal ones; reads all texts once.

    Args:
        images: unit-norm embeddings, (image, embed_dim).
        texts: likewise, (text, embed_dim); may be mapped from a file.
    """
    import torch

    nearest = torch.zeros(len(images), dtype=torch.int64)
    largest = torch.full((len(images),), -torch.inf)
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        part = texts[first : first + _TEXTS_AT_ONCE]
        for rows in torch.arange(len(images)).split(_IMAGES_PER_BATCH):
            cosines = images[rows] @ part.T
            place = cosines.argmax(1)
            found = cosines.gather(1, place[:, None]).squeeze(1)
            is_nearer = found > largest[rows]
            largest[rows] = torch.where(is_nearer, found, largest[rows])
            nearest[rows] = torch.where(is_nearer, first + place, nearest[rows])
    return nearest


STEP = Step(
    RetrieveSpec,
    retrieve,
    main_file=CAPTIONS,
    torch_threads=True,
    libraries=("tipcap.io.captioning", "tipcap.io.embeddings"),
)
