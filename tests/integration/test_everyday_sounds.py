"""Real recordings through reader, YAMNet and tags (ESC-10, ../shared/media)."""

from __future__ import annotations

import pytest

from service.detection.tags import find_sound_tags
from service.vocabulary import load_vocabulary
from tests.support.esc10 import SOUND_TAGS, hear_clip, judge_clips, open_yamnet

pytestmark = pytest.mark.shared

VOCABULARY = load_vocabulary()


async def test_nine_of_ten_everyday_sounds_get_their_tag_first(shared, tmp_path):
    tagger = await open_yamnet(shared, tmp_path)
    verdicts = list(judge_clips(shared, tagger, VOCABULARY))
    assert len(verdicts) == 120
    assert sum(verdict.is_right for verdict in verdicts) >= 0.9 * 120
    assert sum(verdict.is_reported for verdict in verdicts) >= 0.9 * 120
    assert sum(verdict.false_count for verdict in verdicts) <= 0.15 * 120


@pytest.mark.parametrize("name", ["198-209-0000.ogg", "*Sugar_Plum_Fairy.ogg", "*Vibe_Ace.ogg"])
async def test_no_faint_sound_is_found_in_speech_and_music(shared, tmp_path, name):
    tagger = await open_yamnet(shared, tmp_path)
    (path,) = (shared / "media/audio/music").glob(name)
    tags = {tag.label for tag in find_sound_tags(hear_clip(path, tagger), VOCABULARY)}
    assert tags & {"speech", "music"}
    assert not tags & set(SOUND_TAGS.values())
