import os
from pathlib import Path

import pytest
from PIL import Image

from tests.plan_questions import keys_of
from tests.workflow_copy import ROOT, copy_config
from tipcap.cli import main
from tipcap.commands.own_world import OwnFiles, make_world
from tipcap.config.world import load_world
from tipcap.errors import InputError
from tipcap.interface.finding import available
from tipcap.io.own_data import is_held_out
from tipcap.plan import load
from tipcap.plan.captioners import parse_name, plan_captioner, target_with

NUMBER = 60


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a person's files, as the current one."""
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    Path("resources").symlink_to(ROOT / "resources")
    lines = [f"A dog and {n} cats." for n in range(300)]
    Path("captions.txt").write_text("\n".join(lines))
    Path("pictures").mkdir()
    for n in range(NUMBER):
        Image.new("RGB", (2, 2)).save(f"pictures/{n}.png")
    table("pairs.csv", range(40))
    table("web.csv", range(50, NUMBER))
    every = OwnFiles(*map(Path, ("captions.txt", "pictures", "pairs.csv", "web.csv")))
    return every


def table(name, numbers, more=lambda n: ""):
    rows = [f"{n}.png,Picture {n}{more(n)}" for n in numbers]
    head = "image,caption,split" if more(0) else "image,caption"
    Path(name).write_text("\n".join([head, *rows]))


def made(files, name="mine", **options):
    said = list(make_world(name, files, **options))
    return said, load(f"config/{name}.yaml")


def test_all_files_together_allow_all_settings(files):
    said, plan = made(files)
    held_out = {f"{n}.png" for n in range(40) if is_held_out(f"{n}.png")}
    assert [line[11:14].strip() for line in said[:4]] == ["yes"] * 4
    assert list(plan.captioners) == ["s1", "s2", "s3", "s4", "s1-prompt"]
    assert plan.wanted == ("own",)
    assert any(f"on {len(held_out)} pictures" in line for line in said)
    labels = {cell.experiment for cell in plan.cells["own"]}
    assert labels == {"s1", "s2", "s3", "s4", "retrieval", "random-caption"}
    assert any("know drawings" in line for line in said)
    # what a table scores is what `caption` finds
    trained = {plan.steps[k].parents["model"] for k in keys_of(plan, "generate")}
    assert trained == {plan.captioners[f"s{n}"] for n in (1, 2, 3, 4)}


def test_the_models_are_those_that_ship(files):
    _, plan = made(files)
    (encoder,), (model,) = (keys_of(plan, s) for s in ("encoder", "language_model"))
    assert plan.is_shipped(encoder)
    assert plan.is_shipped(model)
    assert plan.downloads() == []
    needed = {k for end in plan.captioners.values() for k in plan.ancestors(end)}
    assert {plan.steps[k].spec.step for k in needed} == {
        *("take", "adopt", "prepare", "encoder", "language_model", "embed"),
        *("estimate", "train", "nouns", "prompt"),
    }


def test_each_file_leads_to_its_own_steps(files):
    _, plan = made(files)
    taken = {plan.steps[key].spec.name for key in keys_of(plan, "take")}
    adopted = {plan.steps[key].spec.dataset for key in keys_of(plan, "adopt")}
    assert taken == {"captions", "pairs", "web"}
    assert adopted == {"pairs", "web", "pictures"}
    by_setting = {
        plan.steps[k].spec.setting: plan.steps[k].parents
        for k in keys_of(plan, "train")
    }
    assert {n for n, parents in by_setting.items() if "gap" in parents} == {1, 2}
    behind = plan.steps[by_setting[3]["images"]].parents["dataset"]
    assert plan.steps[behind].spec.reader == "unpaired"


