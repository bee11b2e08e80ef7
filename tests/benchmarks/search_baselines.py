"""What searches are measured beside: plain SQL, a ranking of all, and a text tower's true cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.domain import Float32, Modality
from service.vocabulary import load_vocabulary
from tests.support.models import colour_model
from tests.support.stores import MODEL
from tests.support.towers import export_text_tower

LIMIT = 200
TEXTS = 20
VECTORS = (
    "select media_item_id, position, 1 - (embedding <=> %s::halfvec) as score "
    "from scene_embeddings where model = %s and kind = %s order by embedding <=> %s::halfvec "
    "limit %s"
)
LINES = (
    "select media_item_id, position, ts_rank_cd(words, %s::tsquery) as score "
    "from media_transcripts where words @@ %s::tsquery order by score desc limit %s"
)
TEXTS_OF = (
    "select media_item_id, position, ts_rank_cd(words, %s::tsquery) as score "
    "from media_texts where words @@ %s::tsquery and channel = %s order by score desc limit %s"
)
FULL = """
with asked as materialized (
  select q.* from moodreel.read_words(%s, 'public.media_transcripts', 'true', 'A') q
)
select max(score)::float8 from (
  select t.media_item_id, floor((t.start_s + t.end_s) / 2 / 60) as scene,
    said.share + 0.1 * (1 - 1 / (1 + ts_rank_cd(ts_filter(t.words, '{a}'), a.dense, 1)))
      + (t.words @@ a.phrase)::integer as score
  from asked a join media_transcripts t on t.words @@ a.anyone
  cross join lateral (
    select sum(weight * case when t.words @@ exact_own then 1.0 when t.words @@ loose_own then 0.7
      when t.words @@ exact then 0.4 when t.words @@ loose then 0.3 else 0.0 end) as share
    from unnest(a.exact, a.loose, a.exact_own, a.loose_own, a.weights)
      as w (exact, loose, exact_own, loose_own, weight)) said
) rated group by media_item_id, scene order by 1 desc limit %s
"""

Row = dict[str, Any]


def plain_search(dsn: str, vectors: Mapping[str, Float32], texts: Sequence[str]) -> list[float]:
    """All channels as one writes them first, one statement each: milliseconds."""
    taken = []
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("set search_path = public, extensions")
        for text in texts:
            words, vector = " | ".join(text.split()), str(vectors[text].tolist())
            began_at = time.perf_counter()
            for kind in ("scene", "keyframe"):
                connection.execute(VECTORS, [vector, MODEL, kind, vector, LIMIT]).fetchall()
            connection.execute(LINES, [words, words, LIMIT]).fetchall()
            for channel in ("summary", "lexical"):
                connection.execute(TEXTS_OF, [words, words, channel, LIMIT]).fetchall()
            taken.append((time.perf_counter() - began_at) * 1e3)
    return taken


def full_ranking(dsn: str, terms: str, count: int) -> list[float]:
    """The best scores of scenes by their lines where all that have one of the words are rated."""
    with psycopg.connect(dsn) as connection:
        connection.execute("set search_path = public, extensions")
        return [score for (score,) in connection.execute(FULL, [terms, count]).fetchall()]


async def cold_texts() -> list[Row]:
    """The vector of a text that nobody asked for yet, by a tower of ViT-B/32's shape."""
    if find_spec("transformers") is None:
        return []
    with tempfile.TemporaryDirectory() as directory:
        model = colour_model(Path(directory) / "vit")
        export_text_tower(model / "text_model.onnx", width=3)
        settings = ModelSettings(visual_model=str(model), models_dir=Path(directory) / "models")
        shelf = Shelf(settings)
        try:
            encoder = await shelf.open_encoder()
            templates = load_vocabulary(None).templates_for(Modality.PICTURE, MODEL)
            taken = []
            for number in range(TEXTS):
                sentences = [one.replace("{}", f"a boat at night {number}") for one in templates]
                began_at = time.perf_counter()
                encoder.encode_texts(sentences)
                taken.append((time.perf_counter() - began_at) * 1e3)
        finally:
            await shelf.aclose()
    name = f"cold text, {len(templates)} sentences, tower of ViT-B/32 (random weights)"
    return [
        {"name": f"{name}: the first, which loads it", "value": taken[0], "unit": "ms"},
        *(
            {"name": f"{name}, p{p}", "value": float(np.percentile(taken[1:], p)), "unit": "ms"}
            for p in (50, 95)
        ),
    ]
