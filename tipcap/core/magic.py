"""MAGIC: contrastive search that also asks CLIP which of the likeliest tokens fits the image.

Not of the paper, which compares with it [24] (Tables II and III). The language model knows the corpus's captions
(`core.tuning`); nothing is trained on images.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tipcap.core.types import OpenLanguageModel, Similarity, Written
from tipcap.errors import InputError

_CLIP_TEMPERATURE = 0.01  # the inverse of CLIP's trained logit scale


@dataclass(frozen=True)
class MagicSettings:
    """The authors' values for MS-COCO."""

    candidates: int = 45
    """Likeliest tokens that compete at each position (k)."""
    repetition_weight: float = 0.1
    """Of the likeness to earlier positions (alpha); the probability has the rest of 1."""
    image_weight: float = 2.0
    """Of the images' say (beta)."""
    max_tokens: int = 15
    """The end-of-text token included; the authors' 16 count their start token."""


@torch.no_grad()
def magic_search(
    language_model: OpenLanguageModel,
    similarity: Similarity,
    num_images: int,
    settings: MagicSettings,
    device: torch.device | str = "cpu",
) -> Written:
    """Return a caption for each image.

    At each position the token with the largest (1 - alpha) p - alpha r + beta f among the likeliest is taken: p its
    probability, r the largest cosine of its final hidden state and those before, f the softmax over the
    candidates of CLIP's similarity (times 100) between the image and the text with that token. Ties go to the
    likelier token.

    Args:
        language_model: its end-of-text token starts a caption, too.
        similarity: of the images 0 to `num_images` - 1 and texts.
        num_images: how many captions to write.
        settings: of the search.
        device: of the language model.

    Raises:
        InputError: more positions than the language model has.

    Differs: the authors add a start token of their own. A caption has one token at least before its end.
    """
    if settings.max_tokens + 1 > language_model.max_positions:
        raise InputError(
            f"magic: expected at most {language_model.max_positions - 1} tokens (max_tokens), found {settings.max_tokens}; lower it"
        )
    end_of_text, alpha = language_model.end_of_text, settings.repetition_weight
    ids = torch.full((num_images, settings.max_tokens), end_of_text, device=device)
    length = torch.zeros_like(ids[:, 0])
    image = torch.arange(num_images, device=device)
    first = torch.full((1, 1), end_of_text, device=device)
    states, cache = language_model.read(language_model.embed_tokens(first), None)
    # all captions start alike
    cache = cache.select(torch.zeros_like(image))
    logits = language_model.head(states[:, -1]).index_fill(1, first[0], -torch.inf)
    logits = logits.expand(num_images, -1)
    seen = F.normalize(states, dim=2).expand(num_images, -1, -1)

    for position in range(settings.max_tokens):
        probability, token = _likeliest(logits, settings.candidates)
        each = torch.arange(len(image), device=device)
        each = each.repeat_interleave(token.shape[1])
        states, grown = language_model.read(
            language_model.embed_tokens(token.view(-1, 1)), cache.select(each)
        )
        unit = F.normalize(states, dim=2).unflatten(0, token.shape)[:, :, 0]
        score = (1 - alpha) * probability - alpha * (unit @ seen.mT).amax(2)
        if settings.image_weight:
            before = ids[image, None, :position].expand(-1, token.shape[1], -1)
            cosine = similarity(image, torch.cat([before, token[:, :, None]], 2))
            fit = (cosine / _CLIP_TEMPERATURE).softmax(1)
            score = score + settings.image_weight * fit
        choice = score.argmax(1)
        ids[image, position] = taken = token.gather(1, choice[:, None])[:, 0]
        length[image] = position + 1
        goes_on = (taken != end_of_text).nonzero()[:, 0]
        if not len(goes_on):
            break
        image, choice = image[goes_on], choice[goes_on]
        row = goes_on * token.shape[1] + choice
        cache = grown.select(row)
        logits = language_model.head(states[row, -1])
        seen = torch.cat([seen[goes_on], unit[goes_on, choice][:, None]], 1)
    return Written(ids[:, : position + 1], length)


def _likeliest(logits: Tensor, number: int) -> tuple[Tensor, Tensor]:
    found = logits.float().softmax(1).topk(min(number, logits.shape[1]))
    return found.values, found.indices
