"""The README's tables of scores, written from the kept tables: `python -m tests.reference` puts them there."""

import csv
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "results" / "reference" / "mini"
README = ROOT / "README.md"
_SETTINGS = ("S1", "S2", "S3", "S4")
_ENCODERS = {"RN50x4": "CLIP RN50x4", "ViT-L/14": "CLIP ViT-L/14"}
_CORPORA = ("MS-COCO", "Flickr30k")
# kept label: label in the README
_METHODS = {
    "TIPCap (S1)": "TIPCap (S1), RN50x4",
    "TIPCap (S2)": "TIPCap (S2), RN50x4",
    "TIPCap (S3)": "TIPCap (S3), RN50x4",
    "TIPCap (S4), RN50x4, GPT-2": "TIPCap (S4), RN50x4",
    "TIPCap (S4), ViT-L/14, GPT-2": "TIPCap (S4), ViT-L/14",
    "ClipCap (run)": "ClipCap (run), RN50x4",
    "DeCap (run)": "DeCap (run), RN50x4",
    "CapDec (run)": "CapDec (run), RN50x4",
    "CLOSE-style noise (run)": "CLOSE-style noise (run), RN50x4",
    "nearest caption (run)": "nearest caption (run), RN50x4",
}
_BOUNDS = {
    "trained on true pairs": "trained on true pairs",
    **{f"TIPCap ({setting})": f"TIPCap ({setting})" for setting in _SETTINGS},
    "no mapping": "trained with no mapping",
    "nearest caption": "nearest caption of the corpus",
    "random caption": "random caption of the corpus",
}
_ABLATION = {
    "(A) TIPCap, N(µ⃗,Σ)": "(A) N(μ, Σ)",
    "(B) TIPCap, N(µ,σ²)": "(B) N(μ, σ²)",
    "(C) TIPCap, N(µ⃗,Σ), w/o reverse mapping module": "(C) no reverse mapping",
}
_PROMPTS = {
    "before stage 2": "before stage 2",
    "after stage 2, without prompts": "after, without prompts",
    "after stage 2, simulated prompts": "after, simulated prompts",
}


class _Table:
    """Cells of one kept table as text."""

    def __init__(self, name):
        with (KEPT / f"table_{name}.cells.csv").open(newline="") as lines:
            self._cells = {
                (cell["row"], cell["group"], cell["metric"]): cell
                for cell in csv.DictReader(lines)
            }

    def cell(self, row, group, metric="cider", with_paper=False):
        """Value, spread where there is one, the paper's value in brackets where asked for."""
        cell = self._cells[row, group, metric]
        if not cell["value"]:
            return "N/A"
        text = f"{float(cell['value']):.1f}"
        if cell["std"]:
            text += f" ± {float(cell['std']):.1f}"
        if with_paper and cell["paper"]:
            text += f" ({float(cell['paper']):.1f})"
        return text


def _markdown(header, rows):
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (header, *rows)]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])


def _in_domain():
    table = _Table("II")
    columns = [(c, m) for c in _CORPORA for m in ("bleu_4", "meteor", "cider")]
    header = ["method", "COCO B-4", "M", "C", "Flickr30K B-4", "M", "C"]
    return _markdown(
        header,
        [
            [shown, *(table.cell(row, c, m, m == "cider") for c, m in columns)]
            for row, shown in _METHODS.items()
        ],
    )


def _bounds():
    table = _Table("sanity")
    return _markdown(
        ["", "COCO", "Flickr30K"],
        [
            [shown, *(table.cell(row, corpus) for corpus in _CORPORA)]
            for row, shown in _BOUNDS.items()
        ],
    )


def _by_setting(table, rows, with_paper):
    """One column per encoder and setting; `rows` gives the kept row of a setting."""
    header = [""]
    for encoder in _ENCODERS:
        header += [f"{encoder} S1", "S2", "S3", "S4"]
    return _markdown(
        header,
        [
            [
                shown,
                *(
                    table.cell(kept(setting), group, with_paper=with_paper)
                    for group in _ENCODERS.values()
                    for setting in _SETTINGS
                ),
            ]
            for shown, kept in rows.items()
        ],
    )


def _ablation():
    rows = {
        shown: lambda setting, row=row: f"{row}: {setting}"
        for row, shown in _ABLATION.items()
    }
    return _by_setting(_Table("V"), rows, with_paper=True)


def _prompts():
    rows = {
        shown: lambda setting, row=row: f"TIPCap ({setting}): {row}"
        for row, shown in _PROMPTS.items()
    }
    return _by_setting(_Table("prompts"), rows, with_paper=False)


def tables():
    """Return the README's tables in their order."""
    return [_in_domain(), _bounds(), _ablation(), _prompts()]


def put_tables():
    """Write them over those that have the same header and first row's label."""
    blocks = README.read_text("utf-8").split("\n\n")
    for table in tables():
        (number,) = (n for n, b in enumerate(blocks) if _head(b) == _head(table))
        blocks[number] = table
    README.write_text("\n\n".join(blocks), "utf-8")


def _head(block):
    """Header and label of the first row."""
    header, _, row, *_ = [*block.split("\n"), "", ""]
    return header, row.split(" | ")[0]
