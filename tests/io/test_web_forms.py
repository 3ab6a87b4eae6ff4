import pytest

from tipcap.io.web_forms import address_behind

FORM = '<form id="download-form" action="{}"><input type="hidden" name="a" value="1"><input name="b" value="2"></form>'


@pytest.mark.parametrize(
    ("action", "address"),
    [
        ("https://other/download", "https://other/download?a=1"),
        ("/download", "https://here/download?a=1"),
        ("?export=download", "https://here/uc?export=download&a=1"),
        ("https://other/x?id=3", "https://other/x?id=3&a=1"),
        ("javascript:go()", None),
        ("file:///etc/hostname", None),
        ("", None),
    ],
)
def test_the_hidden_fields_are_sent_to_where_the_form_leads(action, address):
    page = FORM.format(action).encode()
    assert address_behind(page, "https://here/uc?id=7") == address


@pytest.mark.parametrize(
    "page", [b"", b"<form action='/login'>", b"\xff<<<", b"<form id=download-form"]
)
def test_a_page_without_such_a_form_leads_nowhere(page):
    assert address_behind(page, "https://here/") is None
