"""The notebook of the documentation shows what it gives when it is run."""

import nbformat
import pytest

from tests.notebook import NOTEBOOK, executed, outputs


@pytest.mark.slow
def test_the_notebook_gives_what_it_shows():
    kept = nbformat.read(NOTEBOOK, as_version=4)
    assert all(shown for shown in outputs(kept)[:-1] if shown is not None)
    assert outputs(executed()) == outputs(kept)
