"""What all tests share: one thread, no network, and the smallest encoder that is one."""

import os
import signal
import socket
from pathlib import Path

import finished_world
import pytest
import torch
from hypothesis import settings

settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
# a shell lets what it starts in the background ignore Ctrl-C, and so all that this starts
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: short ones are left for the end, so that all cores end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


TINY_ENCODER = {
    "embed_dim": 16,
    "context_length": 32,
    "vocabulary_size": 300,
    "vision": {
        "image_size": 64,
        "patch_size": 16,
        "layers": 1,
        "width": 32,
        "head_width": 16,
    },
    "text": {"width": 32, "heads": 2, "layers": 1},
    "mismatched": 0.1,
    "seed": 0,
    "num_held_out": 600,
    "schedule": {
        "num_steps": 3,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
    },
}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """More threads change the last digits of sums, and the tests run beside each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread_again():
    """A command that a test runs in this process may take more, and all that follow would wait for each other."""
    yield
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """A connection to anything but this machine is an error."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            original = getattr(socket.socket, name)

            def guarded(self, address, original=original):
                inet = self.family in (socket.AF_INET, socket.AF_INET6)
                if inet and address[0] != "127.0.0.1":
                    raise RuntimeError(f"a test tried to connect to {address}")
                return original(self, address)

            patch.setattr(socket.socket, name, guarded)
        yield


@pytest.fixture(scope="session")
def tiny_parameters():
    """Parameters of a small encoder, as a world's file holds them."""
    return TINY_ENCODER


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    """The folder of an untrained small encoder."""
    from tipcap.io.encoder import build_small_model
    from tipcap.io.pretraining import train_tokenizer
    from tipcap.io.store import write_json, write_tensors

    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = train_tokenizer(["a red box on the beach", "two blue boats"], 300)
    torch.manual_seed(0)  # open_clip initialises from the global generator
    model = build_small_model(TINY_ENCODER, tokenizer.get_vocab_size())
    config = {"source": "trained", "model": "small-vit", "parameters": TINY_ENCODER}
    write_json(folder / "config.json", config)
    write_tensors(folder / "model.safetensors", model.state_dict())
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def toy_captioner(tmp_path_factory, tiny_encoder):
    """A captioner that says a handful of captions of the pictures of `toy_captioner`, and takes prompts."""
    import toy_captioner

    folder = tmp_path_factory.mktemp("toy-captioner")
    return toy_captioner.prompted(toy_captioner.make(folder, tiny_encoder))


@pytest.fixture(scope="session")
def exported(tmp_path_factory, toy_captioner):
    """Its folder, not to be changed."""
    folder = tmp_path_factory.mktemp("exported") / "toy"
    toy_captioner.save(folder)
    return folder


@pytest.fixture(scope="session")
def all_results(tmp_path_factory):
    """A folder with invented results of some tables, not to be changed, and the plan of them."""
    folder = tmp_path_factory.mktemp("all-results")
    before = Path.cwd()
    os.chdir(folder)
    try:
        plan = finished_world.build()
    finally:
        os.chdir(before)
    return folder, plan


@pytest.fixture
def in_all_results(all_results, monkeypatch):
    """The plan of that world, with its folder as the current one."""
    folder, plan = all_results
    monkeypatch.chdir(folder)
    return plan
