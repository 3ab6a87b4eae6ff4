import pytest

from tipcap.wording import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 files"), (1, "1 file"), (2000, "2,000 files")]
)
def test_one_thing_is_no_plural(number, said):
    assert counted(number, "file") == said


def test_a_plural_may_be_another_word():
    assert counted(1, "entry is", "entries are") == "1 entry is"
    assert counted(2, "entry is", "entries are") == "2 entries are"
