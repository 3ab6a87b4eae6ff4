"""Fields of an experiment that fit one by one and not together."""

from tipcap.config.experiments import Chosen, Experiment
from tipcap.config.world import World
from tipcap.errors import InputError
from tipcap.steps.generate import GenerateSpec
from tipcap.steps.prompt import PromptSpec
from tipcap.steps.train import TrainSpec


def check_projection(spec: GenerateSpec, chosen: Chosen, where: str) -> None:
    """Refuse a projection without a captioner, and fields of a projection without one.

    Raises:
        InputError: with what `where` names.
    """
    if spec.projection == "memory":
        if chosen.method != "captioner":
            raise InputError(
                f"{where}: generate: expected projection 'memory' with a captioner, found method {chosen.method!r}; remove one of them"
            )
        return
    names = ("memory_size", "memory_temperature", "memory_seed")
    if stray := [name for name in names if name in spec.model_fields_set]:
        raise InputError(
            f"{where}: generate: expected {stray[0]} with projection 'memory' only, found it without; add `projection: memory` or remove it"
        )


def check_compounds(spec: PromptSpec, where: str) -> None:
    """Refuse single nouns out of noun phrases.

    Raises:
        InputError: with what `where` names.
    """
    if spec.prompts == "chunks" and not spec.compounds:
        raise InputError(
            f"{where}: prompt: expected `compounds: false` with `prompts: nouns` only, found it with chunks; remove one of them"
        )


def check_training(
    spec: TrainSpec, experiment: Experiment, world: World, where: str
) -> None:
    """Refuse fields that contradict each other or would change nothing but the key.

    Raises:
        InputError: with what `where` names.
    """
    tuned = spec.language_model_trainable
    setting = spec.setting if spec.gap == "trained" else None
    source = world.language_models[experiment.language_model].source
    for is_wrong, expected, found in (
        (
            (spec.gap == "fixed") != (spec.noise_std is not None),
            "noise_std with gap 'fixed' and with no other",
            f"noise_std {spec.noise_std} with gap {spec.gap!r}",
        ),
        (
            spec.renormalise and spec.gap in ("none", "paired"),
            "renormalise where something is added to the embeddings",
            f"it with gap {spec.gap!r}",
        ),
        (
            spec.map_loss == "exact" and setting != 3,
            "map_loss 'exact' in setting 3 only, whose differences no parameter changes",
            f"it in setting {spec.setting}",
        ),
        (
            spec.initial_mean != "images" and setting != 3,
            "initial_mean in setting 3 only",
            f"it in setting {spec.setting}",
        ),
        (
            setting != 4
            and (
                spec.stop_gradient != "nothing"
                or not spec.normalise_reconstruction
                or not spec.asymmetric
            ),
            "stop_gradient, normalise_reconstruction and asymmetric in setting 4 only",
            f"one in setting {spec.setting}",
        ),
        (
            spec.language_model_rate != 1.0 and not tuned,
            "language_model_rate with language_model_trainable",
            "a frozen language model",
        ),
        (
            spec.language_model_dropout != 0.0 and not tuned,
            "language_model_dropout with language_model_trainable",
            "a frozen language model",
        ),
        (
            source == "scratch" and not tuned,
            "language_model_trainable with a language model from scratch",
            f"{experiment.language_model!r} frozen",
        ),
        (
            tuned and experiment.prompt is not None,
            "a frozen language model with a `prompt` block",
            "language_model_trainable",
        ),
    ):
        if is_wrong:
            raise InputError(
                f"{where}: train: expected {expected}, found {found}; correct the row"
            )
