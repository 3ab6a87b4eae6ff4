import gzip
import multiprocessing
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipcap.io.paraphrases import cut_table
from tipcap.io.store import user_cache

TABLE = [
    ("a man", "a guy"),
    ("man", "person"),
    ("on top of", "on"),
    ("man", "guy"),
    ("of the", "the"),
    ("a man", "a person"),
    ("café", "bar"),
    ("1\u00a01/2", "one and a half"),
    ("'s", "is"),
]
WORDS = sorted(
    {word for pair in TABLE for phrase in pair for word in phrase.split(" ")}
)


def write_table(path, entries):
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for number, (phrase, other) in enumerate(entries):
            file.write(f"0.{number}\n{phrase}\n{other}\n")


def entries_of(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        lines = file.read().split("\n")[:-1]
    phrases = [" ".join(line.strip(" ").split(" ")) for line in lines]
    return list(zip(phrases[1::3], phrases[2::3], strict=True))


def expected(entries, lines):
    """Entries of which both phrases occur in lines."""

    def occurs(phrase):
        return any(f" {phrase} " in f" {line} " for line in lines)

    return [entry for entry in entries if all(map(occurs, entry))]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A small table; its arrays go into a cache of their own."""
    folder = tmp_path_factory.mktemp("table")
    write_table(folder / "table.gz", TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder / "table.gz"


def cut(table, lines, folder):
    return entries_of(cut_table(table, lines, folder / "cut.gz"))


def test_entries_that_can_match_stay_in_their_order(table, tmp_path):
    lines = ["a man on top of the hill", "a guy", "a person 's café"]
    assert cut(table, lines, tmp_path) == [
        ("a man", "a guy"),
        ("man", "person"),
        ("on top of", "on"),
        ("man", "guy"),
        ("of the", "the"),
        ("a man", "a person"),
    ]


def test_words_that_do_not_follow_each_other_in_a_line_make_no_phrase(table, tmp_path):
    assert cut(table, ["a guy a", "man on", "top of"], tmp_path) == [("man", "guy")]


def test_a_space_that_meteor_does_not_split_at_belongs_to_a_word(table, tmp_path):
    lines = ["1\u00a01/2 dogs", "one and a half dog"]
    assert cut(table, lines, tmp_path) == [("1\u00a01/2", "one and a half")]


def test_capitals_count_as_meteor_lowers_them(table, tmp_path):
    assert cut(table, ["A MAN", "A Guy", "CAFÉ BAR"], tmp_path) == [
        ("a man", "a guy"),
        ("man", "guy"),
        ("café", "bar"),
    ]


@pytest.mark.parametrize("lines", [[], [""], ["dog", "cat"]])
def test_captions_without_any_phrase_leave_an_empty_table(table, tmp_path, lines):
    assert cut(table, lines, tmp_path) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), max_size=6))
def test_no_entry_that_can_match_is_lost(table, lines):
    found = cut(table, lines, table.parent)
    assert found == [entry for entry in TABLE if entry in found]
    assert set(expected(TABLE, lines)) <= set(found)


def test_tables_of_the_same_size_are_not_mixed_up(table, tmp_path):
    other = tmp_path / "table.gz"
    write_table(other, [(b, a) for a, b in TABLE])
    lines = ["a man", "a guy"]
    assert cut(other, lines, tmp_path) == [
        (b, a) for a, b in cut(table, lines, tmp_path)
    ]


def arrays(cache):
    return {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", ["remove", "shorten", "empty"])
def test_damaged_arrays_are_made_again(table, tmp_path, damage):
    cut_table(table, ["a man"], tmp_path / "cut.gz")
    before = arrays(user_cache())
    victim = next(path for path in before if path.name == "token.npy")
    whole = before[victim]
    victim.unlink()
    if damage != "remove":
        victim.write_bytes(whole[:-9] if damage == "shorten" else b"")
    assert cut(table, ["man guy"], tmp_path) == [("man", "guy")]
    assert arrays(user_cache()) == before


def test_without_a_cache_meteor_reads_its_own_table(table, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    assert cut_table(table, ["a man"], tmp_path / "cut.gz") == table


def _cut_in_a_new_cache(table, cache, out):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        cut_table(table, ["man guy"], out)


@pytest.mark.slow
def test_jobs_that_make_the_arrays_at_once_agree(table, tmp_path):
    context = multiprocessing.get_context("spawn")
    outs = [tmp_path / f"{job}.gz" for job in range(3)]
    jobs = [
        context.Process(
            target=_cut_in_a_new_cache, args=(table, tmp_path / "cache", out)
        )
        for out in outs
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [entries_of(out) for out in outs] == [[("man", "guy")]] * 3
