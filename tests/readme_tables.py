"""The README's tables of scores, written from the kept tables: `python -m tests.reference` puts them there."""

from pathlib import Path

import pandas as pd

from tipcap.io.cells import read_cells

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
    "ClipCap (run)": "ClipCap (run), ViT-B/32",
    "ZeroCap (run)": "ZeroCap (run), ViT-B/32",
    "MAGIC (run)": "MAGIC (run), ViT-B/32",
    "DeCap (run)": "DeCap (run), ViT-B/32",
    "CapDec (run)": "CapDec (run), RN50x4",
    "CLOSE-style noise (run)": "CLOSE-style noise (run), ViT-L/14",
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


def kept(table):
    """Return the cells of a kept table by row, group and metric."""
    cells = read_cells(KEPT / f"table_{table}.cells.csv")
    return cells.set_index(["row", "group", "metric"])


def _text(cell, with_paper=False):
    """Value, spread where there is one, the paper's value in brackets where asked for."""
    if pd.isna(cell["value"]):
        return "N/A"
    digits = int(cell["digits"])
    text = f"{cell['value']:.{digits}f}"
    if pd.notna(cell["std"]):
        text += f" ± {cell['std']:.{digits}f}"
    if with_paper and pd.notna(cell["paper"]):
        text += f" ({cell['paper']:.1f})"
    return text


def _markdown(header, rows):
    first, *others = (f"| {' | '.join(row)} |" for row in (header, *rows))
    return "\n".join([first, "|---" * len(header) + "|", *others])


def _in_domain():
    cells = kept("II")
    metrics = ("bleu_4", "meteor", "cider", "nll")
    columns = [(c, m) for c in _CORPORA for m in metrics]
    header = ["method", "COCO B-4", "M", "C", "NLL", "Flickr30K B-4", "M", "C", "NLL"]
    return _markdown(
        header,
        [
            [shown, *(_text(cells.loc[row, c, m], m == "cider") for c, m in columns)]
            for row, shown in _METHODS.items()
        ],
    )


def _bounds():
    cells = kept("sanity")
    return _markdown(
        ["", "COCO", "Flickr30K"],
        [
            [shown, *(_text(cells.loc[row, corpus, "cider"]) for corpus in _CORPORA)]
            for row, shown in _BOUNDS.items()
        ],
    )


def _by_setting(table, label, rows, with_paper=False):
    """One column per encoder and setting; `label` makes a kept row's name of `rows`' key and the setting."""
    cells = kept(table)
    first, *others = _SETTINGS
    header = [""]
    for encoder in _ENCODERS:
        header += [f"{encoder} {first}", *others]
    return _markdown(
        header,
        [
            [
                shown,
                *(
                    _text(
                        cells.loc[
                            label.format(row=row, setting=setting), group, "cider"
                        ],
                        with_paper,
                    )
                    for group in _ENCODERS.values()
                    for setting in _SETTINGS
                ),
            ]
            for row, shown in rows.items()
        ],
    )


def tables():
    """Return the README's tables in their order."""
    return [
        _in_domain(),
        _bounds(),
        _by_setting("V", "{row}: {setting}", _ABLATION, with_paper=True),
        _by_setting("prompts", "TIPCap ({setting}): {row}", _PROMPTS),
    ]


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
