"""The generate step: captions by beam search, or taken from the corpus for comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tipcap.core.captioner import Captioner
from tipcap.core.decoding import beam_search
from tipcap.core.memory import project_onto_memory, sample_memory
from tipcap.core.prompts import prompt_text, simulated_words
from tipcap.core.types import LanguageModel, TokenBatch, device_of
from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.embeddings import read_embeddings
from tipcap.io.language_model import CausalLanguageModel, load_language_model
from tipcap.io.progress import Progress
from tipcap.io.record import Draft, Request, artefact
from tipcap.io.result_files import read_captions
from tipcap.io.store import read_tensors, write_json
from tipcap.io.tokens import CaptionTokenizer, decode, encode_prompts, load_tokenizer
from tipcap.paths import CAPTIONS
from tipcap.specs import GenerateSpec, RetrieveSpec
from tipcap.steps.nouns import read_nouns
from tipcap.steps.train import corpus_captions

_IMAGES_PER_BATCH = 128


class Simulation(NamedTuple):
    """The files that simulated prompts are made of."""

    dataset: Path
    rough: Path
    """Captions of the same model without prompts."""
    nouns: Path
    """Words of the dataset's captions."""
    rough_nouns: Path
    """Words of the rough captions."""


def load_captioner(
    model: Path, language_model: Path, device: str
) -> tuple[Captioner, CausalLanguageModel]:
    """Return the trained captioner and its language model.

    Raises:
        InputError: the files are not those of a training.
    """
    tensors = read_tensors(model)

    def part(prefix: str) -> dict[str, Tensor]:
        inside = {k: v for k, v in tensors.items() if k.startswith(prefix)}
        return {name.removeprefix(prefix): tensor for name, tensor in inside.items()}

    lm = load_language_model(language_model)
    if tuned := part("language_model."):
        try:
            lm.load_state_dict(tuned)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{model}: expected the weights of {language_model}, found others ({reason}); train the model again"
            ) from error
    return Captioner.from_tensors(part("captioner.")).to(device), lm.to(device)


def generate(
    request: Request,
    spec: GenerateSpec,
    model: Path,
    language_model: Path,
    images: Path,
    device: str,
    simulation: Simulation | None = None,
    texts: Path | None = None,
) -> None:
    """Publish `captions.json`: one caption for every image of the split, sorted by image id.

    Where prompts are simulated, each entry also has the words of its prompt. `texts` are the corpus's
    text embeddings, which a projection onto the memory needs.
    """
    with artefact(request) as draft:
        embeddings = read_embeddings(images)
        vectors = embeddings.vectors
        if spec.projection == "memory":
            vectors = _project(spec, vectors.to(device), texts, draft)
        captioner, lm = load_captioner(model, language_model, device)
        tokenizer = load_tokenizer(language_model)
        owners = embeddings.image_id.tolist()
        prompts, words = None, None
        if simulation is not None:
            rough = read_captions(simulation.rough)
            words = _simulated_words(spec, simulation, rough, owners)
            prompts, too_long = encode_prompts(
                tokenizer,
                [prompt_text(rough[owner], words[owner]) for owner in owners],
                prompt_room(captioner, lm, spec.max_tokens),
            )
            draft.counts["prompts"] = int((prompts.length > 0).sum())
            draft.counts["prompts_too_long"] = too_long
        written = caption_embeddings(
            captioner,
            lm,
            tokenizer,
            vectors,
            spec.beam,
            spec.max_tokens,
            prompts,
        )
        draft.device = device
        _write(draft, dict(zip(owners, written, strict=True)), words)


def prompt_room(
    captioner: Captioner, language_model: LanguageModel, max_tokens: int
) -> int:
    """Return how many tokens a prompt may have before a caption of `max_tokens`."""
    prefix_length = captioner.projector.prefix_length
    return max(0, language_model.max_positions - prefix_length - max_tokens + 1)


