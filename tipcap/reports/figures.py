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
from tipcap.config.tables import Address, Group, MetricName, Table
from tipcap.core.metrics import METRICS
from tipcap.core.refining import names_a_thing
from tipcap.core.tables import digits_of, printed_number
from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.cells import by_name, read_cells
from tipcap.io.pictures import PictureArchives
from tipcap.io.plots import (
    Captioned,
    Compared,
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
from tipcap.reports.claims import Evidence

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
    evidence = Evidence(plan, by_name(read_cells(Path(file))))
    points = list(_points(figure, table, places, evidence))
    draw_curves(
        points,
        out,
        quantity=figure.quantity,
        measure=METRICS[figure.metric].title,
        ticks={places[row]: table.rows[row].label[0] for row in rows},
        scale=figure.scale,
        digits=digits_of(table, figure.metric),
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
    figure: Curve, table: Table, places: Mapping[int, float], evidence: Evidence
) -> Iterator[Point]:
    """Yield our points and the paper's of every group, one line per heading."""
    ours = f"{evidence.plan.name} world"
    for group in table.groups:
        section = ""
        for index, row in enumerate(table.rows):
            section = section if row.section is None else row.section
            if index not in places:
                continue
            name = (table.id, table.names[index], group.label, figure.metric)
            found = evidence.measured.get(name)
            low, high = evidence.interval(name) or (None, None)
            place = group.label, section, places[index]
            yield Point(ours, *place, found and found.value, low, high)
            value, std = printed_number(table.printed(index, group, figure.metric))
            reach = None if value is None or std is None else (value - std, value + std)
            yield Point("paper", *place, value, *(reach or (None, None)))


def compared_rows(
    table: Table, group: Group, metric: MetricName, evidence: Evidence
) -> Iterator[Compared]:
    """Yield every row of a table that has a number in one column: ours with its interval, the paper's beside it."""
    for index, row in enumerate(table.rows):
        if row.section is not None:
            continue
        name = (table.id, table.names[index], group.label, metric)
        found = evidence.measured.get(name)
        is_ours = found is not None and found.source == "run"
        value = found.value if found is not None and is_ours else None
        paper, _ = printed_number(table.printed(index, group, metric))
        if value is None and paper is None:
            continue
        low, high = evidence.interval(name) or (None, None)
        digits = digits_of(table, metric)
        yield Compared(table.names[index], value, low, high, paper, digits)


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
    return [
        (
            f"{title}\nmean {values.mean():+.3f}, \N{GREEK SMALL LETTER SIGMA} {values.std():.3f}",
            values,
        )
        for title, values in panels
    ]


def equivalent(dimension: int, embed_dim: int, width: int) -> int:
    """Return the dimension at the same share of another width, counted from 1."""
    return min(width, max(1, round(dimension * width / embed_dim)))


def neighbourhoods(
    pairs: "Pairs", figure: Neighbourhoods
) -> "list[tuple[str, np.ndarray, np.ndarray]]":
    """Return for each panel its title and the places of images and mapped texts in the plane.

    The title also says what the whole embeddings show: the share that `mixed_share` finds, and how far the means of
    images and texts lie apart.
    """
    import torch

    from tipcap.core.mixing import mixed_share

    generator = torch.Generator().manual_seed(figure.seed)
    order = torch.randperm(len(pairs.images), generator=generator)
    chosen = order[: min(figure.num_pairs, len(order))]
    images = pairs.images[chosen]
    found = []
    for panel in figure.panels:
        added, noise = _added(pairs, panel, len(chosen), figure.seed)
        texts = pairs.texts[chosen] + added
        distance = (images.mean(0) - texts.mean(0)).norm().item()
        points = _tsne(torch.cat([images, texts]), figure.seed)
        mixed = f"{mixed_share(images, texts):.0%} mixed"
        title = f"{panel.title} {noise}\n{mixed}\nmeans {distance:.2f} apart"
        found.append((title, points[: len(chosen)], points[len(chosen) :]))
    return found


def _added(pairs: "Pairs", panel: Panel, num: int, seed: int) -> "tuple[Tensor, str]":
    """Return what the mapping of a panel adds to each text embedding, and its deviation in words."""
    import torch

    from tipcap.core.gaussian import estimate_gaussian, sample_gap

    generator = torch.Generator().manual_seed(seed)
    width = pairs.images.shape[1]
    if panel.gap is not None:
        num_images = len(pairs.image_id.unique())
        differences = pairs.images - pairs.texts
        found = estimate_gaussian(differences, panel.gap, num_images)
        added = sample_gap(found.gaussian, num, generator=generator)
        sigma = f"\N{GREEK SMALL LETTER SIGMA} {differences.std().item():.4f}"
        return added, sigma if panel.gap == "univariate" else f"{panel.gap} covariance"
    std = panel.noise_std or 0.0
    noise = torch.randn(num, width, generator=generator)
    return (
        noise * std,
        f"\N{GREEK SMALL LETTER SIGMA} {std:.4f}" if std else "no mapping",
    )


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
        picture = archives.read(record.archive, record.member, image)
        yield Captioned(picture, texts, image)


def _texts(files: Mapping[str, Sequence[str]], part: str) -> dict[int, str]:
    """Return a line per image; of words those images whose prompts name things."""
    if part == "rough" and "rough" not in files:
        raise InputError(
            "figure: expected a run with prompts, found one without; choose part caption"
        )
    file = files["rough" if part == "rough" else "captions"][0]
    if part != "words":
        return {int(image): text for image, text in read_captions(Path(file)).items()}
    return {
        image: f"An image contains {', '.join(words)}."
        for image, words in _words_in(Path(file)).items()
    }


def words_of(plan: Plan, address: Address) -> dict[int, tuple[str, ...]]:
    """Return the words of a run's prompts by image; without images that have none, or where one names no thing."""
    return _words_in(Path(shown(plan, address)["captions"][0]))


def _words_in(file: Path) -> dict[int, tuple[str, ...]]:
    return {
        entry["image_id"]: tuple(entry["words"])
        for entry in read_json(file)
        if entry.get("words") and all(map(names_a_thing, entry["words"]))
    }