@pytest.mark.parametrize(
    ("names", "captioners"),
    [
        (("captions",), ["s4", "s4-prompt"]),
        (("captions", "pictures"), ["s3", "s4", "s3-prompt"]),
        (
            ("captions", "pictures", "web_pairs"),
            ["s2", "s3", "s4", "s2-prompt"],
        ),
    ],
)
def test_fewer_files_allow_fewer_settings(files, names, captioners):
    given = OwnFiles(**{name: getattr(files, name) for name in names})
    said, plan = made(given)
    assert list(plan.captioners) == captioners
    assert plan.tables == {}
    assert any("scored: no" in line for line in said)
    for name in captioners:
        parsed = parse_name(f"mine:{name}")
        found = plan_captioner(parsed, Path("config/mine.yaml"))
        assert found.model == plan.captioners[name]
        assert target_with(parsed, Path("config/mine.yaml")) == "captioners"


def test_captions_of_pictures_that_are_there_are_pairs_too(files):
    table("all.csv", range(NUMBER))
    given = OwnFiles(Path("all.csv"), files.pictures)
    _, plan = made(given)
    assert list(plan.captioners) == ["s1", "s3", "s4", "s1-prompt"]
    assert set(load_world(Path("config/mine.yaml")).datasets) >= {"pairs", "pictures"}
    assert "captions" not in plan.world.datasets
    # without its pictures the same file is a corpus
    _, plan = made(OwnFiles(Path("all.csv")), name="corpus")
    assert list(plan.captioners) == ["s4", "s4-prompt"]


def test_pictures_for_scoring_are_not_learnt_from(files):
    tested = {3, 5, 8, 13, 21}
    more = lambda n: ",test" if n in tested else ",train"  # noqa: E731
    table("pairs.csv", range(40), more)
    _, plan = made(files)
    pictures = plan.world.datasets["pictures"]
    assert pictures.reader == "pictures"
    assert set(pictures.leave_out) == {f"{n}.png" for n in tested}
    assert plan.world.base["train"]["num_images"] == NUMBER - len(tested)
    table("pairs.csv", range(40))
    _, plan = made(files, name="drawn")
    assert plan.world.datasets["pictures"].reader == "unpaired"


def test_too_few_for_scores_are_learnt_from(files):
    held_out = [n for n in range(NUMBER) if is_held_out(f"{n}.png")]
    others = [n for n in range(NUMBER) if n not in held_out]
    table("pairs.csv", [*others[:3], *held_out[:4]])
    said, plan = made(files)
    assert said[0].startswith("setting 1: yes (7 pictures")
    (line,) = (line for line in said if line.startswith("scored: no"))
    assert "(4 pictures with captions for it: needs at least 5" in line
    assert "learnt from instead" in line
    assert "4 pictures with captions for it" in Path("config/mine.yaml").read_text()
    assert plan.tables == {}
    assert plan.world.datasets["pairs"].reader == "unscored"
    assert plan.world.datasets["pictures"].reader == "pictures"
    assert plan.world.base["train"]["num_images"] == NUMBER
    # one more, and they are kept
    table("pairs.csv", [*others[:3], *held_out[:5]])
    said, plan = made(files, name="scored")
    assert said[0].startswith("setting 1: no  (3 pictures")
    assert "scored: on 5 pictures with captions, which no training sees" in said
    assert plan.world.datasets["pairs"].reader == "pairs"


def test_a_corpus_of_pairs_has_the_captions_of_all_that_are_learnt_from(files):
    held_out = [n for n in range(NUMBER) if is_held_out(f"{n}.png")]
    others = [n for n in range(NUMBER) if n not in held_out]
    table("all.csv", [*others[:6], *held_out[:3]])
    said, _ = made(OwnFiles(Path("all.csv"), files.pictures))
    assert "setting 4: yes (9 captions)" in said


def test_pictures_that_a_file_keeps_for_scoring_are_never_learnt_from(files):
    table("pairs.csv", range(40), lambda n: ",test" if n < 2 else ",train")
    said, plan = made(files)
    assert said[0].startswith("setting 1: yes (38 pictures")
    (line,) = (line for line in said if line.startswith("scored: no (2 pictures"))
    assert "learnt" not in line
    assert plan.world.datasets["pairs"].reader == "pairs"
    assert set(plan.world.datasets["pictures"].leave_out) == {"0.png", "1.png"}


def test_captions_for_scoring_that_the_corpus_has_are_told(files):
    with Path("captions.txt").open("a") as file:
        file.writelines(f"\npicture {n}" for n in range(40))
    said, _ = made(files)
    held_out = sum(is_held_out(f"{n}.png") for n in range(40))
    assert any(line.startswith(f"note: {held_out} of") for line in said)


