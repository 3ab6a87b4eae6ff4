"""The likelihood step: the loss of the true captions of a split, given its pictures, under a trained captioner."""

from pathlib import Path
from typing import ClassVar, Literal

from tipcap.paths import LIKELIHOOD
from tipcap.specs import SIZES, Count, Rate, Seed, Spec, Split
from tipcap.step import Request, Step


class LikelihoodSpec(Spec):
    """Loss per token of all reference captions of a split."""

    step: ClassVar[str] = "likelihood"
    lineage: ClassVar[tuple[str, ...]] = ("model", "dataset")
    unread: ClassVar[frozenset[str]] = SIZES | {
        "memory_size",
        "memory_temperature",
        "end",
        "padding",
    }

    split: Split
    max_caption_tokens: Count = 40
    """A longer caption counts up to here and without an end, as in training."""
    projection: Literal["none", "memory"] = "none"
    """This and what follows: as in generation."""
    memory_size: Count | None = None
    memory_temperature: Rate = 0.01
    memory_seed: Seed = 0
    end: Literal["eos", "full_stop"] = "eos"
    padding: Literal["labels", "bare"] = "bare"


def likelihood(
    request: Request,
    spec: LikelihoodSpec,
    dataset: Path,
    model: Path,
    language_model: Path,
    images: Path,
    texts: Path | None = None,
    *,
    device: str,
) -> None:
    """Publish `likelihood.json`: of every image the loss of its captions in nats and their number of tokens.

    Beside them `nll`, the loss per token of all captions. `texts` are the corpus's text embeddings, which a
    projection onto the memory needs.

    Raises:
        InputError: an image without captions, or what a file lacks.
    """
    import torch

    from tipcap.core.likelihood import by_image, caption_losses
    from tipcap.core.prompts import PADDING
    from tipcap.errors import InputError
    from tipcap.io.annotations import read_annotations
    from tipcap.io.captioning import load_captioner, prompt_room
    from tipcap.io.embeddings import read_embeddings
    from tipcap.io.record import artefact
    from tipcap.io.store import write_json
    from tipcap.io.tokens import encode_captions, encode_prompts, load_tokenizer
    from tipcap.steps.generate import project

    with artefact(request) as draft:
        embeddings = read_embeddings(images)
        vectors = embeddings.vectors
        if spec.projection == "memory":
            memory = (spec.memory_size, spec.memory_temperature, spec.memory_seed)
            vectors = project(vectors.to(device), texts, *memory, draft)
        owners = embeddings.image_id.tolist()
        captions = {r.image_id: r.captions for r in read_annotations(dataset)}
        if missing := [owner for owner in owners if not captions.get(owner)]:
            raise InputError(
                f"{dataset}: expected captions of every image of {images}, found none of image {missing[0]}; embed the dataset again"
            )
        captioner, lm = load_captioner(model, language_model, device)
        tokenizer, before = load_tokenizer(language_model), PADDING[spec.padding]
        room = prompt_room(captioner, lm, spec.max_caption_tokens)
        padding, _ = encode_prompts(tokenizer, [before], room)
        # as in training: a caption follows a prompt with a space in front
        space = " " if before else ""
        tokens, num_cut = encode_captions(
            tokenizer,
            [space + text for owner in owners for text in captions[owner]],
            spec.max_caption_tokens,
            spec.end,
        )
        counts = torch.tensor([len(captions[owner]) for owner in owners])
        image_row = torch.arange(len(owners)).repeat_interleave(counts)
        prompt = padding.ids[0, : int(padding.length[0])]
        losses = caption_losses(captioner, lm, vectors, tokens, image_row, prompt)
        found = by_image(losses, tokens.length, image_row, len(owners))
        num_tokens = int(tokens.length.sum())
        nll = float(losses.sum()) / num_tokens
        write_json(
            draft.folder / LIKELIHOOD,
            {
                "nll": nll,
                "images": {
                    str(owner): one._asdict()
                    for owner, one in sorted(zip(owners, found, strict=True))
                },
            },
        )
        draft.device = device
        draft.figures["nll"] = nll
        draft.counts |= {"captions": len(losses), "tokens": num_tokens}
        draft.counts["captions_cut"] = num_cut


STEP = Step(
    LikelihoodSpec,
    likelihood,
    main_file=LIKELIHOOD,
    torch_threads=True,
    libraries=(
        "tipcap.core.likelihood",
        "tipcap.core.memory",
        "tipcap.io.captioning",
        "tipcap.io.embeddings",
        "tipcap.io.libraries:import_language_models",
    ),
)
