"""The notebook of the documentation, run: `python -m tests.notebook` writes its outputs anew."""

import re

import nbformat
from nbclient import NotebookClient

from tests.pages import DOCS

NOTEBOOK = DOCS / "python.ipynb"
_LIMIT_S = 300
_PICTURE = "image/png"


def executed():
    """Return the notebook with the outputs that it has now."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(DOCS)}}
    client = NotebookClient(
        notebook, timeout=_LIMIT_S, kernel_name="python3", resources=resources
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":  # what libraries complain of is no result
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    return notebook


def outputs(notebook):
    """Return what each cell of code shows: printed text, or the representation that a page has; of a picture that it is one."""
    return [
        [_shown(output) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _shown(output):
    if output.output_type == "stream":
        return output.name, output.text
    if output.output_type == "error":
        return "error", output.evalue
    if _PICTURE in output.data:
        return _PICTURE, bool(output.data[_PICTURE])
    return "result", re.sub(r"0x[0-9a-f]+", "", output.data["text/plain"])


def main():
    nbformat.write(executed(), NOTEBOOK)


if __name__ == "__main__":
    main()
