"""A server of pictures on this machine, some of them gone, damaged or slow to come, as the web's are."""

import contextlib
import http.server
import io
import threading
from collections import Counter

import numpy as np
from PIL import Image

from tests.serving import serving


def picture_of(number):
    """The bytes of a JPEG that differs from number to number."""
    pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


class _Handler(http.server.BaseHTTPRequestHandler):
    """`/KIND/NUMBER.jpg`, or `/file/NAME`; the kind says what happens to whoever asks for it."""

    def do_GET(self):
        kind, _, name = self.path.strip("/").partition("/")
        with self.server.lock:
            self.server.asked[self.path] += 1
            count = self.server.asked[self.path]
        stem = name.partition(".")[0]
        number = int(stem) if stem.isdecimal() else 0
        match kind:
            case "file":
                self._answer(self.server.files[name])
            case "gone":
                self.send_error(404)
            case "removed":
                self._redirect("/other/photo_unavailable.png")
            case "moved":
                self._redirect(f"/good/{name}")
            case "busy" if count == 1:
                self.send_response(503)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "broken":
                self.close_connection = True
            case "down" if self.server.is_down:
                self.close_connection = True
            case "text":
                self._answer(b"<html>not here</html>")
            case "cut":
                self._answer(picture_of(number)[:300])
            case _:
                self._answer(picture_of(number))

    def _redirect(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def picture_server():
    """Yield the server; `url(kind, number)` is an address, `asked` counts the questions for each."""
    noted = {
        "asked": Counter(),
        "lock": threading.Lock(),
        "is_down": False,
        "files": {},
    }
    with serving(_Handler, **noted) as server:
        server.url = lambda kind, number: (
            f"http://127.0.0.1:{server.server_port}/{kind}/{number}.jpg"
        )
        yield server
