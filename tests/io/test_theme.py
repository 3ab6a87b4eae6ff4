from tipcap.io.theme import looks, style


def test_a_name_looks_the_same_in_every_figure():
    alone = looks(["S2"])["S2"]
    assert looks(["S1", "other", "TIPCap (S2), RN50x4"])["TIPCap (S2), RN50x4"] == alone
    assert looks(["CLIP ViT-L/14"])["CLIP ViT-L/14"] == looks(["ViT-L/14"])["ViT-L/14"]


def test_names_of_one_figure_differ_in_colour_and_marker():
    for names in (["S1", "S2", "S3", "S4"], ["(A)", "S1", "(B)", "(C)"], ["a", "b"]):
        found = looks(names).values()
        assert len({look.colour for look in found}) == len(names)
        assert len({look.marker for look in found}) == len(names)


def test_a_word_inside_another_is_not_a_name():
    assert looks(["SS1M", "S1"])["SS1M"] != looks(["S1"])["S1"]
    assert looks(["S1"])["S1"] == looks(["SS1M", "S1"])["S1"]


def test_captions_with_dollar_signs_are_text():
    assert style()["text.parse_math"] is False
