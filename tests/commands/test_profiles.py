from tipcap.commands.profiles import (
    named_resources,
    read_profile,
    settings_of_rules,
)


def test_the_newest_file_of_a_profile_counts(tmp_path):
    for name, jobs in (
        ("config.yaml", 1),
        ("config.v8+.yaml", 2),
        ("config.v99+.yaml", 3),
    ):
        (tmp_path / name).write_text(f"jobs: {jobs}\n")
    assert read_profile(str(tmp_path)) == {"jobs": 2}


def test_resources_are_named_by_whose_they_are():
    settings = {
        "default-resources": ["slurm_partition=a", "runtime=3"],
        "set-resources": {"train": {"slurm_partition": "b"}, "embed": {"gpu": 1}},
    }
    found = named_resources(settings, "slurm_partition")
    assert found == {"all jobs": "a", "train": "b"}


def test_rules_that_have_settings_are_named_in_all_forms():
    settings = {
        "set-resources": {"train": {"gpu": 1}, "embed": None},
        "set-threads": ["prompt=2"],
        "groups": "nouns=together generate=apart",
        "group-components": ["together=5"],
    }
    rules = {"train", "embed", "prompt", "nouns", "generate"}
    assert settings_of_rules(settings) == rules
    assert settings_of_rules({"set-resources": ["train:gpu=1"]}) == {"train"}
