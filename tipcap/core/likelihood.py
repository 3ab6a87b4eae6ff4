"""How likely the true captions are under a captioner: what tells methods apart with less noise than metrics of words.

Not in the paper. CIDEr of a few thousand pictures moves by points from seed to seed; the loss of the references does not.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.captioner import Captioner, check_context
from tipcap.core.types import LanguageModel, TokenBatch, device_of, dtype_of

_TOKENS_PER_BATCH = 1024
"""With GPT-2's 50,257 tokens 206 MB of logits, of which there are two copies at a time."""


class ImageLoss(NamedTuple):
    """What the captions of one image cost."""

    loss: float
    """Sum over the tokens of its captions, in nats."""
    tokens: int


def caption_losses(
    captioner: Captioner,
    language_model: LanguageModel,
    vectors: Float[Tensor, "image embed_dim"],
    tokens: TokenBatch,
    image_row: Int[Tensor, " caption"],
    prompt: Int[Tensor, " prompt_token"] | None = None,
) -> Float[Tensor, " caption"]:
    """Return the negative log-likelihood of each caption given its image, in nats, summed over its tokens.

    Teacher forced, as in training (Paper: Eq. 5, 16): the prefix stands before the caption, and its end of text
    counts. Captions of like length are read together; the order changes last digits only.

    Args:
        captioner: trained, on the language model's device.
        language_model: what it was trained with.
        vectors: of the images, from the encoder that the captioner reads.
        tokens: the captions, each with its end of text where it fits.
        image_row: of each caption, the row of its image in `vectors`.
        prompt: token ids read before every caption and not predicted.

    Returns:
        In double precision, on the CPU.

    Raises:
        InputError: more positions than the language model has.
    """
    device, dtype = device_of(language_model), dtype_of(captioner)  # type: ignore[arg-type]
    wide = torch.promote_types(dtype, torch.float32)
    losses = torch.zeros(len(tokens.length), dtype=torch.float64)
    for rows in batches(tokens.length):
        length = tokens.length[rows]
        ids = tokens.ids[rows, : int(length.max())].to(device)
        with torch.inference_mode():
            prefix = captioner.prefix(vectors[image_row[rows]].to(device, dtype))
            if prompt is not None and len(prompt):
                embedded = language_model.embed_tokens(prompt[None].to(device))
                prefix = torch.cat([prefix, embedded.expand(len(rows), -1, -1)], 1)
            check_context(language_model, prefix.shape[1], ids.shape[1])
            first = prefix.shape[1] - 1  # the state here predicts the first token
            # the last token is not read
            read = torch.cat([prefix, language_model.embed_tokens(ids[:, :-1])], 1)
            row, column = (torch.arange(ids.shape[1]) < length[:, None]).nonzero().T
            wanted = (row * read.shape[1] + first + column).to(device)
            logits = language_model.head(language_model.hidden([read], wanted))
            targets = ids[row.to(device), column.to(device)]
            loss = F.cross_entropy(logits.to(wide), targets, reduction="none")
        losses.index_add_(0, rows[row], loss.cpu().double())
    return losses


def batches(length: Int[Tensor, " caption"]) -> Iterator[Int[Tensor, " row"]]:
    """Yield the rows of captions of like length, longest first, about as many tokens each time."""
    order = length.argsort(descending=True, stable=True)
    start = 0
    while start < len(order):
        longest = max(1, int(length[order[start]]))
        end = start + max(1, _TOKENS_PER_BATCH // longest)
        yield order[start:end]
        start = end


def by_image(
    losses: Float[Tensor, " caption"],
    length: Int[Tensor, " caption"],
    image_row: Int[Tensor, " caption"],
    num_images: int,
) -> list[ImageLoss]:
    """Return sums over the captions of each image, by its row."""
    loss = torch.zeros(num_images, dtype=losses.dtype).index_add_(0, image_row, losses)
    tokens = torch.zeros(num_images, dtype=length.dtype)
    tokens.index_add_(0, image_row, length)
    return list(map(ImageLoss, loss.tolist(), tokens.tolist()))
