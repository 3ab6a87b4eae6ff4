import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tipcap.mini.drawings import COLOURS, DRAWINGS
from tipcap.mini.scenes import DOMAINS, PICTURE_SIZE, draw, sample_scene

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
