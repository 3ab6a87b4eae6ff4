from pathlib import Path

import pytest

from tipcap.config.downloads import in_range, load_downloads, local_path
from tipcap.errors import InputError

CONFIG = Path(__file__).parents[2] / "config"
HEADER = "file,urls,sha256,bytes,licence,note\n"


def test_downloads_of_the_paper_are_listed_once_with_address():
    listed = load_downloads(CONFIG / "downloads.csv")
    assert listed["train2014.zip"].bytes == 13510573713
    assert len(listed["train2014.zip"].urls) == 2
    assert all(spec.urls or spec.by_hand for spec in listed.values())
    hashes = [spec.sha256 for spec in listed.values() if spec.sha256]
    assert all(len(digest) == 64 for digest in hashes)
    assert len(set(hashes)) == len(hashes)


def test_what_is_not_known_of_a_download_is_none(tmp_path):
    path = tmp_path / "downloads.csv"
    path.write_text(HEADER + "a.zip,http://x/a.zip | http://y/a.zip,,,free,\n")
    spec = load_downloads(path)["a.zip"]
    assert (spec.sha256, spec.bytes) == (None, None)
    assert spec.urls == ("http://x/a.zip", "http://y/a.zip")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,url\na,b\n", "expected the columns"),
        (
            HEADER + "a,http://u,,,,\na,http://v,,,,\n",
            "line 3: expected each file once, found 'a'",
        ),
        (HEADER + "a,http://u,,many,,\n", "bytes"),
        (HEADER + "a,http://u,,~many,,\n", "bytes"),
        (HEADER + "a,http://u,,,free\n", "expected 6 values"),
        (HEADER + "a,http://u,,,free,a,b\n", "expected 6 values"),
        (HEADER + "a{0..1},http://u,,,,\n", "the range of 'a{0..1}' in each address"),
        (HEADER + "a,http://u{0..1},,,,\n", "the range of 'a' in each address"),
        (HEADER + f"a{{0..1}},http://u{{0..1}},{'0' * 64},,,\n", "and no sha256"),
        (HEADER + "a,pip:b==1,,,,\n", "a sha256, found 'pip:b==1' and None"),
        (HEADER + f"a,pip:b,{'0' * 64},,,\n", "expected pip:NAME==VERSION"),
        (HEADER + f"a,pip:b==1 -r c,{'0' * 64},,,\n", "expected pip:NAME==VERSION"),
        (HEADER + "a,http://u,,-5,,\n", "bytes: expected"),
        (HEADER + "a,http://u,,0,,\n", "bytes: expected"),
        (HEADER + f"a,http://u,{'0' * 63},,,\n", "a sha256 of 64 hexadecimal digits"),
        (HEADER + "a,ftp://u,,,,\n", "addresses of http or https"),
        (HEADER + "a,u/a,,,,\n", "addresses of http or https"),
        (HEADER + "a,host.org/a.zip,,,,\n", "./ before a path"),
        (HEADER + "a,file://host/a.zip,,,,\n", "addresses of http or https"),
        (HEADER + "a,file:,,,,\n", "addresses of http or https"),
        (HEADER + "a,http://u/a http://v/a,,,,\n", "parted by a bar"),
        (HEADER + "../a,http://u,,,,\n", "line 2: file: expected"),
        (HEADER + "..,http://u,,,,\n", "line 2: file: expected"),
        (HEADER + ",http://u,,,,\n", "line 2: file: expected"),
        (HEADER + ",,,,,\n", "line 2: file: expected"),
        (HEADER + "a{3..0},http://u{3..0},,,,\n", "line 2: a{3..0}: expected at most"),
        (HEADER + "a{0A..0F},http://u{0A..0F},,,,\n", "in small letters"),
        (HEADER + "a{0..fffffff},http://u{0..fffffff},,,,\n", "at most one range"),
        (HEADER + "a{0..1}{0..1},http://u,,,,\n", "at most one range"),
    ],
)
def test_a_wrong_list_of_downloads_is_one_clear_line(tmp_path, text, said):
    path = tmp_path / "downloads.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"downloads\.csv") as caught:
        load_downloads(path)
    assert said in str(caught.value)


