"""``make smoke-clip``: a sample query, reranked with CLIP."""

import numpy as np
import pytest
from PIL import Image

from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.detection.concepts import average_prompts
from service.domain import Tag
from service.search.rerank import rerank, rerank_tags
from tests.support import models

TEMPLATES = ("a photo of {}", "{}")


def solid(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((32, 32, 3), (red, green, blue), np.uint8)


async def open_encoder(directory):
    shelf = Shelf(ModelSettings(visual_model=str(directory), sound_model="none", offline=True))
    return shelf, await shelf.open_encoder()


def embed(encoder, text):
    vectors = encoder.encode_texts([template.replace("{}", text) for template in TEMPLATES])
    return average_prompts(vectors)


async def test_clip_moves_the_right_picture_up_and_leaves_alone_what_it_cannot_tell(tmp_path):
    shelf, encoder = await open_encoder(models.colour_model(tmp_path / "colours"))
    pictures = encoder.encode_images([solid(200, 20, 20), solid(20, 200, 20), solid(20, 20, 200)])
    base = np.array([0.50, 0.52, 0.48], np.float32)  # words alone prefer the green one
    blue = rerank(base, pictures @ embed(encoder, "blue"), weight=0.6)
    assert np.argmax(blue) == 2
    flat = rerank(base, np.full(3, 0.25, np.float32))
    assert flat.tolist() == base.tolist()
    await shelf.aclose()


@pytest.mark.shared
async def test_a_real_model_puts_the_tag_first_that_is_in_the_picture(shared, capsys):
    shelf, encoder = await open_encoder(shared / "models" / "standin-clip")
    labels = ("tench", "dog", "guitar", "airplane")
    tags = [Tag(label=label, kind="subject", score=0.5 + n / 100) for n, label in enumerate(labels)]
    image = np.asarray(Image.open(shared / "golden/images/dog_image.jpg").convert("RGB"))
    (picture,) = encoder.encode_images([image])
    cosines = np.array([picture @ embed(encoder, label) for label in labels], np.float32)
    reranked = rerank_tags(tags, cosines, weight=0.5)
    with capsys.disabled():
        before = ", ".join(f"{tag.label} {tag.score:.2f}" for tag in reversed(tags))
        after = ", ".join(f"{tag.label} {tag.score:.2f}" for tag in reranked)
        print(f"\nbefore: {before}\nCLIP:   {after}")
    assert reranked[0].label == "dog"
    await shelf.aclose()
