from tipcap import paths
from tipcap.specs import SPECS, DownloadSpec, EmbedSpec


def test_an_artefact_lies_under_world_step_and_key():
    path = paths.artefact("mini", "train", "some-key", "model.safetensors")
    assert path == "results/mini/train/some-key/model.safetensors"


def test_every_step_has_a_main_file():
    steps = {spec.step for spec in SPECS} - {"download"}
    assert steps == set(paths.MAIN_FILE)


def test_a_download_keeps_the_name_of_its_file():
    spec = DownloadSpec(file="RN50x4.pt")
    assert paths.main_file("paper", spec, "key").endswith("/key/RN50x4.pt")


def test_main_file_of_other_steps_follows_from_the_step():
    spec = EmbedSpec(modality="text", split="train")
    path = paths.main_file("mini", spec, "key")
    assert path == "results/mini/embed/key/embeddings.safetensors"


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