def test_what_lies_on_this_machine_is_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "my own").mkdir()
    (tmp_path / "my own" / "a.zip").touch()
    urls = "my own/a.zip | ./b.zip | /c d.zip | ~/e.zip | file:///f%20g.zip"
    Path("downloads.csv").write_text(HEADER + f"a.zip,{urls} | FILE:h.zip,,,mine,\n")
    found = load_downloads(Path("downloads.csv"))["a.zip"].urls
    expected = ["my own/a.zip", "b.zip", "/c d.zip", "/home/me/e.zip", "/f g.zip"]
    assert [*map(local_path, found)] == [*map(Path, [*expected, "h.zip"])]
    assert local_path("file://localhost/a") == Path("/a")
    for other in ("http://x/./a", "pip:a==1", "file://host/a"):
        assert local_path(other) is None


def test_a_list_may_come_from_a_spreadsheet(tmp_path):
    path = tmp_path / "downloads.csv"
    header = HEADER.replace(",", ", ").replace("\n", "\r\n")
    row = f' a.zip ,"http://x/a,b.zip | By hand", {"AB" * 32} , 70 , free ,"a ""word"""'
    path.write_bytes(f"\ufeff{header}\r\n{row}\r\n".encode())
    found = load_downloads(path)["a.zip"]
    assert (found.urls, found.by_hand) == (("http://x/a,b.zip",), True)
    assert (found.sha256, found.bytes) == ("ab" * 32, 70)
    assert (found.licence, found.note) == ("free", 'a "word"')


def test_a_missing_list_of_downloads_is_named(tmp_path):
    with pytest.raises(InputError, match="expected a list of files"):
        load_downloads(tmp_path / "downloads.csv")


def test_a_range_stands_for_as_many_files(tmp_path):
    path = tmp_path / "downloads.csv"
    row = "m_{0fe..101}.gz,http://x/m_{0fe..101}.gz | http://y/{0fe..101},,~70,free,"
    path.write_text(HEADER + row + "\n")
    listed = load_downloads(path)
    assert list(listed) == ["m_0fe.gz", "m_0ff.gz", "m_100.gz", "m_101.gz"]
    assert listed["m_100.gz"].urls == ("http://x/m_100.gz", "http://y/100")
    assert (listed["m_100.gz"].bytes, listed["m_100.gz"].about_bytes) == (None, 70)
    assert list(in_range("a.zip")) == ["a.zip"]


def test_a_file_may_have_to_be_fetched_by_hand(tmp_path):
    path = tmp_path / "downloads.csv"
    path.write_text(HEADER + 'a,by hand,,,free,"ask, and wait"\nb,http://x,,,free,\n')
    listed = load_downloads(path)
    assert (listed["a"].by_hand, listed["a"].urls) == (True, ())
    assert (listed["a"].licence, listed["a"].note) == ("free", "ask, and wait")
    assert not listed["b"].by_hand


def test_what_is_known_of_the_papers_files():
    listed = load_downloads(CONFIG / "downloads.csv")
    assert all(one.licence for one in listed.values())
    shards = [one for name, one in listed.items() if name.startswith("yfcc_")]
    assert len(shards) == 64
    commit = "140df6636cdb47a525d12afd49e53642e60dbca3/metadata/metadata_03f.jsonl.gz"
    assert shards[-1].urls[0].endswith(commit)
    assert listed["ss1m_descriptions"].by_hand
    assert listed["RN50x4.pt"].bytes == 421854225
    assert listed["ViT-L-14.pt"].bytes == 932768134
    assert all(len(listed[f"{n}.pt"].urls) == 2 for n in ("RN50x4", "ViT-L-14"))
