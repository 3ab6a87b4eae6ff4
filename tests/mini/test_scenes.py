import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipcap.mini.scenes import (
    BACKGROUNDS,
    COLOURS,
    DOMAINS,
    DRAWINGS,
    KINDS,
    PICTURE_SIZE,
    Scene,
    Thing,
    draw,
    sample_scene,
)

SEEDS = st.integers(0, 2**32 - 1)
DOMAIN_NAMES = st.sampled_from(sorted(DOMAINS))


def random(seed):
    return np.random.default_rng(seed)


def kinds_of(domain, number=300):
    rng = random(0)
    scenes = [sample_scene(DOMAINS[domain], rng) for _ in range(number)]
    return {thing.kind for scene in scenes for thing in scene.things}


@given(domain=DOMAIN_NAMES, seed=SEEDS)
def test_a_scene_and_its_picture_follow_from_the_seed(domain, seed):
    first, second = random(seed), random(seed)
    scene = sample_scene(DOMAINS[domain], first)
    assert scene == sample_scene(DOMAINS[domain], second)
    np.testing.assert_array_equal(draw(scene, first), draw(scene, second))


@given(domain=DOMAIN_NAMES, seed=SEEDS)
def test_scenes_are_made_of_what_their_domain_allows(domain, seed):
    rules, scene = DOMAINS[domain], sample_scene(DOMAINS[domain], random(seed))
    first, *others = scene.things
    assert scene.background in rules.backgrounds
    assert first.kind in rules.first
    assert {thing.kind for thing in others} <= set(rules.others)
    assert {thing.colour for thing in scene.things} <= set(COLOURS)
    assert 1 <= len(scene.things) <= 3


@given(domain=DOMAIN_NAMES, seed=SEEDS)
def test_things_lie_in_the_picture_and_apart(domain, seed):
    things = sample_scene(DOMAINS[domain], random(seed)).things
    for thing in things:
        assert 0 < thing.x < 1
        assert 0 < thing.y < 1
    for i, one in enumerate(things):
        for other in things[:i]:
            distance = np.hypot(one.x - other.x, one.y - other.y)
            assert distance > max(one.radius, other.radius)


def test_a_picture_is_rgb_of_the_stated_size():
    rng = random(0)
    picture = draw(sample_scene(DOMAINS["web"], rng), rng)
    assert picture.shape == (PICTURE_SIZE, PICTURE_SIZE, 3)
    assert picture.dtype == np.uint8


def test_backgrounds_differ_in_colour():
    """Drawn with the same light, no two have the same colours above and below."""
    halves = [
        draw(Scene(name, ()), random(0)).reshape(2, -1, 3).mean(1).ravel()
        for name in BACKGROUNDS
    ]
    for one, other in itertools.combinations(halves, 2):
        assert np.linalg.norm(one - other) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_in_its_colour(kind):
    """Within the thing's place, the picture differs from the empty one, and red things are redder than blue ones."""

    def picture(*things):
        return draw(Scene("grass", things), random(0)).astype(float)

    def patch(colour):
        thing = Thing(kind, colour, "large", 0.5, 0.55, 0.21)
        return picture(thing)[22:48, 19:45]

    empty = picture()[22:48, 19:45]
    assert np.abs(patch("red") - empty).mean() > 5
    red, blue = (patch(c)[..., 0] - patch(c)[..., 2] for c in ("red", "blue"))
    assert red.mean() > blue.mean() + 5


def test_out_of_domain_pictures_show_only_novel_kinds():
    """Those that the corpora of the mini world never show."""
    novel = kinds_of("out")
    assert novel == {"umbrella", "key", "mushroom", "rocket"}
    for domain in ("coco", "in", "flickr30k"):
        assert not kinds_of(domain) & novel
    near = kinds_of("near")
    assert near > novel
    assert near - novel <= kinds_of("coco")


def test_the_web_shows_everything():
    assert kinds_of("web", 2000) == set(DRAWINGS)
