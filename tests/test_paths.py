from tipcap import paths


def test_an_artefact_lies_under_world_step_and_key():
    path = paths.artefact("mini", "train", "some-key", "model.safetensors")
    assert path == "results/mini/train/some-key/model.safetensors"


def test_checkpoints_lie_outside_the_declared_outputs():
    key = "some-key"
    assert not paths.checkpoints("mini", key).startswith(
        paths.folder("mini", "train", key)
    )


def test_worlds_do_not_share_files():
    for name in (paths.document, paths.tracking_database, paths.tables_folder):
        assert name("mini") != name("paper")


def test_files_of_a_table_carry_its_number():
    assert paths.table_file("mini", "II", "cells.csv").endswith(
        "/tables/table_II.cells.csv"
    )
    assert paths.score_index("mini", "II").endswith("/scores/II.json")
    assert paths.tracked("mini", "II").endswith("/tracked/II.json")
