"""`tipcap doctor --network` against hosts on this machine."""

import json
from pathlib import Path

import pytest
import yaml
from picture_server import picture_server

from tests.io.test_asking import FILE, SHA256, asked_host
from tests.workflow_copy import copy_config
from tipcap import paths
from tipcap.cli import main
from tipcap.commands import doctor, network
from tipcap.commands.network import examine_network
from tipcap.plan import load

COLUMNS = "file,urls,sha256,bytes,licence,note"


@pytest.fixture(scope="module")
def host():
    with asked_host() as server:
        yield server


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The declarations, without downloads; the machine itself is in order, and nobody waits for long."""
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    monkeypatch.setattr(doctor, "examine", lambda *_: iter(()))
    monkeypatch.setattr(network, "ANSWER_SECONDS", 1.5)
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def downloads(rows):
    lines = [
        f"{name},{' | '.join(urls)},{sha},{size},," for name, urls, sha, size in rows
    ]
    Path("config/downloads.csv").write_text("\n".join([COLUMNS, *lines]) + "\n")


def asked(capsys):
    status = 0
    try:
        main(["doctor", "--world", "config/tiny.yaml", "--network"])
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("answers", "state", "words"),
    [
        (["file"], "ok", ["reachable, 5,122 bytes as expected"]),
        (["404", "etag"], "ok", ["/etag: reachable", "checksum", "/404: gone"]),
        (["301/file"], "ok", ["moved to http://127.0.0.1", "downloads.csv"]),
        (["302/file"], "ok", ["moved for now to http://127.0.0.1"]),
        (["etag-other"], "warning", ["its etag is another checksum"]),
        (["429"], "warning", ["too many requests (status 429); ask again later"]),
        (["403"], "missing", ["refused (status 403); add another address"]),
        (["page"], "missing", ["a page instead of the file"]),
        (["longer"], "missing", ["5,123 bytes, expected 5,122"]),
        (["hangs"], "missing", ["no answer within 1.5 s"]),
        ([], "missing", ["no address is known; fetch it by hand"]),
    ],
)
def test_a_file_has_a_line_and_the_status_says_whether_one_is_missing(
    here, host, capsys, answers, state, words
):
    # "file" says the size alone, the others are asked for a checksum too
    sha256 = "" if answers == ["file"] else SHA256
    downloads([("a.zip", [host.url(path) for path in answers], sha256, len(FILE))])
    status, (line,) = asked(capsys)
    assert line.split()[:2] == [state, "a.zip"]
    for text in words:
        assert text in line
    assert status == int(state == "missing")


def test_every_file_is_asked_for_though_one_host_hangs(here, host, capsys, monkeypatch):
    monkeypatch.setattr(network, "ALL_SECONDS", 3.0)
    monkeypatch.setattr(network, "ANSWER_SECONDS", 30.0)
    rows = [("slow.zip", [host.url("hangs")], "", "")]
    rows += [(f"{i}.zip", [host.url("file")], "", "") for i in range(20)]
    downloads(rows)
    status, lines = asked(capsys)
    assert status == 1
    assert [line.split()[0] for line in lines] == ["missing"] + ["ok"] * 20
    assert "no answer within the 3 s that all have together" in lines[0]


def test_a_proxy_that_cannot_be_used_ends_it_before_anything_is_asked(
    here, host, capsys, monkeypatch
):
    downloads([("a.zip", [host.url("file")], "", "")])
    monkeypatch.setenv("ALL_PROXY", "socks4://127.0.0.1:1")
    host.asked.clear()
    assert asked(capsys) == (2, [])
    assert host.asked == []


def collected_world(reader, file):
    """A plan of Table II whose web pictures are collected, without reading the rest of a real world."""
    world = yaml.safe_load(Path("config/tiny.yaml").read_text())
    world["datasets"]["yfcc15m"] = {
        "reader": reader,
        "raw": {"download": [file], "pictures": "collect"},
        "sample_size": 100,
    }
    Path("config/web.yaml").write_text(yaml.safe_dump(world))
    plan = load("config/web.yaml", ["II"])
    ((key, _),) = [(k, s) for k, s in plan.steps.items() if s.spec.step == "download"]
    return plan, Path(paths.artefact(plan.name, "download", key, file))


def test_some_pictures_are_asked_for_where_annotations_name_them(here, host):
    downloads([("web.jsonl", [host.url("file")], "", "")])
    plan, file = collected_world("yfcc", "web.jsonl")
    *_, before = examine_network(plan)
    assert before.name == "pictures of yfcc15m"
    assert before.state == "warning"
    assert "known when web.jsonl has been fetched" in before.found
    file.parent.mkdir(parents=True)
    with picture_server() as server:
        kinds = ["good"] * 2 + ["gone"] * 2 + ["good"] * 2 + ["removed"] * 2
        lines = [
            {"photoid": i, "key": f"{i:032x}", "title": "a dog", "downloadurl": url}
            for i, kind in enumerate(kinds * 3)
            for url in [server.url(kind, i)]
        ]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        with pytest.MonkeyPatch.context() as patch:
            # only the first address of each lies on this machine
            patch.setattr(
                network,
                "_first_records",
                lambda *given, read=network._first_records: [
                    r._replace(urls=tuple(u for u in r.urls if "127.0.0.1" in u))
                    for r in read(*given)
                ],
            )
            first, found = examine_network(plan)
        assert len(server.asked) > network.NUM_PICTURES - 1
    assert first.found.startswith("is there; ")
    assert found.state == "warning"
    port = server.server_port
    assert f"6 of 12 127.0.0.1:{port}: reachable" in found.found
    assert f"3 of 12 127.0.0.1:{port}: gone (status 404)" in found.found
    assert f"3 of 12 127.0.0.1:{port}: removed by its owner" in found.found


def test_annotations_that_cannot_be_read_are_said(here, host):
    downloads([("web.jsonl", [host.url("file")], "", "")])
    plan, file = collected_world("yfcc", "web.jsonl")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x00 no JSON")
    *_, found = examine_network(plan)
    assert (found.state, "cannot be read" in found.found) == ("warning", True)


def test_what_lies_on_this_machine_is_looked_for(here, capsys):
    Path("mine.zip").touch()
    downloads([("a.zip", ["./mine.zip"], "", ""), ("b.zip", ["./gone.zip"], "", "")])
    status, lines = asked(capsys)
    assert status == 1
    first, second = (line for line in lines if "zip" in line)
    assert first.split()[0] == "ok"
    assert "mine.zip: there" in first
    assert second.split()[0] == "missing"
    assert "gone.zip: nothing there" in second
