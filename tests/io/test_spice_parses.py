import pytest
from test_spice import CANDIDATES, REFERENCES, plain_text

from tipcap.errors import InputError
from tipcap.io.spice import Spice
from tipcap.io.spice_parses import add_parses, key_of, read_parses, without_handles


def test_equal_parses_ship_as_equal_bytes(tools, tmp_path):
    first, second = tmp_path / "first.xz", tmp_path / "second.xz"
    for order, file in ((1, first), (-1, second)):
        folder = tmp_path / file.stem
        spice = Spice(tools._replace(parses=folder))
        for caption in CANDIDATES[::order]:
            spice.score([caption], [["a dog"]])
        add_parses(folder, file)
    assert first.read_bytes() == second.read_bytes()
    texts = {plain_text(found) for found in read_parses(first)}
    assert texts == {*CANDIDATES, "a dog"}


def test_parses_that_ship_already_stay_when_others_are_added(tools, tmp_path):
    file, apart = tmp_path / "shipped.xz", tmp_path / "apart.xz"
    for number, caption in enumerate(CANDIDATES):
        spice = Spice(tools._replace(parses=tmp_path / str(number)))
        spice.score([caption], [["a dog"]])
        add_parses(tmp_path / str(number), file)
    Spice(tools).score(CANDIDATES, [["a dog"]] * len(CANDIDATES))
    assert add_parses(tools.parses, apart) == len(read_parses(file))
    assert file.read_bytes() == apart.read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"x", lambda b: None])
def test_damaged_shipped_parses_are_named(tools, tmp_path, damage):
    Spice(tools).score(CANDIDATES, REFERENCES)
    file = tmp_path / "shipped.xz"
    add_parses(tools.parses, file)
    content = damage(file.read_bytes())
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(InputError, match="restore the file or remove it"):
        read_parses(file)


def test_a_damaged_store_is_named(tools):
    tools.parses.mkdir()
    (tools.parses / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"data\.mdb: expected parses.*remove"):
        Spice(tools).score(CANDIDATES, REFERENCES)


def test_a_parse_with_other_bytes_is_named():
    word = key_of("dog")
    with pytest.raises(InputError, match="expected a parse of words"):
        without_handles(b"\x00\x10\x01" + word + b"\xf9\x01")
    repeated = b"\x00\x10\x02" + word + b"\xf9\x03"
    assert without_handles(repeated) == b"\x00\x10\x02" + word * 2
