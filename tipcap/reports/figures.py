"""The figure report: from cells, embeddings and captions to the lines, points and pictures of a figure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tipcap.config.figures import (
    Curve,
    Differences,
    Figure,
    Neighbourhoods,
    Panel,
    Pictures,
    Strip,
    number_in,
    rows_of,
)
from tipcap.config.tables import Table
from tipcap.core.claims import CellName, Measured
from tipcap.core.metrics import METRICS
from tipcap.core.tables import printed_number
from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.cells import by_name, read_cells
from tipcap.io.pictures import PictureArchives
from tipcap.io.plots import (
    Captioned,
    Point,
    draw_curves,
    draw_histograms,
    draw_pictures,
    draw_points,
)
from tipcap.io.result_files import read_captions
from tipcap.io.store import read_json
from tipcap.plan import Plan, load
from tipcap.plan.reports import figure_file, figure_inputs, shown

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tipcap.core.selection import Pairs

_TSNE_PERPLEXITY = 30.0
_HISTOGRAM_DIFFERENCES = (
    200_000  # enough for 60 bins, also where the corpus has 566,747 captions
)


def make_figure(world: Path, name: str, out: Path) -> None:
    """Draw a figure of a world."""
    draw_figure(load(world), name, out)


def draw_figure(plan: Plan, name: str, out: Path) -> None:
    """Draw a figure of a plan.

    Raises:
        InputError: the plan has no such figure, or what it shows was not made.
    """
    figure_file(plan, name)  # that there is one
    figure: Figure = plan.figures[name]
    out.parent.mkdir(parents=True, exist_ok=True)
    match figure:
        case Curve():
            _draw_curve(plan, figure, out)
        case Differences():
            draw_histograms(_histograms(embedded_pairs(plan, name), figure), out)
        case Neighbourhoods():
            draw_points(neighbourhoods(embedded_pairs(plan, name), figure), out)
        case Pictures():
            draw_pictures(list(_captioned(plan, figure)), out)


# Metric against quantity


def _draw_curve(plan: Plan, figure: Curve, out: Path) -> None:
    table = plan.tables[figure.table]
    (file,) = figure_inputs(plan, figure.id)["cells"]
    rows = rows_of(figure, table)
    places = _places(figure, table, rows)
    points = list(
        _points(plan.name, figure, table, places, by_name(read_cells(Path(file))))
    )
    draw_curves(
        points,
        out,
        quantity=figure.quantity,
        measure=METRICS[figure.metric].title,
        ticks={places[row]: table.rows[row].label[0] for row in rows},
        scale=figure.scale,
    )


def _places(figure: Curve, table: Table, rows: Sequence[int]) -> dict[int, float]:
    labels = [table.rows[row].label[0] for row in rows]
    if figure.scale == "names":
        distinct = list(dict.fromkeys(labels))
        found = [float(distinct.index(label)) for label in labels]
    else:
        found = [number_in(label, f"figure {figure.id}") for label in labels]
    return dict(zip(rows, found, strict=True))


def _points(
    world: str,
    figure: Curve,
    table: Table,
    places: Mapping[int, float],
    measured: Mapping[CellName, Measured],
) -> Iterator[Point]:
    """Yield our points and the paper's of every group, one line per heading."""
    for group in table.groups:
        section = ""
        for index, row in enumerate(table.rows):
            section = section if row.section is None else row.section
            if index not in places:
                continue
            name = (table.id, table.names[index], group.label, figure.metric)
            ours = measured.get(name)
            paper = printed_number(table.printed(index, group, figure.metric))
            place = places[index]
            for source, value, std in (
                (f"{world} world", ours and ours.value, ours and ours.std),
                ("paper", *paper),
            ):
                yield Point(source, group.label, section, place, value, std)


# Embeddings


def embedded_pairs(plan: Plan, name: str) -> "Pairs":
    """Return the embedded pairs that a figure shows."""
    from tipcap.core.selection import pair_up
    from tipcap.io.embeddings import read_embeddings

    files = figure_inputs(plan, name)
    images = read_embeddings(Path(files["images"][0]))
    texts = read_embeddings(Path(files["texts"][0]), images.vectors.shape[1])
    return pair_up(images, texts)


