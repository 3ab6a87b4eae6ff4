import json
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from tests.picture_server import picture_of, picture_server
from tipcap.errors import InputError
from tipcap.io import collect as module
from tipcap.io import web_pairs
from tipcap.io.annotations import ImageRecord, read_annotations
from tipcap.io.collect import Collection, collect_pictures
from tipcap.step import Request
from tipcap.steps.collect import CollectSpec, collect
from tipcap.steps.prepare import PrepareSpec, prepare


@pytest.fixture
def server():
    with picture_server() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "_PAUSES_S", (0.0, 0.0))


def candidates(server, kinds):
    """One record per kind; several kinds of one picture are several addresses."""
    return [
        ImageRecord(
            number,
            "pictures.zip",
            f"pictures/{number}.jpg",
            "train",
            None,
            ["a caption"],
            tuple(server.url(kind, number) for kind in kind_list.split(" ")),
        )
        for number, kind_list in enumerate(kinds, start=1)
    ]


def ids(collected):
    return [record.image_id for record in collected.records]


@pytest.fixture
def collection(tmp_path):
    found = Collection(tmp_path / "fetched")
    yield found
    found.close()


def test_pictures_arrive_as_they_were_published(server, collection):
    records = candidates(server, ["good", "moved", "busy", "gone good", "broken good"])
    found = collect_pictures(records, 5, collection, "pictures")
    assert ids(found) == [1, 2, 3, 4, 5]
    assert found.gone == {}
    assert [collection.content(i) for i in range(1, 6)] == [
        picture_of(i) for i in range(1, 6)
    ]


def test_gone_pictures_are_replaced_by_the_next_candidates(server, collection):
    kinds = ["good", "gone", "removed", "text", "cut", "good", "good", "good"]
    found = collect_pictures(candidates(server, kinds), 3, collection, "pictures")
    assert ids(found) == [1, 6, 7]
    assert found.gone == {
        2: "status 404",
        3: "removed by its owner",
        4: "no whole picture",
        5: "no whole picture",
    }
    assert server.url("good", 8).rpartition("/good")[2] not in server.asked


def test_nothing_is_asked_for_twice(server, collection):
    records = candidates(server, ["good", "gone", "good"])
    collect_pictures(records, 2, collection, "pictures")
    before = server.asked.copy()
    assert ids(collect_pictures(records, 2, collection, "pictures")) == [1, 3]
    assert server.asked == before


def test_a_picture_that_cannot_be_reached_holds_its_place(server, collection):
    records = candidates(server, ["good", "down", "good", "good"])
    server.is_down = True
    with pytest.raises(InputError, match="found 2 and 1 that could not be reached"):
        collect_pictures(records, 3, collection, "pictures")
    server.is_down = False
    assert ids(collect_pictures(records, 3, collection, "pictures")) == [1, 2, 3]


def test_a_picture_that_several_calls_could_not_reach_is_gone(server, collection):
    records = candidates(server, ["good", "broken", "good", "good"])
    for _ in range(3):
        with pytest.raises(InputError, match="could not be reached"):
            collect_pictures(records, 3, collection, "pictures")
    found = collect_pictures(records, 3, collection, "pictures")
    assert ids(found) == [1, 3, 4]
    assert "RemoteProtocolError" in found.gone[2]


def test_a_network_that_is_down_stops_at_once_and_blames_no_picture(server, collection):
    records = candidates(server, ["down"] * 300)
    server.is_down = True
    for _ in range(4):
        with pytest.raises(InputError, match="run again, what was fetched is kept"):
            collect_pictures(records, 300, collection, "pictures")
    assert collection.gone(records) == {}
    assert len(server.asked) < 100


def test_an_address_whose_host_is_down_soon_costs_no_pause(
    server, collection, monkeypatch
):
    monkeypatch.setattr(module, "_PAUSES_S", (1.0, 4.0))
    pauses = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    records = [
        record._replace(urls=("http://127.0.0.1:1/x.jpg", *record.urls))
        for record in candidates(server, ["good"] * 100)
    ]
    assert len(collect_pictures(records, 100, collection, "x").records) == 100
    # those on their way when the last of the first twenty failed may pause once more
    assert len(pauses) < 20 + 2 * module.CONNECTIONS


