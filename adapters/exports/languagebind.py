"""LanguageBind: transformers' CLIP parts with a sense of time, as three towers.

The towers of the paper (LanguageBind, section 3) as its published weights name their parts: a
ViT-L/14 that sees eight frames of a clip, attending over time before it attends over space in
every layer; the same without time for filter bank energies drawn as a picture; CLIP's text tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPAttention, CLIPEncoderLayer

from adapters.exports import vocabularies
from adapters.exports.blueprint import Blueprint
from adapters.exports.checkpoints import build_random
from adapters.exports.clip import (
    IMAGE,
    TINY,
    TINY_DIMENSION,
    TINY_VOCABULARY,
    logit_scale,
    text_table,
    text_tokens,
)
from adapters.exports.languagebind_weights import (
    Checkpoint,
    fill,
    read_checkpoint,
    same_texts,
)
from adapters.exports.spec import Size, Weights
from adapters.exports.towers import Signal, projected_tower

FRAMES = 8
MEL_BINS = 112
"""Of LanguageBind_Audio_FT; LanguageBind_Audio has 126."""
MEL_FRAMES = 1036
LARGE_VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 224,
    "hidden_act": "gelu",
}
LARGE_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu",
}
LARGE_DIMENSION = 768
"""The published configurations: OpenCLIP's ViT-L/14, from which training began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a vision tower is fed."""

    height: int
    width: int
    frames: int
    """1 for a tower that attends over space alone."""


