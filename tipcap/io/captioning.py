"""A trained captioner at work: loaded from its files, asked for captions, which are written."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tipcap.core.captioner import Captioner
from tipcap.core.constrained import constrained_candidates
from tipcap.core.decoding import beam_candidates, beam_search
from tipcap.core.refining import Candidate, distinct_candidates, names_all
from tipcap.core.types import LanguageModel, TokenBatch, device_of, dtype_of
from tipcap.errors import InputError, reason_of
from tipcap.io.language_model import CausalLanguageModel, load_language_model
from tipcap.io.progress import Progress
from tipcap.io.record import Draft
from tipcap.io.store import read_tensors, write_json
from tipcap.io.tokens import CaptionTokenizer, End, decode, end_token

_IMAGES_PER_BATCH = 128
_ROWS_OF_GPU = 4
"""Times as many on a GPU, which few rows do not fill."""
_TOKENS_BETWEEN_LOOKS = 4
"""On a GPU, which waits at each look at what still grows."""


def load_captioner(
    model: Path, language_model: Path, device: str, precision: str = "float32"
) -> tuple[Captioner, CausalLanguageModel]:
    """Return the trained captioner and its language model, in the precision of the training.

    Args:
        model: its file.
        language_model: its folder.
        device: PyTorch's name of it.
        precision: `bfloat16` has the language model of a training in single precision in half.

    Raises:
        InputError: the files are not those of a training.
    """
    captioner, lm = captioner_of(
        read_tensors(model), language_model, device, str(model)
    )
    return captioner, computing_in(precision, lm)


def computing_in(
    precision: str, language_model: CausalLanguageModel
) -> CausalLanguageModel:
    """Return a frozen language model as it computes at `float32` or `bfloat16`; one of double precision stays so."""
    if precision == "bfloat16" and dtype_of(language_model) == torch.float32:
        return language_model.in_half_precision()
    return language_model


def note_precision(draft: Draft, language_model: CausalLanguageModel) -> None:
    """Note in the record in what a language model computed, where that is not single precision."""
    if (dtype := dtype_of(language_model)) != torch.float32:
        draft.counts["precision"] = str(dtype).removeprefix("torch.")


def captioner_of(
    tensors: Mapping[str, Tensor], language_model: Path, device: str, where: str
) -> tuple[Captioner, CausalLanguageModel]:
    """Return a trained captioner and its language model from what a training gives.

    Args:
        tensors: `captioner.*`, and `language_model.*` where that was trained too; others are not read.
        language_model: its folder.
        device: PyTorch's name of it.
        where: the tensors are from, for errors.

    Raises:
        InputError: they are not those of a training.
    """

    def part(prefix: str) -> dict[str, Tensor]:
        inside = {k: v for k, v in tensors.items() if k.startswith(prefix)}
        return {name.removeprefix(prefix): tensor for name, tensor in inside.items()}

    captioner = Captioner.from_tensors(part("captioner.")).to(device)
    lm = load_language_model(language_model).to(dtype_of(captioner))
    if tuned := part("language_model."):
        try:
            lm.load_state_dict(tuned)
        except RuntimeError as error:
            raise InputError(
                f"{where}: expected the weights of {language_model}, found others ({reason_of(error)}); train the model again"
            ) from error
    return captioner, lm.to(device)


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
    *,
    end: End = "eos",
    length_exponent: float = 1.0,
) -> list[str]:
    """Return the caption of each embedding of the image side, with its prompt where it has one.

    Prompts of one length are read together: the language model knows no padding.
    """
    captions = [""] * len(vectors)
    progress = Progress(label, len(vectors))
    for rows, inputs in _inputs(
        captioner, language_model, vectors, prompts, rows_per_batch
    ):
        with torch.inference_mode():
            decoded = beam_search(
                language_model,
                inputs,
                beam,
                max_tokens,
                end_token(tokenizer, end),
                length_exponent,
                _check_every(inputs),
            )
        texts = decode(tokenizer, decoded.ids, decoded.length)
        for row, text in zip(rows.tolist(), texts, strict=True):
            captions[row] = text
        progress.advance(len(rows))
    progress.close()
    return captions


def candidates_of_embeddings(
    captioner: Captioner,
    language_model: CausalLanguageModel,
    tokenizer: CaptionTokenizer,
    vectors: Tensor,
    beam: int,
    max_tokens: int,
    prompts: TokenBatch,
    words: Sequence[str] = (),
    *,
    end: End = "eos",
    length_exponent: float = 1.0,
) -> list[list[Candidate]]:
    """Return for each embedding what a beam search ends with, best first; the first is `caption_embeddings`'s.

    With words the search is held to captions that name them all; there may be none.
    """
    found: list[list[Candidate]] = [[] for _ in vectors]
    last = end_token(tokenizer, end)
    # as they follow another word
    encoded = tokenizer.backend.encode_batch(
        [f" {word}" for word in words], add_special_tokens=False
    )
    wanted = [encoding.ids for encoding in encoded]
    settings = (beam, max_tokens, last, length_exponent)
    for rows, inputs in _inputs(
        captioner,
        language_model,
        vectors,
        prompts,
        1 if words else _IMAGES_PER_BATCH,
    ):
        with torch.inference_mode():
            if words:
                decoded = constrained_candidates(
                    language_model, inputs, wanted, *settings
                )
            else:
                decoded = beam_candidates(language_model, inputs, *settings)
        for row, *of_image in zip(rows.tolist(), *decoded, strict=True):
            ids, length, score = of_image
            texts = decode(tokenizer, ids, length)
            found[row] = [
                each
                for each in distinct_candidates(texts, score.tolist())
                if names_all(each.text, words)
            ]
    return found


def _inputs(
    captioner: Captioner,
    language_model: CausalLanguageModel,
    vectors: Tensor,
    prompts: TokenBatch | None,
    rows_per_batch: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows, and what the language model reads before their captions; prompts of one length together."""
    device, dtype = device_of(language_model), dtype_of(captioner)
    rows_per_batch *= 1 if device.type == "cpu" else _ROWS_OF_GPU
    groups = [torch.arange(len(vectors))]
    if prompts is not None:
        lengths = prompts.length
        groups = [(lengths == n).nonzero().squeeze(1) for n in lengths.unique()]
    for rows in (part for group in groups for part in group.split(rows_per_batch)):
        with torch.inference_mode():
            inputs = captioner.prefix(vectors[rows].to(device, dtype))
            inputs = inputs.to(dtype_of(language_model))
            if prompts is not None:
                ids = prompts.ids[rows, : int(prompts.length[rows[0]])].to(device)
                inputs = torch.cat([inputs, language_model.embed_tokens(ids)], 1)
        yield rows, inputs


def _check_every(inputs: Tensor) -> int:
    return 1 if inputs.device.type == "cpu" else _TOKENS_BETWEEN_LOOKS


def write_captions(
    draft: Draft,
    path: Path,
    captions: Mapping[int, str],
    words: Mapping[int, list[str]] | None = None,
) -> None:
    """Write the caption of every image, with the words of its prompt where it has one, and count them."""
    rows: list[dict[str, object]] = [
        {"image_id": owner, "caption": captions[owner]} for owner in sorted(captions)
    ]
    for row, owner in zip(rows, sorted(captions), strict=True):
        if words is not None:
            row["words"] = words[owner]
    write_json(path, rows)
    draft.counts["captions"] = len(rows)
    draft.counts["distinct_captions"] = len(set(captions.values()))
    draft.counts["empty_captions"] = sum(not text.strip() for text in captions.values())
