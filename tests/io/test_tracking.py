import json
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tipcap.io import tracking
from tipcap.io.tracking import LiveLogger, tracked_name

FAR_AWAY = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture
def server():
    """A server that speaks as much of MLflow as the live logger needs; yields what it was told."""
    told = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            path = self.path.split("?")[0].rsplit("/mlflow/", 1)[-1]
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or "{}")
            told.append((path, body))
            run = {"info": {"run_id": "r1", "run_uuid": "r1", "experiment_id": "7"}}
            replies = {
                "experiments/get-by-name": {"experiment": {"experiment_id": "7"}},
                "runs/create": {"run": {**run, "data": {}}},
                "runs/update": {"run_info": run["info"]},
            }
            text = json.dumps(replies.get(path, {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

        def log_message(self, *values):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", told
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_live_training_sends_its_curve_to_the_server(server, monkeypatch):
    address, told = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    live = LiveLogger("train-0", send_every_seconds=0.0)
    before = time.time() * 1000
    for step in (10, 20):
        live.log({"step": step, "loss": 1 / step})
    live.close()
    metrics = [
        m for path, body in told if path == "runs/log-batch" for m in body["metrics"]
    ]
    assert [(m["key"], m["step"], m["value"]) for m in metrics] == [
        ("loss", 10, 0.1),
        ("loss", 20, 0.05),
    ]
    assert all(int(m["timestamp"]) >= int(before) for m in metrics)
    (created,) = [body for path, body in told if path == "runs/create"]
    assert created["run_name"] == "train-0"
    (ended,) = [body for path, body in told if path == "runs/update"]
    assert ended["status"] == "FINISHED"


def test_live_values_are_sent_together_at_the_end(server, monkeypatch):
    address, told = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    live = LiveLogger("train-0", send_every_seconds=3600.0)
    for step in range(5):
        live.log({"step": step, "loss": 1.0})
    live.close()
    sizes = [len(body["metrics"]) for path, body in told if path == "runs/log-batch"]
    assert sizes == [1, 4]


@pytest.mark.parametrize("kind", ["nothing listens", "never answers", "no such host"])
def test_a_server_that_is_down_never_raises_and_is_mentioned_once(
    monkeypatch, caplog, kind
):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        addresses = {
            "nothing listens": FAR_AWAY,
            "never answers": f"http://127.0.0.1:{listening.getsockname()[1]}",
            "no such host": "https://tracking.invalid",
        }
        monkeypatch.setenv("MLFLOW_TRACKING_URI", addresses[kind])
        live = LiveLogger("train-0", send_every_seconds=0.0, pause_seconds=0.0)
        with caplog.at_level(logging.WARNING, logger="tipcap"):
            for step in range(2):
                live.log({"step": step, "loss": 1.0})
            live.close()
    assert [r.name for r in caplog.records if r.name.startswith("tipcap")] == [
        "tipcap.io.tracking"
    ]
    assert addresses[kind] in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1:9", "127.0.0.1:port", "tracking.invalid"])
def test_a_password_in_the_servers_address_is_not_logged(monkeypatch, caplog, host):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cret-t0ken@{host}")
    live = LiveLogger("train-0")
    with caplog.at_level(logging.WARNING):
        live.log({"step": 1, "loss": 1.0})
    ours = [r.getMessage() for r in caplog.records if r.name == "tipcap.io.tracking"]
    assert len(ours) == 1
    assert "s3cret" not in ours[0]


def test_a_server_that_was_down_is_left_alone_for_a_while(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", FAR_AWAY)
    attempts = []
    monkeypatch.setattr(tracking, "client_class", lambda: attempts.append)
    live = LiveLogger("train-0", send_every_seconds=0.0, pause_seconds=3600.0)
    for step in range(5):
        live.log({"step": step, "loss": 1.0})
    assert len(attempts) == 1


@pytest.mark.parametrize("address", ["", "sqlite:///mlflow.db", "/some/folder"])
def test_without_a_server_nothing_is_sent(monkeypatch, address, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(
        tracking, "client_class", lambda: pytest.fail("mlflow was asked for")
    )
    live = LiveLogger("train-0")
    live.log({"step": 1, "loss": 1.0})
    live.close()
    assert list(tmp_path.iterdir()) == []


def test_names_keep_what_a_server_takes():
    assert tracked_name("TIPCap (S1), N(µ⃗,Σ)/ ") == "TIPCap S1 NµΣ"
    assert tracked_name("()") == "unnamed"
