"""The command that scores anyone's captions."""

from pathlib import Path
from typing import Annotated

import typer


def score(
    captions: Annotated[
        list[Path],
        typer.Argument(
            help="Files of captions; several are compared with the first. [{image_id, caption}], {image: caption}, JSON lines, ..."
        ),
    ],
    references: Annotated[
        Path | None,
        typer.Option(
            help="COCO annotations, a Karpathy file, annotations.json of a world, a mapping image: captions, or a list of [{image_id, caption}]. Not needed where the captions' file has them (MAGIC, ViECap).",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            help="bleu, bleu_4, meteor, rouge_l, cider, spice, with commas between them. All but SPICE by default.",
        ),
    ] = None,
    spice: Annotated[
        bool,
        typer.Option(
            "--spice",
            help="SPICE too, after the others; fetches its jars (520 MB) if missing.",
        ),
    ] = False,
    per_image: Annotated[
        Path | None, typer.Option(help="Write every image's scores here, as CSV.")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Write everything here: corpus and image scores, intervals, differences, p-values.",
        ),
    ] = None,
    best_and_worst: Annotated[
        list[str] | None,
        typer.Option(help="Show the best and the worst images by these metrics."),
    ] = None,
    number: Annotated[
        int, typer.Option(min=1, help="How many best and worst images.")
    ] = 5,
    vizwiz: Annotated[
        bool,
        typer.Option(
            "--vizwiz",
            help="Leave out references marked as rejected or precanned, as VizWiz's own evaluation does.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Every image with references needs a caption."),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(help="A further file of captions, as if it were named last."),
    ] = None,
    jars: Annotated[
        Path | None, typer.Option(help="Folder of SPICE's jars to use instead.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="For SPICE's parser.")] = 2,
) -> None:
    """Score files of captions: BLEU, METEOR, ROUGE-L, CIDEr and SPICE with 95 % intervals; several are compared."""
    from tipcap.io.waiting import Waiting

    with Waiting("loading the metrics") as waiting:
        from tipcap.commands.score_file import (
            QUICK_METRICS,
            Wanted,
            metrics_named,
            score_files,
        )

        named = QUICK_METRICS
        if metrics:
            named = metrics_named(metrics, "--metrics")
        if spice and "SPICE" not in named:
            named = (*named, "SPICE")
        shown = metrics_named(best_and_worst or [], "--best-and-worst")
        wanted = Wanted(
            metrics=named,
            best_and_worst=shown,
            number=number,
            json_file=json_file,
            per_image=per_image,
            strict=strict,
            vizwiz=vizwiz,
            jars=jars,
            threads=threads,
            seed=seed,
        )
        files = [*captions, *([] if against is None else [against])]
        score_files(files, references, wanted, waiting)
