"""The zerocap step: captions of a split by ZeroCap's search, for comparison. Not of the paper."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tipcap.paths import CAPTIONS
from tipcap.specs import SIZES, Count, Fraction, Rate, Spec, Split, Weight
from tipcap.step import Request, Step


class ZerocapSpec(Spec):
    """Captions of all pictures of a split by an untouched language model and CLIP, with the authors' values."""

    step: ClassVar[str] = "zerocap"
    lineage: ClassVar[tuple[str, ...]] = ("images",)
    unread: ClassVar[frozenset[str]] = SIZES | {"start"}

    split: Split
    start: str = Field("Image of a", min_length=1)
    """What the language model reads before a caption."""
    beam: Count = 5
    max_tokens: Count = 15
    candidates: Count = 512
    num_iterations: int = Field(5, ge=0)
    step_size: Rate = 0.3
    gradient_power: Fraction = 0.9
    fluency_weight: Weight = 0.2
    temperature: Rate = 0.01
    shifted_share: Fraction = 0.99
    end_factor: Rate = 1.01
    first_end_factor: Rate = 1.6
    forbidden_factor: Rate = 20.0


def write_by_zerocap(
    request: Request,
    spec: ZerocapSpec,
    dataset: Path,
    language_model: Path,
    encoder: Path,
    images: Path,
    *,
    checkpoints: Path,
    device: str,
    precision: str = "float32",
) -> None:
    """Publish `captions.json`: one caption for every image of the split, sorted by image id."""
    from tipcap.core.zerocap import ZerocapSettings, zerocap_search
    from tipcap.io.guidance import load_tuned, vocabulary_of, write_guided
    from tipcap.io.tokens import load_tokenizer

    settings = ZerocapSettings(**spec.model_dump(exclude={"split", "start"}))
    lm = load_tuned(None, language_model).to(device)
    start, vocabulary = vocabulary_of(
        load_tokenizer(language_model), lm, spec.start, device
    )
    write_guided(
        request,
        lambda similarity, number: zerocap_search(
            lm, similarity, number, start, vocabulary, settings
        ),
        language_model,
        encoder,
        images,
        checkpoints,
        device,
        precision,
    )


STEP = Step(
    ZerocapSpec,
    write_by_zerocap,
    main_file=CAPTIONS,
    in_one_process=True,
    torch_threads=True,
    libraries=(
        "tipcap.core.zerocap",
        "tipcap.io.guidance",
        "tipcap.io.libraries:import_language_models",
        "tipcap.io.libraries:open_clip_module",
    ),
)
