"""A captioner that learnt a handful of captions by heart, and pictures whose embeddings mean them."""

import numpy as np
import torch
from language_models import FAMILIES, write_language_model
from PIL import Image

from tipcap.interface.captioner import Captioner
from tipcap.interface.fitting import fit
from tipcap.io.encoder import load_encoder

CAPTIONS = (
    "a red box on the beach",
    "two blue boats at sea",
    "a green kite in the sky",
    "a dog beside a tree",
)


def pictures():
    """Pictures that differ from each other, each of another size."""
    found = []
    for number in range(len(CAPTIONS)):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 4, 3), np.uint8)
        size = (64 + 9 * number, 64)
        found.append(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))
    return found


def embeddings_of(encoder_folder):
    encoder = load_encoder(encoder_folder)
    return encoder.embed_images(torch.stack([*map(encoder.prepare, pictures())]))


def make(folder, encoder, **more):
    """Fit a captioner to the pictures' own embeddings, which stand in for those of the captions."""
    language_model = folder / "lm"
    write_language_model(
        language_model,
        FAMILIES["gpt2"],
        [*CAPTIONS, "Reference: Prompt: An image contains. Prediction:"],
        320,
    )
    vectors = embeddings_of(encoder)
    settings = {
        "epochs": 80,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "covariance": "univariate",
        # of drawn weights, it says nothing that a prefix could lead to
        "language_model_trainable": True,
    }
    noise = 1e-3 * torch.randn(
        8, vectors.shape[1], generator=torch.Generator().manual_seed(0)
    )
    described = vectors[[0, 1, 2, 3] * 2]
    shifted = torch.nn.functional.normalize(described + noise, dim=1)
    return fit(
        vectors,
        CAPTIONS,
        setting=1,
        pairs=(shifted, described),
        language_model=language_model,
        encoder=encoder,
        max_caption_tokens=16,
        device="cpu",
        **{**settings, **more},
    )


def prompted(captioner):
    """The same captioner, said to have been trained with prompts."""
    about = captioner.about.model_copy(
        update={"prompts": "nouns", "padding": "bare", "name": "toy"}
    )
    return Captioner(captioner.parts._replace(about=about), "cpu")
