"""The estimate step: N(mean, covariance) of the modality gap in settings 1 and 2."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import GAP
from tipcap.specs import Count, Covariance, Fraction, Seed, Spec
from tipcap.step import Request, Step

if TYPE_CHECKING:
    from tipcap.core.types import Embeddings
    from tipcap.io.record import Draft

_PAIRS_AT_ONCE = 65_536
_IMAGES_FOR_FIGURES = 5000  # enough for three digits of every figure


class EstimateSpec(Spec):
    """The modality gap of settings 1 and 2. Paper: Sec. III-B, Eq. 6 and 7."""

    step: ClassVar[str] = "estimate"
    version: ClassVar[int] = 2
    lineage: ClassVar[tuple[str, ...]] = ("texts",)

    setting: Literal[1, 2]
    """Where pairs come from: 1 the corpus itself, 2 the web."""
    covariance: Covariance
    """Of the modality gap."""
    fraction: Fraction | None
    """Setting 1: share of the paired images that is used."""
    num_pairs: Count | None
    """Setting 2: number of web pairs."""
    sample: Seed = 0
    """Which of several seeded samples of images."""
    correction: Literal["full", "mean", "none", "shared"] = "full"
    """Setting 2, Eq. 7: `full` corrects mean and covariance with two independent differences; `shared` takes
    the web texts of both to be the same, so that Cov(web images) + Cov(corpus texts) remains; `mean` corrects
    the mean alone; `none` leaves the gap of the web pairs."""
    sampled: bool = False
    """The images at hand are the sample: it was drawn when their pictures were fetched."""


def estimate(
    request: Request,
    spec: EstimateSpec,
    images: Path,
    texts: Path,
    corpus: Path | None = None,
) -> None:
    """Publish `gap.safetensors` (mean, factor) and print what the modality gap looks like."""
    import torch

    from tipcap.core.gaussian import estimate_gaussian, log_likelihood, web_gap
    from tipcap.core.selection import (
        captions_of,
        pair_up,
        rows_of_images,
        sample_images,
        sample_size,
    )
    from tipcap.io.embeddings import read_embeddings
    from tipcap.io.record import artefact
    from tipcap.io.store import scratch_tensor, write_tensors

    with artefact(request) as draft:
        image_embeddings = read_embeddings(images)
        width = image_embeddings.vectors.shape[1]
        text_embeddings = read_embeddings(texts, width)
        if spec.sampled:
            text_embeddings = captions_of(text_embeddings, image_embeddings.image_id)
        owners = text_embeddings.image_id
        rows_of_images(image_embeddings.image_id, owners)  # all of them have one
        distinct = owners.unique()
        number = (
            len(distinct)
            if spec.sampled
            else sample_size(len(distinct), spec.fraction, spec.num_pairs)
        )
        chosen = sample_images(distinct, number, spec.sample)
        is_used = torch.isin(owners, chosen)
        rows = is_used.nonzero().squeeze(1)
        # all pairs may be asked for, and their embeddings need not fit into memory
        differences = scratch_tensor(draft.folder, (len(rows), width))
        for first in range(0, len(rows), _PAIRS_AT_ONCE):
            part = slice(first, first + _PAIRS_AT_ONCE)
            pairs = pair_up(image_embeddings, text_embeddings, rows[part])
            differences[part] = pairs.images - pairs.texts
        found = estimate_gaussian(differences, spec.covariance, len(chosen))
        gaussian = found.gaussian
        if spec.setting == 2:
            if corpus is None:
                raise InputError(
                    "estimate: expected --corpus in setting 2, found none; name the corpus embeddings"
                )
            corpus_texts = read_embeddings(corpus, width).vectors
            used = pair_up(image_embeddings, text_embeddings, rows)
            gaussian = web_gap(
                gaussian,
                used.images,
                used.texts,
                corpus_texts,
                spec.covariance,
                spec.correction,
                generator=torch.Generator().manual_seed(spec.sample),
            )
        write_tensors(draft.folder / GAP, gaussian._asdict())
        draft.counts |= {
            "images": len(chosen),
            "pairs": len(rows),
            "embed_dim": width,
        }
        draft.figures["shrinkage"] = found.shrinkage
        others = (~is_used).nonzero().squeeze(1)
        if len(others):
            likelihoods = []
            for some in others.split(_PAIRS_AT_ONCE):
                pairs = pair_up(image_embeddings, text_embeddings, some)
                differences = pairs.images - pairs.texts
                likelihoods.append(log_likelihood(gaussian, differences))
            held_out = torch.cat(likelihoods).mean().item()
            draft.figures["log_likelihood_of_other_pairs"] = held_out
        _describe(draft, image_embeddings, text_embeddings)
    for name, value in {**draft.counts, **draft.figures}.items():
        print(f"{request.key}: {name} {value:.4g}")


def _describe(draft: "Draft", images: "Embeddings", texts: "Embeddings") -> None:
    """Note the figures of the gap over all pairs at hand, not only those used, so that runs compare."""
    import torch

    from tipcap.core.gaussian import gap_figures
    from tipcap.core.selection import pair_up, sample_images

    generator = torch.Generator().manual_seed(0)
    distinct = texts.image_id.unique()
    chosen = sample_images(distinct, min(len(distinct), _IMAGES_FOR_FIGURES), 0)
    rows = torch.isin(texts.image_id, chosen).nonzero().squeeze(1)
    shown = pair_up(images, texts, rows)
    figures = gap_figures(
        shown.images, shown.texts, shown.image_id, generator=generator
    )
    draft.figures |= figures._asdict()


STEP = Step(
    EstimateSpec,
    estimate,
    main_file=GAP,
    torch_threads=True,
    libraries=("tipcap.core.gaussian", "tipcap.io.embeddings", "tipcap.io.record"),
)
