"""The generate step: the captions of a split by beam search, with simulated prompts where asked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import CAPTIONS
from tipcap.specs import SIZES, Count, Rate, Seed, Spec, Split, Weight
from tipcap.step import Request, Step
from tipcap.steps.nouns import read_nouns

if TYPE_CHECKING:
    from torch import Tensor

    from tipcap.io.record import Draft


class GenerateSpec(Spec):
    """Captions of all pictures of a split, by beam search."""

    step: ClassVar[str] = "generate"
    version: ClassVar[int] = 3
    lineage: ClassVar[tuple[str, ...]] = ("model", "dataset")
    unread: ClassVar[frozenset[str]] = SIZES | {
        "memory_size",
        "memory_temperature",
        "padding",
        "end",
    }

    split: Split
    beam: Count = 5
    max_tokens: Count = 40
    length_exponent: Weight = 1.0
    """Hypotheses rank by log-probability over this power of their number of tokens: 1 is the mean, 0 the sum."""
    end: Literal["eos", "full_stop"] = "eos"
    """What ends a caption: as the captioner was trained."""
    prompts: Literal["none", "simulated"] = "none"
    prompt_seed: Seed = 0
    projection: Literal["none", "memory"] = "none"
    """`memory`: image embeddings become averages of the corpus's text embeddings, as in DeCap."""
    memory_size: Count | None = None
    """At most so many captions of the corpus, a seeded sample; absent: all."""
    memory_temperature: Rate = 0.01
    memory_seed: Seed = 0
    max_prompt_words: Count = 2
    """Simulated prompts name one word up to this many."""
    prompt_pool: Literal["caption", "weighted", "uniform"] = "caption"
    """Simulated prompts name words of one caption of the image, of all weighted by how many name them, or
    of all alike. Paper: Sec. IV-C1, "extracted from corresponding ground truth caption"."""
    padding: Literal["labels", "bare"] = "bare"
    """What stands before a caption without a prompt: as stage 2 was trained; `bare` without it."""


def generate(
    request: Request,
    spec: GenerateSpec,
    dataset: Path,
    model: Path,
    language_model: Path,
    images: Path,
    texts: Path | None = None,
    rough: Path | None = None,
    nouns: Path | None = None,
    rough_nouns: Path | None = None,
    *,
    device: str,
    precision: str = "float32",
) -> None:
    """Publish `captions.json`: one caption for every image of the split, sorted by image id.

    Where prompts are simulated, from `rough`, `nouns` and `rough_nouns`, each entry also has the words of its
    prompt. `texts` are the corpus's text embeddings, which a projection onto the memory needs.
    """
    from tipcap.core.prompts import PADDING, pad_prompts, prompt_text
    from tipcap.io.captioning import (
        caption_embeddings,
        load_captioner,
        note_precision,
        prompt_room,
        write_captions,
    )
    from tipcap.io.embeddings import read_embeddings
    from tipcap.io.record import artefact
    from tipcap.io.result_files import read_known_captions
    from tipcap.io.tokens import encode_prompts, load_tokenizer

    if spec.prompts == "simulated":
        for option, file in (
            ("rough", rough),
            ("nouns", nouns),
            ("rough-nouns", rough_nouns),
        ):
            if file is None:
                raise InputError(
                    f"--{option}: expected a file for simulated prompts, found none; name it"
                )
    with artefact(request) as draft:
        embeddings = read_embeddings(images)
        vectors = embeddings.vectors
        if spec.projection == "memory":
            memory = (spec.memory_size, spec.memory_temperature, spec.memory_seed)
            vectors = project(vectors.to(device), texts, *memory, draft)
        captioner, lm = load_captioner(model, language_model, device, precision)
        tokenizer = load_tokenizer(language_model)
        owners = embeddings.image_id.tolist()
        room = prompt_room(captioner, lm, spec.max_tokens)
        before, words = [""] * len(owners), None
        if rough is not None and nouns is not None and rough_nouns is not None:
            said = read_known_captions(rough, images, owners)
            words = _simulated_words(spec, dataset, nouns, rough_nouns, said, owners)
            before = [prompt_text(said[owner], words[owner]) for owner in owners]
        prompts, too_long = encode_prompts(tokenizer, before, room)
        padding, _ = encode_prompts(tokenizer, [PADDING[spec.padding]], room)
        if words is not None:
            draft.counts["prompts"] = int((prompts.length > 0).sum())
            draft.counts["prompts_too_long"] = too_long
        written = caption_embeddings(
            captioner,
            lm,
            tokenizer,
            vectors,
            spec.beam,
            spec.max_tokens,
            pad_prompts(prompts, padding),
            end=spec.end,
            length_exponent=spec.length_exponent,
        )
        draft.device = device
        note_precision(draft, lm)
        captions = dict(zip(owners, written, strict=True))
        write_captions(draft, draft.folder / CAPTIONS, captions, words)


def _simulated_words(
    spec: GenerateSpec,
    dataset: Path,
    nouns: Path,
    rough_nouns: Path,
    rough: Mapping[int, str],
    owners: Sequence[int],
) -> dict[int, list[str]]:
    """Return for each image the words of its prompt.

    Args:
        spec: of the step.
        dataset: the images' captions, whose words are drawn from.
        nouns: words of these captions.
        rough_nouns: words of the rough captions.
        rough: caption of the same model without a prompt, by image.
        owners: the images.
    """
    from tipcap.core.prompts import simulated_words
    from tipcap.io.annotations import read_annotations

    records = {r.image_id: r for r in read_annotations(dataset)}
    captions = [text for owner in owners for text in records[owner].captions]
    words = read_nouns(nouns, captions)
    words |= read_nouns(rough_nouns, rough.values())
    return {
        owner: simulated_words(
            records[owner].captions,
            rough[owner],
            words,
            spec.prompt_pool,
            spec.max_prompt_words,
            spec.prompt_seed,
            owner,
        )
        for owner in owners
    }


def project(
    images: "Tensor",
    texts: Path | None,
    size: int | None,
    temperature: float,
    seed: int,
    draft: "Draft",
) -> "Tensor":
    """Return image embeddings as averages of the corpus's text embeddings, or of a seeded sample of them.

    Raises:
        InputError: no `texts`, or of another width.
    """
    from tipcap.core.memory import project_onto_memory, sample_memory
    from tipcap.io.embeddings import read_embeddings

    if texts is None:
        raise InputError(
            "texts: expected --texts for projection 'memory', found none; name the corpus's embeddings"
        )
    memory = read_embeddings(texts, images.shape[1]).vectors
    rows = sample_memory(len(memory), size, seed)
    if len(rows) < len(memory):
        memory = memory[rows]
    draft.counts["memory"] = len(memory)
    return project_onto_memory(images, memory, temperature)


STEP = Step(
    GenerateSpec,
    generate,
    main_file=CAPTIONS,
    torch_threads=True,
    libraries=(
        "tipcap.core.memory",
        "tipcap.core.prompts",
        "tipcap.io.captioning",
        "tipcap.io.embeddings",
        "tipcap.io.libraries:import_language_models",
        "tipcap.io.result_files",
    ),
)
