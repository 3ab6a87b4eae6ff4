"""Every exception that the libraries at an edge are known to raise, thrown there: each is one line.

An edge is a function of the package, the call of a library in it, and the libraries behind that call.
"""

import binascii
import csv
import errno
import gzip
import json
import lzma
import os
import pickle
import ssl
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import httpx
import lmdb
import pyarrow
import pytest
import torch
import yaml
from huggingface_hub import errors as hub_errors
from mlflow.exceptions import MlflowException
from safetensors import SafetensorError

from tipcap.commands import cost_files
from tipcap.config import reading
from tipcap.errors import InputError
from tipcap.io import (
    asking,
    cells,
    collect,
    download,
    encoder,
    hub,
    image_parts,
    reference_files,
    reference_sets,
    result_files,
    spice_jars,
    spice_parses,
    store,
    tracking_database,
)
from tipcap.io.hosts import Hosts

_REQUEST = httpx.Request("GET", "http://u:s3cret@h/?sign=s3cret")
_CODES = (
    "EACCES",
    "EPERM",
    "EIO",
    "EROFS",
    "ENAMETOOLONG",
    "ELOOP",
    "ESTALE",
    "EMFILE",
)
SYSTEM = [
    *(OSError(getattr(errno, c), os.strerror(getattr(errno, c)), "f") for c in _CODES),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "f"),
    IsADirectoryError(errno.EISDIR, "Is a directory", "f"),
    NotADirectoryError(errno.ENOTDIR, "Not a directory", "f"),
    ValueError("embedded null byte"),
    MemoryError(),
]
JSON = [
    json.JSONDecodeError("Expecting value", "doc\nument", 0),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ValueError("Exceeds the limit (4300 digits) for integer string conversion"),
    RecursionError("maximum recursion depth exceeded"),
]
ZIP = [
    zipfile.BadZipFile("File is not a zip file"),
    zipfile.LargeZipFile("Zipfile size would require ZIP64 extensions"),
    NotImplementedError("compression type 9 (deflate64)"),
    RuntimeError("File 'a' is encrypted, password required for extraction"),
    KeyError("There is no item named 'a' in the archive"),
    EOFError("Compressed file ended"),
    zlib.error("Error -3"),
    lzma.LZMAError("Corrupt input data"),
    struct.error("unpack requires a buffer of 4 bytes"),
    ValueError("I/O operation on closed file."),
    OverflowError("too large"),
    tarfile.ReadError("not a gzip file"),
    tarfile.HeaderError("bad checksum"),
]
TENSORS = [
    SafetensorError("Error while deserializing header: HeaderTooLarge"),
    KeyError("F8_E4M3"),
    TypeError("'NoneType' object is not subscriptable"),
    RuntimeError("shape"),
    AttributeError("metadata"),
]
TORCH = [
    RuntimeError("PytorchStreamReader failed reading zip archive"),
    pickle.UnpicklingError("Weights only load failed"),
    EOFError("Ran out of input"),
    ImportError("no module"),
    AttributeError("attribute"),
    IndexError("index"),
    NotImplementedError("aten::x"),
    torch.cuda.OutOfMemoryError("CUDA out of memory"),
]
HTTPX = [
    *(
        kind("said of http://u:s3cret@h/?sign=s3cret", request=_REQUEST)
        for kind in (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.ReadError,
            httpx.ReadTimeout,
            httpx.WriteError,
            httpx.WriteTimeout,
            httpx.PoolTimeout,
            httpx.CloseError,
            httpx.ProxyError,
            httpx.UnsupportedProtocol,
            httpx.LocalProtocolError,
            httpx.RemoteProtocolError,
            httpx.DecodingError,
            httpx.TooManyRedirects,
        )
    ),
    httpx.HTTPStatusError("s3cret", request=_REQUEST, response=httpx.Response(503)),
    httpx.InvalidURL("Invalid port: 's3cret@h'"),
    httpx.CookieConflict("cookies"),
    httpx.StreamConsumed(),
    httpx.StreamClosed(),
    httpx.ResponseNotRead(),
    ImportError("Using SOCKS proxy, but the 'socksio' package is not installed."),
    ValueError("Unknown scheme for proxy URL URL('x://u:s3cret@h')"),
    UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"),
    ssl.SSLCertVerificationError(1, "certificate verify failed"),
    OSError(errno.ENETUNREACH, "Network is unreachable"),
    KeyError("location"),
]
YAML = [
    *(
        kind(None, None, "could not find\nexpected", None)
        for kind in (
            yaml.scanner.ScannerError,
            yaml.parser.ParserError,
            yaml.composer.ComposerError,
            yaml.constructor.ConstructorError,
        )
    ),
    yaml.reader.ReaderError("f", 0, 0, "utf-8", "not allowed"),
    RecursionError("maximum recursion depth exceeded"),
    ValueError("month must be in 1..12"),
    KeyError("foo"),
    IndexError("string index out of range"),
    AttributeError("'NoneType' object has no attribute 'groupdict'"),
    TypeError("unhashable type: 'list'"),
    OverflowError("date value out of range"),
    binascii.Error("Incorrect padding"),
]
FRAMES = [
    pyarrow.ArrowInvalid("Parquet magic bytes not found"),
    pyarrow.ArrowNotImplementedError("type"),
    pyarrow.ArrowIOError("Couldn't deserialize thrift"),
    csv.Error("line contains NUL"),
    gzip.BadGzipFile("Not a gzipped file"),
]
MLFLOW = [
    MlflowException("Detected out-of-date database schema\n(found version x)"),
    ImportError("sqlalchemy"),
    RuntimeError("alembic"),
]
HUB = [
    *(
        kind("s3cret", response=httpx.Response(404, request=_REQUEST))
        for kind in (
            hub_errors.HfHubHTTPError,
            hub_errors.RepositoryNotFoundError,
            hub_errors.GatedRepoError,
            hub_errors.RevisionNotFoundError,
            hub_errors.DisabledRepoError,
            hub_errors.BadRequestError,
            hub_errors.RemoteEntryNotFoundError,
        )
    ),
    hub_errors.LocalEntryNotFoundError("no network"),
    hub_errors.OfflineModeIsEnabled("offline"),
    hub_errors.LocalTokenNotFoundError("no token"),
    hub_errors.HFValidationError("Repo id must be"),
    *HTTPX,
]


