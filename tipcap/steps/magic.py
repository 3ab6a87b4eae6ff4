"""The magic step: captions of a split by MAGIC's search, for comparison. Not of the paper."""

from pathlib import Path
from typing import ClassVar

from tipcap.paths import CAPTIONS
from tipcap.specs import SIZES, Count, Fraction, Spec, Split, Weight
from tipcap.step import Request, Step


class MagicSpec(Spec):
    """Captions of all pictures of a split by a tuned language model and CLIP, with the authors' values for MS-COCO."""

    step: ClassVar[str] = "magic"
    lineage: ClassVar[tuple[str, ...]] = ("model", "images")
    unread: ClassVar[frozenset[str]] = SIZES

    split: Split
    candidates: Count = 45
    repetition_weight: Fraction = 0.1
    image_weight: Weight = 2.0
    max_tokens: Count = 15


def write_by_magic(
    request: Request,
    spec: MagicSpec,
    dataset: Path,
    model: Path,
    language_model: Path,
    encoder: Path,
    images: Path,
    *,
    checkpoints: Path,
    device: str,
    precision: str = "float32",
) -> None:
    """Publish `captions.json`: one caption for every image of the split, sorted by image id."""
    from tipcap.core.magic import MagicSettings, magic_search
    from tipcap.io.guidance import load_tuned, write_guided

    settings = MagicSettings(**spec.model_dump(exclude={"split"}))
    lm = load_tuned(model, language_model).to(device)
    write_guided(
        request,
        lambda similarity, number: magic_search(
            lm, similarity, number, settings, device
        ),
        language_model,
        encoder,
        images,
        checkpoints,
        device,
        precision,
    )


STEP = Step(
    MagicSpec,
    write_by_magic,
    main_file=CAPTIONS,
    in_one_process=True,
    torch_threads=True,
    libraries=(
        "tipcap.core.magic",
        "tipcap.io.guidance",
        "tipcap.io.libraries:import_language_models",
        "tipcap.io.libraries:open_clip_module",
    ),
)
