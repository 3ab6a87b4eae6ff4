"""Which of the words that a person gave drove a caption's change: each left out in turn."""

from typing import NamedTuple

from torch import Tensor

from tipcap.core.refining import Caption
from tipcap.interface.captioner import Captioner


class Influence(NamedTuple):
    """What one word of a prompt did."""

    word: str
    without: str
    """The caption that the captioner gives with all other words; without any, the rough one."""
    gain: float
    """By how much the word raises the log-likelihood of the refined caption, in nats."""


def influences(
    captioner: Captioner,
    image: Tensor,
    caption: Caption,
    *,
    beam: int | None = None,
    must_name: bool = True,
) -> list[Influence]:
    """Return what each word did to a refined caption.

    Words that say the same share what they did: leaving one of them out changes little.

    Args:
        captioner: that wrote it.
        image: embedding of its picture, (embed_dim,).
        caption: refined; of one without words nothing is returned.
        beam: as of `Captioner.caption`, when it was written.
        must_name: likewise.
    """
    if caption.rough is None:
        return []
    rough, words = caption.rough, caption.words
    whole = captioner.log_likelihood(image, caption.text, rough, words)
    found = []
    for word in words:
        others = [other for other in words if other != word]
        (without,) = captioner.caption_embeddings(
            image[None], others, rough=[rough], beam=beam, must_name=must_name
        )
        less = captioner.log_likelihood(image, caption.text, rough, others)
        found.append(Influence(word, without.text, whole - less))
    return found