EDGES = {
    "read_json": (store.read_json, "tipcap.io.store.parse_json", SYSTEM + JSON),
    "read_tensors": (store.read_tensors, "tipcap.io.store.safe_open", SYSTEM + TENSORS),
    "read_captions": (
        result_files.read_captions,
        "tipcap.io.result_files.read_document",
        SYSTEM + JSON,
    ),
    "read_references": (
        reference_files.read_references,
        "tipcap.io.result_files.read_document",
        SYSTEM + JSON,
    ),
    "read_yaml": (
        reading.read_yaml,
        "tipcap.config.reading._Loader.get_single_node",
        SYSTEM + YAML,
    ),
    "read_cells": (
        lambda file: cells.read_cells(file.with_suffix(".parquet")),
        "tipcap.io.cells._read_parquet",
        SYSTEM + FRAMES,
    ),
    "read_image_parts": (
        image_parts.read_image_parts,
        "tipcap.io.image_parts.safe_open",
        SYSTEM + TENSORS + JSON,
    ),
    "read_reference_set": (
        reference_sets.read_reference_set,
        "tipcap.io.reference_sets.safe_open",
        SYSTEM + TENSORS + JSON,
    ),
    "read_parses": (
        spice_parses.read_parses,
        "tipcap.io.spice_parses.lzma.decompress",
        [*SYSTEM, lzma.LZMAError("Corrupt input data"), EOFError("ended")],
    ),
    "open_parses": (
        lambda file: spice_parses.put_parses(file.parent, {}),
        "tipcap.io.spice_parses.lmdb.open",
        [
            lmdb.InvalidError("not an LMDB file"),
            lmdb.CorruptedError("page"),
            lmdb.MapFullError("full"),
            lmdb.VersionMismatchError("version"),
            lmdb.DiskError("disk"),
        ],
    ),
    "unpack_jars": (
        lambda file: spice_jars.unpack_jars(file, file.parent),
        "tipcap.io.spice_jars.zipfile.ZipFile",
        ZIP,
    ),
    "import_openai_weights": (
        encoder.import_openai_weights,
        "tipcap.io.encoder.torch.jit.load",
        SYSTEM + TORCH + ZIP,
    ),
    "read_rates": (
        cost_files.read_rates,
        "tipcap.commands.cost_files.csv.DictReader",
        FRAMES,
    ),
    "tracking database": (
        lambda file: tracking_database._Client(file).search_experiments(),
        "mlflow.MlflowClient.search_experiments",
        SYSTEM + MLFLOW,
    ),
    "tracking database opened": (
        tracking_database._Client,
        "mlflow.MlflowClient.__init__",
        SYSTEM + MLFLOW,
    ),
    "fetch": (
        lambda file: download.fetch(["http://h/a"], file.with_name("a"), None, None),
        "httpx.stream",
        HTTPX,
    ),
    "fetch_snapshot": (
        lambda file: hub.fetch_snapshot("some/model", "main", file.parent),
        "huggingface_hub.HfApi.model_info",
        HUB,
    ),
    "fetch_snapshot begun": (
        lambda file: hub.fetch_snapshot("some/model", "main", file.parent),
        "huggingface_hub.HfApi.__init__",
        HUB,
    ),
    "collection": (
        collect.Collection,
        "tipcap.io.collect.sqlite3.connect",
        [*SYSTEM, collect.sqlite3.OperationalError("unable to open database file")],
    ),
    "check_place": (store.check_place, "pathlib.Path.touch", SYSTEM),
    "replace_file": (
        lambda file: store.replace_file(file / "b").__enter__(),
        "pathlib.Path.mkdir",
        SYSTEM,
    ),
    "publish": (
        lambda file: store.publish(file / "b").__enter__(),
        "pathlib.Path.mkdir",
        SYSTEM,
    ),
    "locked": (
        lambda file: store.locked(file / "b").__enter__(),
        "pathlib.Path.mkdir",
        SYSTEM,
    ),
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("http_proxy", "all_proxy", "https_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    path = tmp_path / "f"
    path.write_bytes(lzma.compress(b""))
    return path


def raising(error):
    def throw(*_, **__):
        raise error

    return throw


@pytest.mark.parametrize("name", EDGES)
def test_whatever_a_library_raises_at_an_edge_is_one_line(name, file, monkeypatch):
    edge_of, call, errors = EDGES[name]
    for error in errors:
        with monkeypatch.context() as patch:
            patch.setattr(call, raising(error))
            with pytest.raises(InputError) as caught:
                edge_of(file)
        said = str(caught.value)
        assert "expected" in said, repr(error)
        assert "found" in said, repr(error)
        assert ";" in said, repr(error)
        assert "\n" not in said, repr(error)
        assert "s3cret" not in said, repr(error)
    assert sorted(entry.name for entry in file.parent.iterdir()) in (
        ["f"],
        ["data.mdb", "f"],
    )


@pytest.mark.parametrize("error", [*HTTPX, RuntimeError("pool")], ids=repr)
def test_whatever_is_raised_while_a_picture_or_an_address_is_asked_for_is_an_answer(
    error, monkeypatch
):
    monkeypatch.setattr(collect, "_PAUSES_S", ())
    for name in ("stream", "head"):
        monkeypatch.setattr(httpx.Client, name, raising(error))
    with httpx.Client() as client:
        with pytest.raises((collect._Gone, collect._Unreached)) as caught:
            collect._fetch(client, Hosts(), ["http://h/a"])
        answer = asking.ask(client, "http://h/a", None, None)
    assert answer.state == "none"
    assert "s3cret" not in f"{caught.value}{answer}"


@pytest.mark.parametrize(
    "error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=os.strerror
)
def test_a_full_disk_stays_one_while_jars_are_unpacked(file, monkeypatch, error):
    monkeypatch.setattr(
        spice_jars.zipfile, "ZipFile", raising(OSError(error, os.strerror(error)))
    )
    with (
        pytest.raises(InputError, match="expected room to write"),
        store.publish(file.parent / "jars") as folder,
    ):
        spice_jars.unpack_jars(file, folder)
    assert not list(Path(file.parent).glob("jars*"))
