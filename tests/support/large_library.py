"""A library of 100,000 scenes, made up: films of a theme are alike, scenes of a film more so."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg

from service.domain import Float32
from tests.support.large_texts import fill_texts
from tests.support.stores import MODEL

NOISES = np.array([0.5, 1.5], np.float32)
"""How far queries are from what is stored, in its own length."""
FRAME_NOISE = 0.5
"""How far a best frame is from its scene; of a CLIP model their cosine is about 0.9."""
FILMS, SCENES_PER_FILM, DIMENSION, THEMES = 1_000, 100, 512, 300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Library:
    """What was put into a database."""

    vectors: Float32
    """``(films * scenes, D)``, in order of film and scene, as they are stored: rounded."""
    ids: list[int]
    """Of the films."""
    by_kind: tuple[Float32, ...] = ()
    """The same of each kind, in the order in which they were asked for; that of scenes first."""

    def queries(self, count: int, *, seed: int = 9) -> Float32:
        """Vectors some way off stored ones, ``(count, D)``."""
        random = np.random.default_rng(seed)
        near = self.vectors[random.integers(len(self.vectors), size=count)]
        noise = random.normal(size=near.shape).astype(np.float32) / np.sqrt(DIMENSION)
        asked: Float32 = near + noise * random.choice(NOISES, size=(count, 1))
        asked /= np.linalg.norm(asked, axis=1, keepdims=True)
        return asked


def make_vectors(count: int, seed: int) -> Float32:
    random = np.random.default_rng(seed)

    def noise(*shape: int) -> Float32:
        return random.normal(size=shape).astype(np.float32)

    films = noise(THEMES, DIMENSION)[random.integers(THEMES, size=FILMS)]
    films += 0.8 * noise(FILMS, DIMENSION)
    vectors: Float32 = np.repeat(films, count // FILMS, 0) + 0.7 * noise(count, DIMENSION)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _near(vectors: Float32, seed: int) -> Float32:
    """Of each scene another vector: its best frame is like the scene, and not the same."""
    random = np.random.default_rng(seed)
    near: Float32 = vectors + random.normal(size=vectors.shape).astype(np.float32) * np.float32(
        FRAME_NOISE / np.sqrt(DIMENSION)
    )
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    return near


def fill_library(dsn: str, *, kinds: tuple[str, ...] = ("scene",), texts: bool = False) -> Library:
    """Put the library in; with texts, its scenes and films have words as well, and labels."""
    count = FILMS * SCENES_PER_FILM
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("set search_path = public, extensions")
        admin.execute(
            "insert into media_items (server, item_id, state, title, kind) "
            "select 'folder', n::text, 'analyzed', 'Film ' || n, 'movie' "
            "from generate_series(1, %s) n",
            [FILMS],
        )
        admin.execute(
            "insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, "
            "embedding_model, shots, mood_curve, models, missing_models, warnings, seconds, "
            "saved_at) select id, 1, '', 'p', 1, %s, '[]', '[]', '{}', '{}', '{}', '{}', now() "
            "from media_items",
            [MODEL],
        )
        ids = [n for (n,) in admin.execute("select id from media_items order by id").fetchall()]
        if texts:
            fill_texts(admin, ids, SCENES_PER_FILM)
        else:
            _fill_scenes(admin)
        stored = [make_vectors(count, 0)]
        stored += [_near(stored[0], seed) for seed in range(1, len(kinds))]
        with (
            admin.cursor() as cursor,
            cursor.copy(
                "copy scene_embeddings (media_item_id, position, kind, model, dimension, "
                "embedding) from stdin (format binary)"
            ) as copy,
        ):
            copy.write(_binary(ids, dict(zip(kinds, stored, strict=True))))
        admin.execute("vacuum analyze")
    rounded = tuple(vectors.astype(np.float16).astype(np.float32) for vectors in stored)
    return Library(vectors=rounded[0], ids=ids, by_kind=rounded)


def _fill_scenes(admin: psycopg.Connection[Any]) -> None:
    admin.execute(
        "insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, "
        "quality, tags) select id, n, n * 60, n * 60 + 60, n * 60 + 30, 1, '{}' "
        "from media_items, generate_series(0, %s) n",
        [SCENES_PER_FILM - 1],
    )


def _binary(ids: list[int], stored: dict[str, Float32]) -> bytes:
    """Postgres' binary form of rows; halfvec is its length, 16 unused bits and numbers."""
    model = MODEL.encode()
    parts = [b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)]
    for name, vectors in stored.items():
        kind, halves = name.encode(), vectors.astype(">f2")
        for number, half in enumerate(halves):
            film, position = divmod(number, SCENES_PER_FILM)
            parts.append(struct.pack(">hiqii", 6, 8, ids[film], 4, position))
            parts.append(
                struct.pack(">i", len(kind)) + kind + struct.pack(">i", len(model)) + model
            )
            parts.append(struct.pack(">iiiHH", 4, DIMENSION, 4 + 2 * DIMENSION, DIMENSION, 0))
            parts.append(half.tobytes())
    parts.append(struct.pack(">h", -1))
    return b"".join(parts)