def _histograms(pairs: "Pairs", figure: Differences) -> "list[tuple[str, np.ndarray]]":
    differences = pairs.images - pairs.texts
    step = max(1, len(differences) // _HISTOGRAM_DIFFERENCES)
    shown = differences[::step].double().numpy()
    width = shown.shape[1]
    panels = [("global", shown.ravel())]
    for paper in figure.dimensions:
        dimension = equivalent(paper, figure.embed_dim, width)
        title = f"dimension={dimension}"
        if width != figure.embed_dim:
            title += f" of {width}\n(paper: {paper} of {figure.embed_dim})"
        panels.append((title, shown[:, dimension - 1]))
    return panels


def equivalent(dimension: int, embed_dim: int, width: int) -> int:
    """Return the dimension at the same share of another width, counted from 1."""
    return min(width, max(1, round(dimension * width / embed_dim)))


def neighbourhoods(
    pairs: "Pairs", figure: Neighbourhoods
) -> "list[tuple[str, np.ndarray, np.ndarray]]":
    """Return for each panel its title and the places of images and mapped texts in the plane."""
    import torch

    generator = torch.Generator().manual_seed(figure.seed)
    order = torch.randperm(len(pairs.images), generator=generator)
    chosen = order[: min(figure.num_pairs, len(order))]
    images = pairs.images[chosen]
    found = []
    for panel in figure.panels:
        texts = pairs.texts[chosen] + _added(pairs, panel, len(chosen), figure.seed)
        distance = (images.mean(0) - texts.mean(0)).norm().item()
        points = _tsne(torch.cat([images, texts]), figure.seed)
        title = f"{panel.title}\nmeans {distance:.2f} apart"
        found.append((title, points[: len(chosen)], points[len(chosen) :]))
    return found


def _added(pairs: "Pairs", panel: Panel, num: int, seed: int) -> "Tensor":
    """Return what the mapping of a panel adds to each text embedding."""
    import torch

    from tipcap.core.gaussian import estimate_gaussian, sample_gap

    generator = torch.Generator().manual_seed(seed)
    width = pairs.images.shape[1]
    if panel.gap is not None:
        num_images = len(pairs.image_id.unique())
        differences = pairs.images - pairs.texts
        found = estimate_gaussian(differences, panel.gap, num_images)
        return sample_gap(found.gaussian, num, generator=generator)
    noise = torch.randn(num, width, generator=generator)
    return noise * (panel.noise_std or 0.0)


def _tsne(vectors: "Tensor", seed: int) -> "np.ndarray":
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_TSNE_PERPLEXITY, (len(vectors) - 1) / 3)
    # More threads add in another order, and t-SNE carries a last digit far.
    with threadpool_limits(1):
        made: np.ndarray = TSNE(
            perplexity=perplexity, init="pca", random_state=seed, n_jobs=1
        ).fit_transform(vectors.double().numpy())
    return made


# Pictures


def _captioned(plan: Plan, figure: Pictures) -> Iterator[Captioned]:
    for strip in figure.strips:
        yield from captioned(plan, strip, figure.seed)


def captioned(plan: Plan, strip: Strip, seed: int) -> Iterator[Captioned]:
    """Yield pictures drawn with a seed, each with its lines; a line that a run lacks is left out."""
    import random

    files = [shown(plan, text.of) for text in strip.texts]
    first = files[0]
    records = {
        record.image_id: record
        for record in read_annotations(Path(first["references"][0]))
    }
    lines = [
        (text.label, _texts(found, text.part))
        for text, found in zip(strip.texts, files, strict=True)
    ]
    shared = sorted(set.intersection(*(set(texts) for _, texts in lines)))
    if not shared:
        raise InputError(
            f"figure: expected images that all runs caption, found none in common ({', '.join(label for label, _ in lines)}); choose runs on one dataset"
        )
    chosen = random.Random(seed).sample(shared, min(strip.num, len(shared)))
    if "pictures" not in first:
        raise InputError(
            "figure: expected a run that looks at pictures first, found one that does not; name another run first"
        )
    archives = PictureArchives([Path(file) for file in first["pictures"]])
    for image in chosen:
        record = records[image]
        references = record.captions[: strip.num_references]
        texts = [("GT", reference) for reference in references]
        texts += [(label, found[image]) for label, found in lines]
        yield Captioned(archives.read(record.archive, record.member, image), texts)


def _texts(files: Mapping[str, Sequence[str]], part: str) -> dict[int, str]:
    """Return a line per image; images whose prompt is empty have none."""
    if part == "rough" and "rough" not in files:
        raise InputError(
            "figure: expected a run with prompts, found one without; choose part caption"
        )
    file = files["rough" if part == "rough" else "captions"][0]
    if part != "words":
        return {int(image): text for image, text in read_captions(Path(file)).items()}
    return {
        entry["image_id"]: f"An image contains {', '.join(entry['words'])}."
        for entry in read_json(Path(file))
        if entry.get("words")
    }
