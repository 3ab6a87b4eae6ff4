"""The pages of the documentation, and the blocks in them: commands, files, and changes to files.

A block of `sh` is run as it stands; one of `console` is not, and the comment above it says why. A block with a title
is a file of that name, one of `diff` what changes in it: lines to leave out, lines to add, and lines between which
they stand, which the file must hold once. Where all lines are added, they go to its end.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent
LIMIT_S = 900
_FENCE = re.compile(
    r'(?:<!-- not run: (?P<why>[^\n]+) -->\n)?^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"\n]+)")?\n'
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
LANGUAGES = {"sh", "console", "text", "yaml", "diff", "python"}
RECIPES = ("first_ablation", "metric", "dataset", "encoder", "language_model")
"""Pages that change the project, in the order in which `tests/test_chain_recipes.py` follows them."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str
    title: str | None = None
    why: str | None = None
    """Why its commands are not run."""

    @property
    def commands(self):
        """The commands of a block of them, as words."""
        joined = self.text.replace("\\\n", " ")
        found = [shlex.split(line, comments=True) for line in joined.splitlines()]
        return [words for words in found if words]


def pages():
    """Return the pages that people read, the README first."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def blocks(page):
    """Return the blocks of a page in their order."""
    text = page.read_text("utf-8")
    found = [*_FENCE.finditer(text)]
    assert text.count("```") == 2 * len(found), f"{page}: a block without its end"
    return [
        Block(
            page.name,
            one["language"],
            re.sub(rf"^{one['indent']}", "", one["text"], flags=re.MULTILINE),
            one["title"],
            one["why"],
        )
        for one in found
    ]


def inline_commands(page):
    """Return the commands that stand in a page's sentences, as words."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    found = re.findall(r"`((?:tipcap|make|snakemake) [^`]+)`", text)
    return [shlex.split(one) for one in found]


def put(block, folder):
    """Make the file of a block in a folder, or change it."""
    path = folder / block.title
    if block.language != "diff":
        assert not path.exists(), f"{block.page}: {block.title} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
        return
    lines = [(line[:1] or " ", line[1:] + "\n") for line in block.text.splitlines()]
    assert {sign for sign, _ in lines} <= set(" +-"), f"{block.page}: {block.text}"
    old = "".join(line for sign, line in lines if sign != "+")
    new = "".join(line for sign, line in lines if sign != "-")
    text = path.read_text("utf-8")
    if not old:
        path.write_text(f"{text.rstrip()}\n{new}", "utf-8")
        return
    assert text.count(old) == 1, f"{block.page}: {block.title} holds once:\n{old}"
    path.write_text(text.replace(old, new), "utf-8")


def run_command(words, folder, package):
    """Run a command of a page in a folder, with the package that lies in another; return what it prints."""
    done = subprocess.run(
        words,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(package),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    logs = sorted(folder.glob("results/*/logs/**/*.log"), key=os.path.getmtime)
    last = "".join(log.read_text()[-1500:] for log in logs[-2:])
    assert done.returncode == 0, f"{words}\n{done.stderr[-3000:]}\n{last}"
    return done.stdout
