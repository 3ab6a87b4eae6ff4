import httpx
import pytest

from tipcap.io.addresses import shown_address, shown_reason

SECRET = "s3cret-t0ken"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host/a/b.zip", "https://host/a/b.zip"),
        ("http://host:8080", "http://host:8080"),
        (f"https://me:{SECRET}@host:1/a@b", "https://host:1/a@b"),
        (f"https://{SECRET}@host", "https://host"),
        (f"https://host/a?X-Signature={SECRET}#x", "https://host/a"),
        (f"https://host?token=a@{SECRET}", "https://host"),
        (f"http://me:{SECRET}@[::1]:80/a", "http://[::1]:80/a"),
        (f"HTTP://me:p@{SECRET}@host/", "HTTP://host/"),
        # not addresses: what stands where is anybody's guess
        (f"http://me:a/{SECRET}@host/x", "http://..."),
        (f"http://me:a?{SECRET}@host/x", "http://..."),
        ("http://127.0.0.1:port/", "http://..."),
        (f"me:{SECRET}@host/x", "host/x"),
        ("pip:jars==1.0", "pip:jars==1.0"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(address, shown):
    assert shown_address(address) == shown


def failed(status):
    request = httpx.Request("GET", f"https://me:{SECRET}@cdn/x?Signature={SECRET}")
    with pytest.raises(httpx.HTTPStatusError) as caught:
        httpx.Response(status, request=request).raise_for_status()
    assert SECRET in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (failed(403), "status 403"),
        (httpx.InvalidURL(f"Invalid port: '{SECRET}'"), "InvalidURL"),
        (
            OSError(f"no answer of http://me:{SECRET}@host/x\nat all"),
            "OSError no answer of ... at all",
        ),
        (ValueError(), "ValueError"),
    ],
)
def test_a_reason_holds_no_address(error, shown):
    assert shown_reason(error) == shown


def test_an_address_that_the_cut_would_halve_is_left_out_too():
    error = OSError("x" * 150 + f" http://me:{SECRET}{'y' * 50}@host/")
    assert shown_reason(error).endswith("x ...")