def caption_embeddings(
    captioner: Captioner,
    language_model: CausalLanguageModel,
    tokenizer: CaptionTokenizer,
    vectors: Tensor,
    beam: int,
    max_tokens: int,
    prompts: TokenBatch | None = None,
    rows_per_batch: int = _IMAGES_PER_BATCH,
    label: str = "generating",
) -> list[str]:
    """Return the caption of each embedding of the image side, with its prompt where it has one.

    Prompts of one length are read together: the language model knows no padding.
    """
    device = device_of(language_model)
    captions = [""] * len(vectors)
    groups = [torch.arange(len(vectors))]
    if prompts is not None:
        lengths = prompts.length
        groups = [(lengths == n).nonzero().squeeze(1) for n in lengths.unique()]
    progress = Progress(label, len(vectors))
    for rows in (part for group in groups for part in group.split(rows_per_batch)):
        with torch.inference_mode():
            inputs = captioner.prefix(vectors[rows].to(device))
            if prompts is not None:
                ids = prompts.ids[rows, : int(prompts.length[rows[0]])].to(device)
                inputs = torch.cat([inputs, language_model.embed_tokens(ids)], 1)
            decoded = beam_search(
                language_model, inputs, beam, max_tokens, language_model.end_of_text
            )
        texts = decode(tokenizer, decoded.ids, decoded.length)
        for row, text in zip(rows.tolist(), texts, strict=True):
            captions[row] = text
        progress.advance(len(rows))
    progress.close()
    return captions


def _simulated_words(
    spec: GenerateSpec,
    simulation: Simulation,
    rough: Mapping[int, str],
    owners: Sequence[int],
) -> dict[int, list[str]]:
    """Return for each image the words of its prompt."""
    records = {r.image_id: r for r in read_annotations(simulation.dataset)}
    captions = [text for owner in owners for text in records[owner].captions]
    nouns = read_nouns(simulation.nouns, captions)
    nouns |= read_nouns(simulation.rough_nouns, rough.values())
    return {
        owner: simulated_words(
            records[owner].captions,
            rough[owner],
            nouns,
            spec.max_prompt_words,
            spec.prompt_seed,
            owner,
        )
        for owner in owners
    }


def _project(
    spec: GenerateSpec, images: Tensor, texts: Path | None, draft: Draft
) -> Tensor:
    if texts is None:
        raise InputError(
            "generate: expected --texts for projection 'memory', found none; name the corpus's embeddings"
        )
    memory = read_embeddings(texts, images.shape[1]).vectors
    rows = sample_memory(len(memory), spec.memory_size, spec.memory_seed)
    if len(rows) < len(memory):
        memory = memory[rows]
    draft.counts["memory"] = len(memory)
    return project_onto_memory(images, memory, spec.memory_temperature)


def retrieve(
    request: Request,
    spec: RetrieveSpec,
    dataset: Path,
    corpus: Path,
    images: Path | None,
    texts: Path | None,
) -> None:
    """Publish `captions.json` with captions of the corpus: the nearest to each image, or any."""
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
            drawn = torch.randint(
                len(pool), (len(owners),), generator=generator
            ).tolist()
            _write(draft, {i: pool[j] for i, j in zip(owners, drawn, strict=True)})
            return
        if images is None or texts is None:
            raise InputError(
                "generate: expected --images and --texts for retrieval; name both"
            )
        image_embeddings = read_embeddings(images)
        text_embeddings = read_embeddings(texts, image_embeddings.vectors.shape[1])
        pool = corpus_captions(corpus, text_embeddings)
        nearest = torch.cat(
            [
                (part @ text_embeddings.vectors.T).argmax(1)
                for part in image_embeddings.vectors.split(_IMAGES_PER_BATCH)
            ]
        )
        owners = image_embeddings.image_id.tolist()
        _write(
            draft, {i: pool[j] for i, j in zip(owners, nearest.tolist(), strict=True)}
        )


def _write(
    draft: Draft,
    captions: Mapping[int, str],
    words: Mapping[int, list[str]] | None = None,
) -> None:
    rows: list[dict[str, object]] = [
        {"image_id": owner, "caption": captions[owner]} for owner in sorted(captions)
    ]
    for row, owner in zip(rows, sorted(captions), strict=True):
        if words is not None:
            row["words"] = words[owner]
    write_json(draft.folder / CAPTIONS, rows)
    draft.counts["captions"] = len(rows)
    draft.counts["distinct_captions"] = len(set(captions.values()))
    draft.counts["empty_captions"] = sum(not text.strip() for text in captions.values())
