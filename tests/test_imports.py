import gc

import pytest

import tipcap
from tipcap.imports import without_collecting


def test_garbage_is_collected_again_afterwards_even_after_an_error():
    with without_collecting():
        with without_collecting():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), without_collecting():
        raise ImportError
    assert gc.isenabled()


def test_what_stays_for_good_is_not_looked_through_again():
    before = gc.get_freeze_count()
    try:
        with without_collecting(for_good=True):
            kept = [[] for _ in range(1000)]
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()


def test_tab_offers_what_people_are_to_use():
    offered = {name for name in dir(tipcap) if not name.startswith("_")}
    assert offered == {"Captioner", "InputError", "fit", "tables"}
