"""A web server on this machine for the length of a test."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def serving(handler, **noted):
    """Yield a server that answers with the handler and carries what is noted; it has ended when the block ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    vars(server).update(noted)
    with running(server):
        yield server


@contextlib.contextmanager
def running(server):
    """Yield a server that answers; it has ended when the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