def test_one_thing_is_told_in_the_singular(files):
    tested = next(n for n in range(40) if is_held_out(f"{n}.png"))
    with Path("captions.txt").open("a") as file:
        file.write(f"\npicture {tested}")
    table("web.csv", [50])
    said, _ = made(files)
    assert "setting 2: no  (1 pair of the web: needs" in said[1]
    assert any(
        line.startswith(
            "note: 1 of their captions stands in the corpus word for word; take it out"
        )
        for line in said
    )


def test_damaged_pictures_are_left_out_and_told(files):
    whole = Path("pictures/1.png").read_bytes()
    kept = [n for n in range(NUMBER) if not is_held_out(f"{n}.png")]
    tested = next(n for n in range(40) if n not in kept)
    paired, alone = kept[0], next(n for n in kept if 40 <= n < 50)
    web = next(n for n in kept if n >= 50)
    Path(f"pictures/{paired}.png").write_bytes(whole[:-30])  # cut short
    Path(f"pictures/{alone}.png").write_bytes(b"<html>gone</html>")
    Path(f"pictures/{web}.png").write_bytes(b"")
    Path(f"pictures/{tested}.png").write_bytes(b"")
    said, plan = made(files)
    (line,) = (line for line in said if line.startswith("left out: 4 damaged"))
    assert "leave_out" in line
    left_out = {name: set(d.leave_out) for name, d in plan.world.datasets.items()}
    assert left_out["pairs"] == {f"{paired}.png", f"{tested}.png"}
    assert left_out["web"] == {f"{web}.png"}
    # those for scoring are not among the pictures alone, so none of them is named there
    assert left_out["pictures"] == {f"{n}.png" for n in (paired, alone, web)}
    assert plan.world.base["train"]["num_images"] == len(kept) - 3
    assert f"setting 1: yes ({sum(n < 40 for n in kept) - 1} pictures" in said[0]
    # a file that names splits leaves out those for scoring as well, each once
    splits = lambda n: ",test" if n in {tested, 39} else ",train"  # noqa: E731
    table("pairs.csv", range(40), splits)
    _, plan = made(files, name="named")
    names = plan.world.datasets["pictures"].leave_out
    assert set(names) == {f"{n}.png" for n in (paired, alone, web, tested, 39)}
    assert len(set(names)) == len(names)
    for path in Path("pictures").iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        InputError, match=r"none that can be read \(0.png: an empty file"
    ):
        made(files, name="empty")


def test_a_picture_whose_name_is_no_utf_8_is_one_like_others(files):
    name = os.fsdecode(b"pictures/caf\xe9.png")
    Path(name).write_bytes(Path("pictures/1.png").read_bytes())
    before = made(files)[1].world.base["train"]["num_images"]
    Path(name).unlink()
    assert made(files, name="without")[1].world.base["train"]["num_images"] < before


def test_pictures_may_be_addresses(files):
    rows = [f"https://a.example/{n}.jpg,Picture {n}" for n in range(40)]
    Path("web.csv").write_text("\n".join(["url,text", *rows]))
    _, plan = made(OwnFiles(files.captions, web_pairs=files.web_pairs))
    assert list(plan.captioners) == ["s2", "s4", "s2-prompt"]
    (collect,) = keys_of(plan, "collect")
    assert plan.downloads() == [collect]


def test_other_models_are_one_option(files):
    said, plan = made(files, encoder="clip")
    fetched = {plan.steps[key].spec.file for key in keys_of(plan, "download")}
    assert "RN50x4.pt" in fetched
    assert "gpt2_model.safetensors" in fetched
    assert not any("zip" in file for file in fetched)
    assert not any("know drawings" in line for line in said)
    weights = Path("open_clip_model.safetensors")
    weights.write_bytes(b"weights")
    _, plan = made(
        files,
        name="other",
        encoder="ViT-B-16",
        weights=weights,
        language_model="facebook/opt-125m",
    )
    (encoder,) = keys_of(plan, "encoder")
    assert plan.steps[encoder].spec.model == "ViT-B-16"
    assert plan.steps[plan.steps[encoder].parents["weights"]].spec.kind == "weights"
    (fetch,) = keys_of(plan, "fetch")
    assert plan.steps[fetch].spec.model == "facebook/opt-125m"


