"""What a projection is trained on, and how it is judged."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.exports.pairs import hash_pairs, read_captions, read_pairs
from adapters.exports.retrieval import measure
from service.errors import ConfigurationError


def write_table(directory, *, sounds: int = 20, captions: int = 5, header: str = "audio,caption"):
    directory.mkdir(exist_ok=True)
    rows = [header]
    for sound in range(sounds):
        (directory / f"{sound}.wav").write_bytes(bytes([sound]))
        rows += [f'{sound}.wav,"sound {sound}, caption {number}"' for number in range(captions)]
    table = directory / "captions.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


def test_a_sound_may_have_several_captions(tmp_path):
    pairs = read_pairs(write_table(tmp_path))
    assert len(pairs) == 100
    assert pairs[4].path == pairs[0].path == tmp_path.resolve() / "0.wav"
    assert pairs[4].caption == "sound 0, caption 4"


@pytest.mark.parametrize("header", ["file_name,caption", "caption_id,caption", "audio,text"])
def test_columns_are_found_by_name_or_named(tmp_path, header):
    table = write_table(tmp_path, header=header)
    if header == "file_name,caption":
        assert len(read_pairs(table)) == 100
    else:
        with pytest.raises(ConfigurationError, match=r"has the columns .*wanted are audio and"):
            read_pairs(table)


@pytest.mark.parametrize("name", ["../outside.wav", "/etc/passwd", "link.wav", "", "."])
def test_files_outside_of_the_tables_directory_are_not_read(tmp_path, name):
    table = write_table(tmp_path / "data")
    (tmp_path / "outside.wav").write_bytes(b"secret")
    (tmp_path / "data/link.wav").symlink_to(tmp_path / "outside.wav")
    table.write_text(table.read_text() + f"{name},a sound\n")
    with pytest.raises(ConfigurationError, match=r"line 102: .* is not inside"):
        read_pairs(table)


def test_a_file_that_is_not_there_is_named_with_its_line(tmp_path):
    table = write_table(tmp_path)
    table.write_text(table.read_text() + "lost.wav,a sound\n")
    with pytest.raises(ConfigurationError, match=r"line 102: there is no file 'lost\.wav'"):
        read_pairs(table)


@pytest.mark.parametrize(("sounds", "captions"), [(99, 1), (19, 6)])
def test_too_few_pairs_are_refused(tmp_path, sounds, captions):
    with pytest.raises(ConfigurationError, match="at least 100 of 20"):
        read_pairs(write_table(tmp_path, sounds=sounds, captions=captions))


def test_repeated_captions_count_once(tmp_path):
    file = tmp_path / "captions.txt"
    lines = [f"caption {number}" for number in range(100)]
    file.write_text("\n\n".join([*lines, *lines]), encoding="utf-8")
    assert read_captions(file) == lines
    file.write_text("\n".join(lines[:99] * 3), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="99 captions that differ"):
        read_captions(file)


def test_the_hash_tells_other_sounds_apart_but_not_other_places(tmp_path):
    here, there = (read_pairs(write_table(tmp_path / name)) for name in ("here", "there"))
    before = hash_pairs(here)
    assert hash_pairs(there) == before
    here[0].path.write_bytes(b"another sound")
    assert hash_pairs(here) != before


def test_recall_counts_the_rank_of_the_best_right_one():
    sounds = np.eye(3, dtype=np.float32)
    texts = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0.8, 0.6]], dtype=np.float32)
    found = measure(sounds, texts, np.arange(3))
    # Sound 1 finds both other texts as near as its own: a draw does not count. Text 2 lies nearer
    # to sound 1.
    assert found.clap_to_clip == pytest.approx({1: 2 / 3, 5: 1.0, 10: 1.0})
    assert found.clip_to_clap == pytest.approx({1: 2 / 3, 5: 1.0, 10: 1.0})


def test_any_caption_of_a_sound_is_right():
    sounds = np.repeat(np.eye(2, dtype=np.float32), 2, axis=0)
    texts = np.array([[0, 1], [1, 0], [0.6, 0.8], [0.8, 0.6]], dtype=np.float32)
    found = measure(sounds, texts, np.array([0, 0, 1, 1]))
    assert found.clap_to_clip[1] == 0.5  # sound 0 finds its second caption; sound 1 the first's
    assert found.clip_to_clap[1] == 0.5


def test_equal_vectors_find_nothing():
    found = measure(np.ones((20, 2), np.float32), np.ones((20, 2), np.float32), np.arange(20))
    assert set(found.clap_to_clip.values()) == {0.0}
