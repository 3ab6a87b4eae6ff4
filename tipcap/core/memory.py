"""DeCap's way from image to text embeddings: an average over a memory of texts.

Not of the paper, which compares with it (Sec. II-A). A memory of half a million texts is read in parts.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

_IMAGES = 1024
_TEXTS = 8192
"""Rows of one matrix product: 32 MiB of similarities."""
_IMAGES_OF_GPU = 16_384
"""So that the memory's texts are copied to it once for most test sets."""


def sample_memory(
    num_texts: int, size: int | None, seed: int
) -> Int[Tensor, " chosen"]:
    """Return the rows of a seeded sample of texts in rising order; all where `size` is None or no fewer."""
    if size is None or size >= num_texts:
        return torch.arange(num_texts)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(num_texts, generator=generator)[:size].sort().values


@torch.no_grad()
def project_onto_memory(
    embeddings: Float[Tensor, "image embed_dim"],
    memory: Float[Tensor, "text embed_dim"],
    temperature: float,
    num_texts: int = _TEXTS,
) -> Float[Tensor, "image embed_dim"]:
    """Return for each image the average of the memory's texts, weighted by likeness, with unit norm.

    The weights are the softmax of the cosines divided by the temperature. It is exact, though no more
    than `num_texts` texts are looked at together: the average so far shrinks as larger cosines come.

    Args:
        embeddings: unit-norm image embeddings; the result is on their device.
        memory: unit-norm text embeddings, at least one; may stay on the CPU.
        temperature: 1/100 in DeCap.
        num_texts: texts of one part.
    """
    num_images = _IMAGES_OF_GPU if embeddings.is_cuda else _IMAGES
    projected = [
        _average(images, memory, temperature, num_texts)
        for images in embeddings.split(num_images)
    ]
    return F.normalize(torch.cat(projected), dim=1)


def _average(
    images: Tensor, memory: Tensor, temperature: float, num_texts: int
) -> Tensor:
    """Return the weighted averages of some images, up to a positive factor."""
    average = torch.zeros_like(images)
    largest = images.new_full((len(images), 1), -torch.inf)
    for part in memory.split(num_texts):
        texts = part.to(images.device)
        logits = images @ texts.T / temperature
        before, largest = largest, torch.maximum(largest, logits.amax(1, keepdim=True))
        average = average * (before - largest).exp() + (logits - largest).exp() @ texts
    return average
