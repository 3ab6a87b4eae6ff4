from hypothesis import given
from hypothesis import strategies as st

from tipcap.core.image_choice import choose_images

IDS = st.lists(st.integers(0, 10**12), max_size=30, unique=True)


@given(IDS, st.integers(1, 40), st.randoms(use_true_random=False))
def test_as_many_as_asked_whatever_their_order(ids, number, random):
    chosen = choose_images(ids, number)
    assert len(chosen) == min(number, len(ids))
    assert chosen <= set(ids)
    assert chosen == choose_images(random.sample(ids, len(ids)), number)


@given(IDS, st.integers(1, 30), st.integers(0, 10))
def test_a_larger_choice_holds_a_smaller_one(ids, number, more):
    assert choose_images(ids, number) <= choose_images(ids, number + more)


@given(IDS, st.integers(1, 30))
def test_what_is_chosen_of_all_is_chosen_of_each_part(ids, number):
    """So a domain's captions that SPICE parses for all domains together are parsed once."""
    part = [image for image in ids if image % 2]
    assert choose_images(ids, number) & set(part) <= choose_images(part, number)


def test_it_is_the_same_on_every_machine_and_not_in_the_order_of_the_ids():
    assert sorted(choose_images(range(1000), 3)) == [313, 389, 742]
