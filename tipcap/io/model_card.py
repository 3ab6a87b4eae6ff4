"""The card of an exported captioner: Markdown with the fields that hubs read at its head."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tipcap.core.metrics import METRICS
from tipcap.io.exported import FORMAT, About

_HEAD = {
    "library_name": "tipcap",
    "pipeline_tag": "image-to-text",
    "tags": ["image-captioning", "tipcap"],
}


def card_of(about: About) -> str:
    """Return the model card of a captioner."""
    return "\n".join(_lines(about)) + "\n"


def why_no_cells(about: About) -> str:
    """Return why a captioner came without cells of tables."""
    if about.tables is None:
        return "none came with it"
    if not about.tables:
        return "no table of its world had been made when it was exported"
    if len(about.tables) == 1:
        return f"table {about.tables[0]}, all that its world had made when it was exported, does not show it"
    return f"none of the tables that its world had made when it was exported ({', '.join(about.tables)}) shows it"


def _lines(about: About) -> Iterator[str]:
    prompted = about.prompts is not None
    yield "---"
    yield yaml.safe_dump(_HEAD, sort_keys=False).rstrip()
    yield "---"
    yield f"# {about.name}"
    yield "An image captioner of *Text Data-Centric Image Captioning with Interactive Prompts* (TIPCap), written by"
    yield f"`tipcap export`, tipcap {about.tipcap}, folder format {FORMAT}. It was trained on texts"
    yield (
        "and takes words that a caption misses (stage 2)."
        if prompted
        else "and takes no prompts (stage 1 alone)."
    )
    yield ""
    yield "```"
    yield f"tipcap caption --model FOLDER picture.png{' --prompt boat' if prompted else ''}"
    yield "```"
    yield "```python"
    given = ', prompt=["boat"]' if prompted else ""
    yield f'tipcap.Captioner.load("FOLDER").caption("picture.png"{given})'
    yield "```"
    yield ""
    yield "## What it gave"
    yield from _cells(about)
    yield ""
    yield "## Decisions"
    yield f"Precision of captioner and language model: {about.precision}; of the corpus's embeddings here: float16."
    yield f"Captions: beam {about.beam}, at most {about.max_tokens} tokens, end `{about.end}`, length exponent {about.length_exponent}."
    for step, one in about.steps.items():
        yield ""
        yield f"`{step}`: `{one['key']}`"
        yield ""
        yield from _table(("option", "value"), _flat(one["spec"]))


def _cells(about: About) -> Iterator[str]:
    if not about.cells:
        yield f"No numbers: {why_no_cells(about)}."
        return
    rows = (
        (
            cell["table"],
            cell["row"],
            cell["group"],
            METRICS[cell["metric"]].title
            if cell["metric"] in METRICS
            else cell["metric"],
            f"{cell['value']:.{cell['digits']}f}",
            "" if cell["paper"] is None else f"{cell['paper']:.{cell['digits']}f}",
            cell["runs"],
        )
        for cell in about.cells
    )
    head = ("table", "row", "columns", "metric", "value", "the paper's", "runs")
    yield from _table(head, rows)


def _flat(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in spec.items():
        yield name, f"`{value}`"


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", r"\|") for cell in row) + " |"
