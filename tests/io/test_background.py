import threading
from functools import partial

import pytest

from tipcap.io.background import Background

PATIENCE = 60.0
"""Of a test that fails; nothing else waits for it."""


def test_without_a_thread_to_spare_work_is_done_at_once():
    done = []
    with Background(False) as background:
        for number in range(3):
            background.do(lambda: done.append(threading.current_thread()))
            assert done == [threading.current_thread()] * (number + 1)


def test_work_goes_on_beside_the_block():
    is_here = threading.Event()
    done = []

    def work():
        done.append(is_here.wait(PATIENCE))

    with Background(True) as background:
        background.do(work)
        is_here.set()
    assert done == [True]


def test_pieces_are_done_one_after_the_other():
    steps, at_work = [], threading.Lock()

    def work(number):
        assert at_work.acquire(blocking=False)
        steps.append(number)
        at_work.release()

    with Background(True) as background:
        for number in range(9):
            background.do(partial(work, number))
    assert steps == list(range(9))


class RefusedError(Exception):
    pass


def refuse():
    raise RefusedError


@pytest.mark.parametrize("is_beside", [False, True])
def test_what_a_piece_raises_is_raised_by_the_next_or_at_the_end(is_beside):
    begun = []

    def work(*pieces):
        with Background(is_beside) as background:
            for piece in pieces:
                background.do(piece)

    with pytest.raises(RefusedError):
        work(refuse, lambda: begun.append("next"))
    assert begun == []
    with pytest.raises(RefusedError):
        work(refuse)


def test_an_error_of_the_block_waits_for_the_piece_and_is_the_one_that_is_seen():
    is_over, done = threading.Event(), []

    def work():
        is_over.wait(PATIENCE)
        done.append("kept")
        raise RefusedError

    def end(background):
        background.do(work)
        is_over.set()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Background(True) as background:
        end(background)
    assert done == ["kept"]


def test_who_interrupts_does_not_wait_for_the_piece():
    is_over = threading.Event()
    ended = threading.Event()

    def work():
        is_over.wait(PATIENCE)
        ended.set()

    def interrupt(background):
        background.do(work)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Background(True) as background:
        interrupt(background)
    assert not ended.is_set()
    is_over.set()
    assert ended.wait(PATIENCE)