def test_sizes_follow_the_captions(files):
    made(files)
    train = load_world(Path("config/mine.yaml")).sizes.train
    mini = load_world(Path("config/mini.yaml")).sizes.train
    assert train.epochs > mini.epochs
    assert train.learning_rate == mini.learning_rate
    Path("captions.txt").write_text("\n".join(f"Cat {n}." for n in range(20_000)))
    made(files, name="large")
    train = load_world(Path("config/large.yaml")).sizes.train
    assert (train.epochs, train.batch_size) == (mini.epochs, mini.batch_size)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"captions": "empty.txt"}, "expected at least 8 captions.*found 0"),
        ({"captions": "absent.txt"}, "absent.txt: expected a file"),
        ({"pictures": "absent"}, "--pictures: expected a folder, found none"),
        ({"pictures": "pairs.csv"}, "--pictures: expected a folder, found a file"),
        ({"pictures": "config"}, "config: expected pictures, found none"),
        ({"pictures": None}, "expected --pictures with the folder"),
        ({"pairs": "captions.txt"}, "expected a picture beside each caption"),
        ({"pairs": "strange.csv"}, r"expected its 9 pictures.*none \(100.png\)"),
        ({"pairs": "half.csv"}, r"found 10 missing \(60.png\)"),
        ({"web_pairs": "strange.csv"}, "strange.csv: expected its 9 pictures"),
    ],
)
def test_what_cannot_be_right_is_one_line(files, changed, said):
    Path("empty.txt").touch()
    table("strange.csv", range(100, 109))
    table("half.csv", range(50, 70))
    given = files._replace(**{k: v and Path(v) for k, v in changed.items()})
    with pytest.raises(InputError, match=said) as caught:
        made(given)
    assert "\n" not in str(caught.value)
    assert not Path("config/mine.yaml").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "mini"}, "not overwritten"),
        ({"name": "experiments"}, "not overwritten"),
        ({"name": "My Cats"}, "expected a name"),
        ({"encoder": "ViT-B-16"}, "--encoder ViT-B-16: .*name a file of its weights"),
        ({"encoder": "vit-b-16"}, "with --weights FILE.*did you mean 'ViT-B-16'"),
        ({"encoder": "ViT-XX"}, "found 'ViT-XX'; did you mean 'ViT-"),
        ({"encoder": "vit-l14"}, "did you mean 'ViT-L-14' or 'vit-l-14'"),
        ({"encoder": "1234567"}, "expected mini, clip, rn50x4.*; choose one of these"),
        ({"encoder": "vit", "weights": Path("w.pt")}, "unknown architecture"),
        ({"encoder": "vit-l-14", "weights": Path("w.pt")}, "did you mean 'ViT-L-14'"),
        ({"encoder": "ViT-B-16", "weights": Path("w.bin")}, "--weights: expected"),
        ({"language_model": "a--b"}, "which has no --"),
    ],
)
def test_options_that_cannot_be_right_are_one_line(files, options, said):
    for name in ("w.pt", "w.bin"):
        Path(name).touch()
    before = sorted(Path("config").iterdir())
    with pytest.raises(InputError, match=said):
        made(files, **options)
    assert sorted(Path("config").iterdir()) == before


def test_the_command_says_what_it_wrote(files, capsys):
    main(["new", "mine", "--captions", "captions.txt", "--pictures", "pictures"])
    said = capsys.readouterr().out
    assert "setting 1: no" in said
    assert "written: config/mine.yaml" in said
    with pytest.raises(SystemExit) as caught:
        main(["new", "mine", "--captions", "captions.txt"])
    assert caught.value.code == 2


def test_captioners_that_the_data_do_not_allow_are_not_offered(files):
    made(OwnFiles(files.captions))
    Path("results/mine").mkdir(parents=True)
    assert not [name for name, _ in available() if name.startswith("mine:")]