class Patches(nn.Module):  # type: ignore[misc]  # torch ships no types to us
    """Patches of a picture of any shape with their places, and a first token for the whole."""

    def __init__(self, config: CLIPVisionConfig, picture: Picture) -> None:
        super().__init__()
        size, width = config.patch_size, config.hidden_size
        count = (picture.height // size) * (picture.width // size)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.patch_embedding = nn.Conv2d(config.num_channels, width, size, stride=size, bias=False)
        self.position_embedding = nn.Embedding(1 + count, width)

    def forward(self, pixels: Any) -> Any:  # noqa: ANN401  likewise
        """``(B, 3, H, W)`` to ``(B, 1 + patches, D)``."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(pixels.shape[0], 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


class TimedLayer(CLIPEncoderLayer):  # type: ignore[misc]  # likewise
    """A CLIP layer that looks along the frames first."""

    def __init__(self, config: CLIPVisionConfig, frames: int) -> None:
        super().__init__(config)
        self.frames = frames
        if frames > 1:
            self.temporal_embedding = nn.Parameter(torch.zeros(1, frames, config.hidden_size))
            self.temporal_layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
            self.temporal_attn = CLIPAttention(config)

    def forward(self, hidden: Any) -> Any:  # noqa: ANN401  likewise
        """``(B * frames, N, D)`` to the same."""
        if self.frames > 1:
            places = hidden.shape[1]
            # Every patch by itself: (B * N, frames, D).
            moments = hidden.unflatten(0, (-1, self.frames)).transpose(1, 2).flatten(0, 1)
            moments = moments + self.temporal_embedding
            moments = moments + self.temporal_attn(self.temporal_layer_norm1(moments))[0]
            hidden = moments.unflatten(0, (-1, places)).transpose(1, 2).flatten(0, 1)
        return super().forward(hidden, None)


class VisionTower(nn.Module):  # type: ignore[misc]  # likewise
    """Clips or spectrograms to one vector each, before the projection."""

    def __init__(self, config: CLIPVisionConfig, picture: Picture) -> None:
        super().__init__()
        self.frames = picture.frames
        self.embeddings = Patches(config, picture)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        layers = [TimedLayer(config, picture.frames) for _ in range(config.num_hidden_layers)]
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixel_values: Any) -> Any:  # noqa: ANN401  likewise
        """``(B, 3, frames, H, W)``, or ``(B, 3, H, W)`` where there is no time."""
        if self.frames > 1:
            pixel_values = pixel_values.transpose(1, 2).flatten(0, 1)
        hidden = self.pre_layrnorm(self.embeddings(pixel_values))
        for layer in self.encoder["layers"]:
            hidden = layer(hidden)
        pooled = self.post_layernorm(hidden[:, 0])
        if self.frames > 1:
            pooled = pooled.unflatten(0, (-1, self.frames)).mean(dim=1)
        return SimpleNamespace(pooler_output=pooled)


class Modality(nn.Module):  # type: ignore[misc]  # likewise
    """One checkpoint: a vision tower and the text tower that it was trained against."""

    def __init__(
        self,
        vision: CLIPVisionConfig,
        text: CLIPTextConfig,
        picture: Picture,
        dimension: int,
    ) -> None:
        super().__init__()
        self.vision_model = VisionTower(vision, picture)
        self.visual_projection = nn.Linear(vision.hidden_size, dimension, bias=False)
        self.text_model = CLIPTextModel(text)
        self.text_projection = nn.Linear(text.hidden_size, dimension, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))
        self.picture = picture
        self.text_config = text


def open_languagebind(weights: Weights) -> Blueprint:
    """LanguageBind of published weights (a video and an audio checkpoint) or random ones.

    Raises:
        ConfigurationError: A checkpoint is no LanguageBind's, or the two have different text
            towers and therefore no common space.
    """
    if weights.directories:
        video, audio = (_open_published(directory) for directory in weights.directories)
        same_texts(video.text_model, audio.text_model)
        same_texts(video.text_projection, audio.text_projection)
    else:
        video, audio = (_open_random(weights, is_audio=is_audio) for is_audio in (False, True))
    return _blueprint(video, audio, weights.directories[0] if weights.directories else None)


def _blueprint(video: Modality, audio: Modality, directory: Path | None) -> Blueprint:
    text = text_tokens(video.text_config, is_fixed=True)
    seen, heard = video.picture, audio.picture
    return Blueprint(
        family="languagebind",
        dimension=video.visual_projection.out_features,
        towers=(
            projected_tower(
                role="image_tower",
                file="video_model.onnx",
                body=video.vision_model,
                head=video.visual_projection,
                inputs=Signal(name="pixel_values", shape=(3, seen.frames, seen.height, seen.width)),
                output="embeddings",
            ),
            projected_tower(
                role="audio_tower",
                file="audio_model.onnx",
                body=audio.vision_model,
                head=audio.visual_projection,
                inputs=Signal(name="pixel_values", shape=(3, heard.height, heard.width)),
                output="embeddings",
            ),
            projected_tower(
                role="text_tower",
                file="text_model.onnx",
                body=video.text_model,
                head=video.text_projection,
                inputs=text,
                output="embeddings",
            ),
        ),
        tables={
            "image": {**IMAGE, "size": seen.height, "interpolation": "bilinear"},
            "text": text_table(text),
            "calibration": {"kind": "softmax", "logit_scale": logit_scale(video.logit_scale)},
            "sound_calibration": {
                "kind": "softmax",
                "logit_scale": logit_scale(audio.logit_scale),
            },
        },
        tokenizer_source=directory,
        specials=vocabularies.CLIP,
        vocabulary_size=video.text_config.vocab_size,
    )


def _open_published(directory: Path) -> Modality:
    checkpoint = read_checkpoint(directory)
    vision = CLIPVisionConfig(**checkpoint.architecture(checkpoint.vision))
    modality = Modality(
        vision,
        CLIPTextConfig(**checkpoint.architecture(checkpoint.text)),
        _picture_of(checkpoint, vision.image_size),
        checkpoint.dimension,
    )
    fill(modality, checkpoint)
    modality.eval()
    return modality


def _picture_of(checkpoint: Checkpoint, edge: int) -> Picture:
    """A spectrogram where the configuration speaks of filters; else frames of a clip."""
    told = checkpoint.vision
    if told.get("num_mel_bins"):
        return Picture(height=int(told["num_mel_bins"]), width=int(told["target_length"]), frames=1)
    frames = int(told["num_frames"]) if told.get("add_time_attn") else 1
    return Picture(height=edge, width=edge, frames=frames)


def _open_random(weights: Weights, *, is_audio: bool) -> Modality:
    is_full = weights.size is Size.FULL
    vocabulary = 49_408 if is_full else TINY_VOCABULARY
    ends = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}
    vision = CLIPVisionConfig(**(LARGE_VISION if is_full else LARGE_VISION | TINY))
    text = CLIPTextConfig(
        **(LARGE_TEXT if is_full else LARGE_TEXT | TINY),
        **ends,
        pad_token_id=vocabulary - 1,
        vocab_size=vocabulary,
    )
    picture = (
        Picture(height=MEL_BINS, width=MEL_FRAMES, frames=1)
        if is_audio
        else Picture(height=vision.image_size, width=vision.image_size, frames=FRAMES)
    )
    dimension = LARGE_DIMENSION if is_full else TINY_DIMENSION
    seed = weights.seed + is_audio
    return build_random(lambda: Modality(vision, text, picture, dimension), seed)  # type: ignore[no-any-return]  # likewise
