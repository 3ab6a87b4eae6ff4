import pytest

from tipcap.commands import cost_files
from tipcap.commands.cost_files import hardware_here, read_rates, read_sizes
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


def test_a_figure_is_measured_here_elsewhere_or_estimated(tmp_path, monkeypatch):
    monkeypatch.setattr(cost_files, "hardware_here", lambda: "AMD EPYC 9B14")
    path = tmp_path / "step_costs.csv"
    path.write_text(
        HEADER
        + 'train,,mini,x,1,cpu,"AMD EPYC, one thread",x,measured\n'
        + "train,,paper,x,1,gpu,NVIDIA H200,x,measured: 200 steps\n"
        + "tune,,paper,x,1,gpu,NVIDIA H200,x,estimated: at 40 %\n"
    )
    assert [rate.known for rate in read_rates(path)] == [
        "measured here",
        "measured elsewhere: 200 steps",
        "estimated: at 40 %",
    ]


def test_this_machines_hardware_is_read_where_linux_keeps_it(tmp_path):
    assert hardware_here(tmp_path) == ""
    (tmp_path / "cpuinfo").write_text("model name\t: AMD EPYC\nmodel\t: 1\n" * 2)
    gpu = tmp_path / "driver" / "nvidia" / "gpus" / "0000:01:00.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 17\n")
    hardware_here.cache_clear()
    assert hardware_here(tmp_path) == "AMD EPYC\nNVIDIA H200"
