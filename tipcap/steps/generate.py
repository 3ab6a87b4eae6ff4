"""The generate step: captions by beam search, or taken from the corpus for comparison."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tipcap.core.captioner import Captioner
from tipcap.core.decoding import beam_search
from tipcap.core.memory import project_onto_memory, sample_memory
from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.embeddings import read_embeddings
from tipcap.io.language_model import GPT2, decode, load_language_model, load_tokenizer
from tipcap.io.progress import Progress
from tipcap.io.record import Draft, Request, artefact
from tipcap.io.store import read_tensors, write_json
from tipcap.paths import CAPTIONS
from tipcap.specs import GenerateSpec, RetrieveSpec
from tipcap.steps.train import corpus_captions

_IMAGES_PER_BATCH = 128


def load_captioner(
    model: Path, language_model: Path, device: str
) -> tuple[Captioner, GPT2]:
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
    texts: Path | None = None,
) -> None:
    """Publish `captions.json`: one caption for every image of the split, sorted by image id.

    `texts` are the corpus's text embeddings, which a projection onto the memory needs.
    """
    if spec.prompts != "none":
        raise InputError(
            "generate: expected prompts 'none', found 'simulated'; this version does not evaluate prompts yet"
        )
    with artefact(request) as draft:
        embeddings = read_embeddings(images)
        vectors = embeddings.vectors
        if spec.projection == "memory":
            vectors = _project(spec, vectors.to(device), texts, draft)
        captioner, lm = load_captioner(model, language_model, device)
        tokenizer = load_tokenizer(language_model)
        captions: dict[int, str] = {}
        progress = Progress("generating", len(embeddings.vectors))
        with torch.inference_mode():
            for start in range(0, len(embeddings.vectors), _IMAGES_PER_BATCH):
                rows = slice(start, start + _IMAGES_PER_BATCH)
                prefix = captioner.prefix(vectors[rows].to(device))
                decoded = beam_search(
                    lm, prefix, spec.beam, spec.max_tokens, lm.end_of_text
                )
                owners = embeddings.image_id[rows].tolist()
                written = decode(tokenizer, decoded.ids, decoded.length)
                captions |= dict(zip(owners, written, strict=True))
                progress.advance(len(owners))
        progress.close()
        draft.device = device
        _write(draft, captions)


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


def _write(draft: Draft, captions: Mapping[int, str]) -> None:
    rows = [
        {"image_id": owner, "caption": captions[owner]} for owner in sorted(captions)
    ]
    write_json(draft.folder / CAPTIONS, rows)
    draft.counts["captions"] = len(rows)
    draft.counts["distinct_captions"] = len(set(captions.values()))
    draft.counts["empty_captions"] = sum(not text.strip() for text in captions.values())
