"""How each family of models wants to be fed, and what its logits mean.

Values are those of the families' own published configurations.
"""

from __future__ import annotations

from dataclasses import replace

from adapters.models.spec import (
    ImageInput,
    Interpolation,
    JointFamily,
    JointSpec,
    Resize,
    SoundSpec,
    SoundTextSpec,
    TextInput,
    VisualSpec,
)
from service.domain import Calibration, ScoreKind

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)

CLIP_IMAGE = ImageInput(
    size=224,
    resize=Resize.CROP,
    interpolation=Interpolation.BICUBIC,
    mean=OPENAI_MEAN,
    std=OPENAI_STD,
)
CLIP_TEXT = TextInput(context_length=77, pad_id=49407, end_id=49407, pads_to_context=False)
"""Attention is causal and the first end-of-text is pooled: padding after it changes nothing."""
CLIP_CALIBRATION = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)
"""The logit scale was clamped at 100 in training (CLIP paper, section 2.5)."""

SIGLIP_IMAGE = ImageInput(
    size=224, resize=Resize.SQUASH, interpolation=Interpolation.BICUBIC, mean=HALF, std=HALF
)
SIGLIP_TEXT = TextInput(
    context_length=64,
    pad_id=1,
    end_id=1,
    pads_to_context=True,
    lower_case=True,
    canonicalize=True,
)
SIGLIP_CALIBRATION = Calibration(
    kind=ScoreKind.SIGMOID, logit_scale=117.330765, logit_bias=-12.932437
)
SIGLIP2_IMAGE = ImageInput(
    size=256, resize=Resize.SQUASH, interpolation=Interpolation.BILINEAR, mean=HALF, std=HALF
)
SIGLIP2_TEXT = TextInput(
    context_length=64, pad_id=0, end_id=1, pads_to_context=True, lower_case=True
)
"""Trained lower-cased, which its published tokenizer does not do (big_vision #157)."""
SIGLIP2_CALIBRATION = Calibration(
    kind=ScoreKind.SIGMOID, logit_scale=112.66889954, logit_bias=-16.7717247
)
"""Of B/16-224's released weights. Those of B/16-256 and B/32-256 were not to be had: theirs differ
a little, as those of the larger ones do (L/16-384: 108.0 and -16.35)."""

CLIP = VisualSpec(dimension=512, image=CLIP_IMAGE, text=CLIP_TEXT, calibration=CLIP_CALIBRATION)
SIGLIP = VisualSpec(
    dimension=768, image=SIGLIP_IMAGE, text=SIGLIP_TEXT, calibration=SIGLIP_CALIBRATION
)
SIGLIP2 = VisualSpec(
    dimension=768, image=SIGLIP2_IMAGE, text=SIGLIP2_TEXT, calibration=SIGLIP2_CALIBRATION
)
MOBILECLIP = VisualSpec(
    dimension=512,
    image=ImageInput(
        size=256,
        resize=Resize.CROP,
        interpolation=Interpolation.BILINEAR,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    ),
    text=TextInput(context_length=77, pad_id=0, end_id=49407, pads_to_context=True),
    calibration=CLIP_CALIBRATION,
)
CLAP = SoundTextSpec(
    dimension=512,
    text=TextInput(context_length=77, pad_id=1, end_id=2, pads_to_context=False),
    calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=1 / 0.07),
)
"""RoBERTa's tokens. The temperature that training began with (LAION CLAP, ``logit_scale_a``); the
towers alone do not carry the learned one, which is near 18."""
CLIPCLAP = JointSpec(
    family=JointFamily.CLIPCLAP,
    visual=CLIP,
    sound_calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=1 / 0.07),
)
"""The projection is trained at a temperature of 0.07 (Termite's ``clipclap``)."""
LANGUAGEBIND = JointSpec(
    family=JointFamily.LANGUAGEBIND,
    visual=VisualSpec(
        dimension=768,
        image=replace(CLIP_IMAGE, interpolation=Interpolation.BILINEAR),
        text=TextInput(context_length=77, pad_id=49407, end_id=49407, pads_to_context=True),
        calibration=CLIP_CALIBRATION,
    ),
    sound_calibration=CLIP_CALIBRATION,
)
"""Every modality has its own logit scale, which begins as CLIP's; an export's ``model.toml`` has
the learned ones."""
YAMNET = SoundSpec(sample_rate_hz=16_000, window_samples=15_600, hop_samples=7_800)
"""One patch of 0.975 s; the next begins half a patch later, as the reference does."""
