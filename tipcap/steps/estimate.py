"""The estimate step: N(mean, covariance) of the modality gap in settings 1 and 2."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import GAP
from tipcap.specs import Count, Covariance, Fraction, Seed, Spec
from tipcap.step import Request, Step

if TYPE_CHECKING:
    from tipcap.core.selection import Pairs
    from tipcap.io.record import Draft

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


def estimate(
    request: Request,
    spec: EstimateSpec,
    images: Path,
    texts: Path,
    corpus: Path | None = None,
) -> None:
    """Publish `gap.safetensors` (mean, factor) and print what the modality gap looks like."""
    import torch

    from tipcap.core.gaussian import (
        correct_web,
        estimate_gaussian,
        independent_gap,
        log_likelihood,
        pair_at_random,
    )
    from tipcap.core.selection import pair_up, sample_images, split_pairs
    from tipcap.core.types import Gaussian
    from tipcap.io.embeddings import read_embeddings
    from tipcap.io.record import artefact
    from tipcap.io.store import write_tensors

    with artefact(request) as draft:
        image_embeddings = read_embeddings(images)
        width = image_embeddings.vectors.shape[1]
        pairs = pair_up(image_embeddings, read_embeddings(texts, width))
        distinct = pairs.image_id.unique()
        number = spec.num_pairs or max(2, round((spec.fraction or 0) * len(distinct)))
        chosen = sample_images(distinct, number, spec.sample)
        used, others = split_pairs(pairs, chosen)
        differences = used.images - used.texts
        found = estimate_gaussian(differences, spec.covariance, len(chosen))
        gaussian = found.gaussian
        if spec.setting == 2:
            if corpus is None:
                raise InputError(
                    "estimate: expected --corpus in setting 2, found none; name the corpus embeddings"
                )
            corpus_texts = read_embeddings(corpus, width).vectors
            if spec.correction == "shared":
                shared = independent_gap(used.images, corpus_texts, spec.covariance)
                gaussian = Gaussian(*(part.to(differences.dtype) for part in shared))
            else:
                generator = torch.Generator().manual_seed(spec.sample)
                shift = pair_at_random(
                    corpus_texts, used.texts, len(differences), generator=generator
                )
                to_corpus = estimate_gaussian(shift, spec.covariance)
                gaussian = correct_web(gaussian, to_corpus.gaussian, spec.correction)
        write_tensors(draft.folder / GAP, gaussian._asdict())
        draft.counts |= {
            "images": len(chosen),
            "pairs": len(differences),
            "embed_dim": width,
        }
        draft.figures["shrinkage"] = found.shrinkage
        if len(others.image_id):
            held_out = log_likelihood(gaussian, others.images - others.texts)
            draft.figures["log_likelihood_of_other_pairs"] = held_out.mean().item()
        _describe(draft, pairs)
    for name, value in {**draft.counts, **draft.figures}.items():
        print(f"{request.key}: {name} {value:.4g}")


def _describe(draft: "Draft", pairs: "Pairs") -> None:
    """Note the figures of the gap over all pairs at hand, not only those used, so that runs compare."""
    import torch

    from tipcap.core.gaussian import gap_figures
    from tipcap.core.selection import sample_images, split_pairs

    generator = torch.Generator().manual_seed(0)
    distinct = pairs.image_id.unique()
    chosen = sample_images(distinct, min(len(distinct), _IMAGES_FOR_FIGURES), 0)
    shown, _ = split_pairs(pairs, chosen)
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
