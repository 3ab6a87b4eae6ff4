import numpy as np
import pytest

from tipcap.errors import InputError
from tipcap.interface.pictures import opened


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (b"no picture", "expected a whole one, found 10 bytes"),
        (3, "found int"),
        (np.zeros((4, 4, 7), np.uint8), "found an array of shape"),
        (np.zeros((4, 4, 3)), "found ndarray"),
        ("none.png", "none.png: expected a picture, found no such file"),
    ],
)
def test_what_is_no_picture_is_refused(picture, said):
    with pytest.raises(InputError, match=said):
        opened(picture)
