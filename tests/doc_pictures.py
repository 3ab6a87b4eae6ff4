"""The report's picture in README and pages, taken in a browser: `python -m tests.doc_pictures [RESULTS]`, after `make all_tables TARGET=report`.

RESULTS is the folder of a world's results, `results/mini` by default.
"""

import sys
from pathlib import Path

from tests.browser import chromium, opened
from tests.pages import DOCS, ROOT

SIZE = {"width": 1500, "height": 2000}
WIDTH = 848
"""Of the table's part that is shown: methods and the first dataset."""


def main(results):
    address = (results / "report.html").as_uri()
    with chromium() as browser, opened(browser, address, SIZE) as page:
        box = page.locator("table").first.bounding_box()
        page.screenshot(path=DOCS / "report.png", clip={**box, "width": WIDTH})


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else ROOT / "results/mini").resolve())