def test_too_few_pictures_say_why(server, collection):
    with pytest.raises(
        InputError,
        match=r"expected 2 pictures, found 1 and 2 that are gone: status 404 \(2\)",
    ):
        collect_pictures(
            candidates(server, ["good", "gone", "gone"]), 2, collection, "pictures"
        )


def test_what_was_gone_is_asked_for_again_where_the_addresses_are_others(
    server, collection
):
    with pytest.raises(InputError, match="1 that are gone"):
        collect_pictures(candidates(server, ["gone"]), 1, collection, "pictures")
    records = candidates(server, ["gone good"])
    assert ids(collect_pictures(records, 1, collection, "pictures")) == [1]


def test_a_few_may_be_missing_where_a_world_says_so(server, collection):
    records = candidates(server, ["good", "gone", "good", "gone"])
    with pytest.raises(InputError, match=r"4 pictures, or 1 fewer, .*images 2, 4;"):
        collect_pictures(records, 4, collection, "pictures", 1)
    found = collect_pictures(records, 4, collection, "pictures", 2)
    assert ids(found) == [1, 3]
    assert found.gone == {2: "status 404", 4: "status 404"}


@pytest.mark.parametrize("url", ["", "file:///etc/hostname", "ftp://127.0.0.1/x", "x"])
def test_only_web_addresses_are_asked(collection, url):
    record = ImageRecord(1, "p.zip", "p/1.jpg", "train", None, ["x"], (url,))
    with pytest.raises(InputError, match="that are gone"):
        collect_pictures([record], 1, collection, "pictures")


def test_a_damaged_collection_is_one_line(tmp_path, server, collection):
    collect_pictures(candidates(server, ["good"] * 3), 3, collection, "x")
    collection.close()
    file = tmp_path / "fetched"
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    file.write_bytes(content)
    with pytest.raises(InputError, match="fetched: expected pictures fetched earlier"):
        Collection(file).fetched()


def test_another_file_is_left_alone(tmp_path):
    (tmp_path / "fetched").write_bytes(b"something else entirely" * 100)
    with pytest.raises(InputError, match="remove the file"):
        Collection(tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes().startswith(b"something")


# The steps: from a list of addresses to a prepared dataset.


def yfcc_file(path, server, num, dead=()):
    lines = [
        {
            "photoid": number,
            "key": f"{number:032x}",
            "title": f"photo {number}",
            "downloadurl": server.url("gone" if number in dead else "good", number),
        }
        for number in range(num)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def no_commons(monkeypatch, server):
    monkeypatch.setattr("tipcap.io.web_pairs._COMMONS", server.url("gone", 0)[:-6])


def run_collect(raw, out, **fields):
    spec = CollectSpec(dataset="web", reader="yfcc", seed=3, **fields)
    collect(Request("collect", out.name, {}, spec.model_dump(), out), spec, [raw])
    return out


def run_prepare(raw, out, pictures, **fields):
    spec = PrepareSpec(dataset="web", reader="yfcc", seed=3, **fields)
    request = Request("prepare", out.name, {}, spec.model_dump(), out)
    prepare(request, spec, [raw], pictures)
    return read_annotations(out / "annotations.json")


def test_a_sample_is_collected_and_prepared(tmp_path, server, no_commons):
    dead = set(range(0, 40, 3))
    raw = yfcc_file(tmp_path / "raw.jsonl", server, 40, dead)
    out = run_collect(raw, tmp_path / "c", sample_size=12)
    archive = out / "pictures" / "yfcc15m-pictures.zip"
    records = run_prepare(raw, tmp_path / "p", [archive], sample_size=12)
    assert len(records) == 12
    assert not {record.image_id for record in records} & dead
    with zipfile.ZipFile(archive) as pictures:
        assert {r.member for r in records} == set(pictures.namelist())
        for record in records:
            assert pictures.read(record.member) == picture_of(record.image_id)
    counts = json.loads((out / "meta.json").read_text())["counts"]
    assert counts["images"] == 12
    assert counts["gone"] > 0
    assert not list(tmp_path.glob(".c.fetched"))


def test_the_sample_follows_from_the_seed_not_from_the_order_of_the_file(
    tmp_path, server, no_commons
):
    raw = yfcc_file(tmp_path / "raw.jsonl", server, 30)
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("".join(reversed(raw.read_text().splitlines(True))))
    first, second = (
        run_collect(file, tmp_path / name, sample_size=8)
        / "pictures/yfcc15m-pictures.zip"
        for file, name in ((raw, "a"), (shuffled, "b"))
    )
    assert first.read_bytes() == second.read_bytes()


def test_a_picture_without_an_address_is_one_clear_line(tmp_path):
    raw = tmp_path / "raw.json"
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "domain": "in-domain"}],
        "annotations": [{"image_id": 1, "caption": "a cat"}],
    }
    raw.write_text(json.dumps(document))
    spec = CollectSpec(dataset="nocaps", reader="nocaps")
    request = Request("collect", "k", {}, spec.model_dump(), tmp_path / "k")
    with pytest.raises(InputError, match="expected the address of its picture"):
        collect(request, spec, [raw])


