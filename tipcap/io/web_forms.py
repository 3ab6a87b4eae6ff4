"""Pages that hosts send for a file, and the form on one that stands before it: Google Drive asks so where a file is too large for its virus scan."""

from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

_FORM = "download-form"


class _Forms(HTMLParser):
    """The address and hidden fields of the form for downloading."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.action = ""
        self.fields: list[tuple[str, str]] = []
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and values.get("id") == _FORM:
            self.action, self._is_inside = values.get("action", ""), True
        elif tag == "input" and self._is_inside and values.get("type") == "hidden":
            self.fields.append((values.get("name", ""), values.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_inside = False


def is_page(content_type: str) -> bool:
    """Whether a host calls its answer a page."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")


def address_behind(page: bytes, address: str) -> str | None:
    """Return the address to which a page's form for downloading leads; None where it has none.

    Args:
        page: the beginning of it will do.
        address: of the page.
    """
    forms = _Forms()
    forms.feed(page.decode("utf-8", "replace"))
    if not forms.action:
        return None
    target = urljoin(address, forms.action)
    if urlsplit(target).scheme not in ("http", "https"):
        return None
    query = urlencode(forms.fields)
    return f"{target}{'&' if urlsplit(target).query else '?'}{query}"
