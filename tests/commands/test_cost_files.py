import pytest

from tipcap.commands.cost_files import read_rates, read_sizes
from tipcap.errors import InputError

HEADER = "step,case,models,unit,seconds_per_unit,device,hardware,date,source\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train,,mini,x,fast,cpu,x,x,measured\n", "expected a number, found 'fast'"),
        ("train,,mini,x,1,cpu,x,x,I believe\n", "measured` or `estimated: `"),
    ],
)
def test_a_wrong_line_says_so(tmp_path, text, expected):
    path = tmp_path / "step_costs.csv"
    path.write_text(HEADER + text)
    with pytest.raises(InputError, match=r"line 2: ") as caught:
        read_rates(path)
    assert expected in str(caught.value)


def test_sizes_are_found_by_dataset_and_split(tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_text("dataset,split,images,captions,source\ncoco,test,5000,25010,x\n")
    (place, size) = next(iter(read_sizes(path).items()))
    assert place == ("coco", "test")
    assert (size.images, size.captions) == (5000, 25010)


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_text("dataset,images\n")
    with pytest.raises(InputError, match="expected the columns dataset,split,images"):
        read_sizes(path)
