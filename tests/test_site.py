"""The site of the documentation: built without a warning and without a network, with every link and anchor checked."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import typer.main

from tests.pages import DOCS, ROOT
from tipcap.cli import app
from tipcap.config.world import World
from tipcap.steps.train import TrainSpec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


class _Assets(HTMLParser):
    """What a page loads by itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        name = {"script": "src", "img": "src", "iframe": "src", "link": "href"}.get(tag)
        if name and given.get(name) and given.get("rel") != "canonical":
            self.found.append(given[name])


def test_no_page_asks_another_host_for_anything(site):
    pages = [*site.rglob("*.html")]
    assert len(pages) >= len([*DOCS.glob("*.md")])
    for page in pages:
        assets = _Assets()
        assets.feed(page.read_text("utf-8"))
        assert [one for one in assets.found if re.match(r"(https?:)?//", one)] == []
    for sheet in site.rglob("*.css"):
        text = sheet.read_text("utf-8")
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text), sheet


def text_of(page):
    return re.sub(r"<[^>]+>", "", page.read_text("utf-8"))


def test_commands_are_those_that_the_program_has(site):
    page = text_of(site / "commands.html")
    for name, command in typer.main.get_command(app).commands.items():
        assert f"Usage: tipcap {name}" in page
        for parameter in command.params:
            assert parameter.opts[0].strip("-").split("_")[0] in page


def test_configuration_has_every_field(site):
    page = text_of(site / "configuration.html")
    for model in (World, TrainSpec):
        for field in model.model_fields:
            assert re.search(rf"^\s*{field}\s*$", page, re.MULTILINE), field
    assert "Vectors before the caption." in page


def test_the_python_interface_is_that_of_the_docstrings(site):
    page = text_of(site / "interface.html")
    for words in ("Return the caption of a picture", "setting 3: image embeddings"):
        assert words in page
    assert "caption_embeddings" in page
