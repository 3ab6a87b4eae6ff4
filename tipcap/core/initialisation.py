"""Where a training starts from, where that depends on the embeddings it will read.

PyTorch's usual weights suit inputs of mean zero and variance one in each entry. CLIP embeddings have entries
of 1 / sqrt(embed_dim) and a large mean in common, so that of the prefix next to nothing differs from picture to
picture, and a training first spends its steps on making it so. No size stands in the rule below.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tipcap.core.captioner import Captioner, ProjectorLayer

SAMPLE_SIZE = 2000
"""How many embeddings are enough to see means and variances."""
_LEAST_RATIO = 1e-6


@torch.no_grad()
def fit_to_embeddings(
    captioner: Captioner,
    mapped: Float[Tensor, "sample embed_dim"],
    texts: Float[Tensor, "sample embed_dim"],
) -> None:
    """Rescale the captioner's drawn weights to the embeddings that it will read.

    Over the sample, in this order: the reverse mapping's hidden units get mean 0 and standard deviation 1 and
    its outputs the texts' mean and total variance; each entry of the projector's linear map gets mean 0 and
    standard deviation 1, as its constants have; and so does what the first layer's attention adds to the
    constants. Attention is the only way from a picture to the prefix, and with drawn weights it carries a
    hundredth of the variance. Without layers the linear map stays as drawn: it has no constants to be on a par
    with.

    Args:
        captioner: as drawn; it keeps its precision.
        mapped: embeddings of the image side, unit norm or near it.
        texts: text embeddings, not necessarily of the same captions.

    Differs: the paper says nothing of initialisation; ClipCap's start is PyTorch's.
    """
    dtype = captioner.projector.constants.dtype
    captioner.double()
    reverse, projector = captioner.reverse_mapping, captioner.projector
    mapped, texts = mapped.double(), texts.double()
    if reverse is not None:
        _standardise(reverse.widen, mapped)
        outputs = reverse(mapped)
        ratio = _total_variance(texts) / _total_variance(outputs).clamp(min=1e-30)
        reverse.narrow.weight.mul_(ratio.sqrt())
        reverse.narrow.bias.add_(texts.mean(0) - reverse(mapped).mean(0))
    if projector.layers:
        reconstructed = captioner.reconstruct(mapped)
        _standardise(projector.linear, reconstructed)
        layer = projector.layers[0]
        assert isinstance(layer, ProjectorLayer)
        states = projector.states(reconstructed)
        gathered = layer.gathered(states, projector.prefix_length)
        _standardise(layer.attention_out, gathered.flatten(0, 1))
    captioner.to(dtype)


def _standardise(layer: nn.Linear, inputs: Tensor) -> None:
    """Give each output of a linear map mean 0 and standard deviation 1 over some inputs."""
    deviation = (inputs @ layer.weight.T).std(0, correction=0)
    # inputs that do not vary say nothing of the scale
    varies = deviation > _LEAST_RATIO * inputs.square().mean().sqrt()
    scale = torch.where(varies, 1 / deviation, 1.0)
    layer.weight.mul_(scale[:, None])
    layer.bias.copy_(-layer.weight @ inputs.mean(0))


def _total_variance(rows: Tensor) -> Tensor:
    return rows.var(0, correction=0).sum()
