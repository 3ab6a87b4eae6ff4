from pathlib import Path

import pytest

from tipcap.config.downloads import load_downloads
from tipcap.errors import InputError

CONFIG = Path(__file__).parents[2] / "config"
HEADER = "file,urls,sha256,bytes,licence,note\n"


def test_downloads_of_the_paper_are_listed_once_with_address():
    listed = load_downloads(CONFIG / "downloads.csv")
    assert listed["train2014.zip"].bytes == 13510573713
    assert len(listed["train2014.zip"].urls) == 2
    assert all(spec.urls for spec in listed.values())
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
        (HEADER + "a,u,,,,\na,v,,,,\n", "line 3: expected each file once, found 'a'"),
        (HEADER + "a,u,,many,,\n", "bytes"),
        (HEADER + "a,pip:b==1,,,,\n", "a sha256, found 'pip:b==1' and None"),
        (HEADER + f"a,pip:b,{'0' * 64},,,\n", "expected pip:NAME==VERSION"),
        (HEADER + f"a,pip:b==1 -r c,{'0' * 64},,,\n", "expected pip:NAME==VERSION"),
    ],
)
def test_a_wrong_list_of_downloads_is_one_clear_line(tmp_path, text, said):
    path = tmp_path / "downloads.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"downloads\.csv") as caught:
        load_downloads(path)
    assert said in str(caught.value)


def test_a_missing_list_of_downloads_is_named(tmp_path):
    with pytest.raises(InputError, match="expected a list of files"):
        load_downloads(tmp_path / "downloads.csv")