def test_nocaps_needs_every_picture(tmp_path, server):
    raw = tmp_path / "raw.json"
    document = {
        "images": [
            {
                "id": number,
                "file_name": f"{number}.jpg",
                "domain": "in-domain",
                "coco_url": server.url(kind, number),
            }
            for number, kind in enumerate(["good", "good", "gone"])
        ],
        "annotations": [{"image_id": i, "caption": "a cat"} for i in range(3)],
    }
    raw.write_text(json.dumps(document))
    spec = CollectSpec(dataset="nocaps", reader="nocaps")
    request = Request("collect", "k", {}, spec.model_dump(), tmp_path / "k")
    with pytest.raises(InputError, match="expected 3 pictures, found 2"):
        collect(request, spec, [raw])
    assert not (tmp_path / "k").exists()
    spec = spec.model_copy(update={"missing": 1})
    collect(request, spec, [raw])
    counts = json.loads((tmp_path / "k" / "meta.json").read_text())["counts"]
    assert (counts["images"], counts["missing"]) == (2, 1)
    assert counts["missing_images"] == {"2": "status 404"}


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(tmp_path, server, no_commons):
    """The command itself, killed three times; no picture that was kept is fetched anew."""
    num = 200
    raw = yfcc_file(tmp_path / "raw.jsonl", server, 2 * num)
    spec = {"dataset": "web", "reader": "yfcc", "sample_size": num, "seed": 3}
    words = ["step", "collect", "--spec", json.dumps(spec), "--key", "k"]
    words += ["--out", str(tmp_path / "k"), "--raw", str(raw), "--parents", "{}"]
    program = (
        "from tipcap.cli import main; from tipcap.io import web_pairs; "
        f"web_pairs._COMMONS = {web_pairs._COMMONS!r}; main({words!r})"
    )
    command = [sys.executable, "-c", program]

    def num_fetched():
        return sum(n for path, n in server.asked.copy().items() if "/good/" in path)

    for moment in (1, 50, 150):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while num_fetched() < moment and process.poll() is None:
                time.sleep(0.005)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    # an archive that was published before the kill is whole, as below
    subprocess.run(command, check=True)
    on_their_way = 2 * module.CONNECTIONS
    assert num_fetched() <= num + 3 * on_their_way
    again = run_collect(raw, tmp_path / "undisturbed", sample_size=num)
    name = "pictures/yfcc15m-pictures.zip"
    assert (tmp_path / "k" / name).read_bytes() == (again / name).read_bytes()
