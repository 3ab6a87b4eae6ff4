"""The start of a training from the embeddings that it will read, at the paper's sizes where they matter."""

import pytest
import torch
import torch.nn.functional as F
from test_captioner import TinyLanguageModel
from test_training import SETTINGS, arrays_of, settings_of, weights_equal

from tipcap.core.captioner import Captioner
from tipcap.core.initialisation import fit_to_embeddings
from tipcap.core.training import train
from tipcap.core.training_model import build_model, fit_to_arrays

COSINE = 0.3
"""Of an embedding with another, as CLIP's."""


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def embeddings(num_rows, dim, seed=0):
    """Unit vectors with a large mean in common, the rest of it of unequal variances."""
    common = F.normalize(torch.randn(dim, generator=seeded(99)), dim=0)
    own = torch.randn(num_rows, dim, generator=seeded(seed))
    own = F.normalize(own * torch.arange(1, dim + 1) ** -0.5, dim=1)
    return F.normalize(COSINE**0.5 * common + (1 - COSINE) ** 0.5 * own, dim=1)


def share_of_pictures(prefix):
    """The variance between pictures at each entry, of the variance over all entries and pictures."""
    prefix = prefix.double()
    between = prefix.var(0, correction=0).mean()
    return (between / prefix.var(correction=0)).item()


def captioner_of(dim=640, lm_dim=768, seed=0, **sizes):
    return Captioner(dim, lm_dim, **sizes, generator=seeded(seed)).requires_grad_(False)


@pytest.mark.parametrize("reverse_mapping", [True, False])
def test_a_third_of_the_prefix_depends_on_the_picture_at_the_papers_sizes(
    reverse_mapping,
):
    """CLIP RN50x4's width to GPT-2 small's; the embeddings measured are others than those fitted to."""
    captioner = captioner_of(reverse_mapping=reverse_mapping)
    unseen = embeddings(48, 640, seed=7)
    assert share_of_pictures(captioner.prefix(unseen)) < 0.05
    fit_to_embeddings(captioner, embeddings(100, 640), embeddings(100, 640, 1))
    assert share_of_pictures(captioner.prefix(unseen)) >= 0.3


@pytest.mark.parametrize(
    "sizes",
    [{"num_layers": 1}, {"num_layers": 6}, {"prefix_length": 1}, {"prefix_length": 20}],
)
def test_it_does_so_at_the_sizes_of_the_ablations(sizes):
    captioner = captioner_of(48, 64, **sizes)
    fit_to_embeddings(captioner, embeddings(300, 48), embeddings(300, 48, 1))
    assert share_of_pictures(captioner.prefix(embeddings(300, 48, 7))) >= 0.3


def test_scale_and_mean_of_the_embeddings_make_no_difference():
    here, there = captioner_of(12, 16), captioner_of(12, 16)
    images, texts = embeddings(50, 12), embeddings(50, 12, 1)
    fit_to_embeddings(here, images, texts)
    fit_to_embeddings(there, 30 * images + 5, texts)
    torch.testing.assert_close(
        here.prefix(images), there.prefix(30 * images + 5), atol=1e-4, rtol=1e-4
    )


def test_reconstructions_start_with_the_texts_mean_and_variance():
    captioner = captioner_of(12, 16)
    images, texts = embeddings(400, 12), 2 * embeddings(400, 12, 1) - 0.3
    fit_to_embeddings(captioner, images, texts)
    found = captioner.reconstruct(images)
    torch.testing.assert_close(found.mean(0), texts.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(0).sum(), texts.var(0).sum())


def test_first_states_are_on_a_par_with_the_constants():
    captioner = captioner_of(12, 16, reverse_mapping=False)
    constants = captioner.projector.constants.clone()
    images = embeddings(400, 12)
    fit_to_embeddings(captioner, images, images)
    vectors = captioner.projector.states(images)[:, :4]
    torch.testing.assert_close(vectors.mean(0), torch.zeros(4, 16), atol=1e-5, rtol=0)
    deviation = vectors.std(0, correction=0)
    torch.testing.assert_close(deviation, torch.ones(4, 16), atol=1e-5, rtol=0)
    assert torch.equal(captioner.projector.constants, constants)


def test_a_linear_map_without_layers_stays_as_drawn():
    captioner = captioner_of(12, 16, num_layers=0)
    drawn = captioner.projector.linear.weight.clone()
    fit_to_embeddings(captioner, embeddings(50, 12), embeddings(50, 12, 1))
    assert torch.equal(captioner.projector.linear.weight, drawn)


@pytest.mark.parametrize("rows", [embeddings(1, 12), embeddings(1, 12).expand(9, -1)])
def test_embeddings_that_do_not_vary_leave_finite_weights(rows):
    captioner = captioner_of(12, 16)
    fit_to_embeddings(captioner, rows, rows)
    assert captioner.prefix(rows).isfinite().all()


def test_the_start_follows_the_seed_and_leaves_other_draws_alone():
    starts = []
    for seed in (0, 0, 1):
        settings = settings_of("estimated", setting=1, seed=seed)
        arrays = arrays_of()
        model = build_model(settings, 6, 16, arrays.gaussian)
        fit_to_arrays(model, settings, arrays)
        starts.append(model.captioner.projector.linear.weight)
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    plain = train(SETTINGS["as drawn"], arrays_of(), TinyLanguageModel())
    fitted = train(SETTINGS["setting 1"], arrays_of(), TinyLanguageModel())
    assert not weights_equal(plain, fitted)
    for name, stream in plain.generators.items():
        assert torch.equal(stream, fitted.generators[name])


def test_own_images_are_fitted_to_where_they_are_read():
    settings = settings_of("paired", reverse_mapping=False)
    images = embeddings(20, 6, seed=3) + 1
    arrays = arrays_of(images=images, image_row=torch.arange(20))
    model = build_model(settings, 6, 16)
    fit_to_arrays(model, settings, arrays)
    with torch.no_grad():
        vectors = model.captioner.projector.states(images)[:, :4]
    torch.testing.assert_close(vectors.mean(0), torch.zeros(4, 16), atol=1e-4, rtol=0)
