"""What the models that a world makes itself are made of: the `parameters` of its encoders and language models.

They are checked while the world is read, and the checked values go into the steps' specifications.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tipcap.specs import Count, Rate, Seed, Weight

NUM_HELD_OUT = 4000
Layers = Count | Annotated[tuple[Count, ...], Field(min_length=4, max_length=4)]


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def fields(self) -> dict[str, Any]:
        """Return what was given, as a specification takes it."""
        return self.model_dump(mode="json", exclude_unset=True)


class Vision(_Parameters):
    """open_clip's image tower: a ViT, or with a number of layers for each of its four parts a ResNet."""

    image_size: Count
    layers: Layers
    width: Count
    head_width: Count = 64
    patch_size: Count | None = None


class Text(_Parameters):
    """open_clip's text tower."""

    width: Count
    heads: Count
    layers: Count


class ModelSchedule(_Parameters):
    """How long and how fast a small model is trained; the fields are `tipcap.mini.pretrain.Schedule`'s."""

    num_steps: Count
    batch_size: Count
    learning_rate: Rate
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: Weight = 0.1
    logit_scale: Rate = 100.0
    first_logit_scale: int | float = Field(100.0, gt=0)
    image_word_weight: Weight = 0.0
    text_word_weight: Weight = 0.0


class EncoderParameters(_Parameters):
    """Of an encoder that is trained."""

    embed_dim: Count
    context_length: Annotated[int, Field(ge=3)]
    vocabulary_size: Count
    vision: Vision
    text: Text
    mismatched: Annotated[float, Field(ge=0, le=1)]
    """Share of the pairs whose texts are exchanged among each other."""
    seed: Seed
    schedule: ModelSchedule
    num_held_out: Annotated[int, Field(ge=500)] = NUM_HELD_OUT
    """Pictures, never seen, on which its modality gap and what it sees are measured."""


class ScratchParameters(_Parameters):
    """Of a language model with drawn weights."""

    architecture: dict[str, Any]
    """As in the `config.json` of its `model_type`."""
    seed: Seed


class LanguageModelParameters(ScratchParameters):
    """Of a language model that is trained."""

    vocabulary_size: Count
    row_length: Count
    schedule: ModelSchedule
