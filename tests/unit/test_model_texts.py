import numpy as np
import pytest

from adapters.models.texts import TextMemory


class Tower:
    """Encodes a text as its length, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, sentences):
        self.asked += sentences
        return np.array([[len(text), 1.0] for text in sentences], np.float32)


def test_a_text_is_encoded_once_for_all_processes(tmp_path):
    path, tower = tmp_path / "texts" / "clip.npz", Tower()
    first = TextMemory(path).recall(["a", "bb", "a"], tower.encode)
    later = TextMemory(path).recall(["ccc", "bb"], tower.encode)
    assert tower.asked == ["a", "bb", "ccc"]
    assert first[:, 0].tolist() == [1, 2, 1]
    assert later[:, 0].tolist() == [3, 2]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 and then nothing"])
def test_a_damaged_file_is_made_again(tmp_path, content):
    path, tower = tmp_path / "clip.npz", Tower()
    path.write_bytes(content)
    assert TextMemory(path).recall(["a"], tower.encode).tolist() == [[1, 1]]
    assert TextMemory(path).recall(["a"], tower.encode).tolist() == [[1, 1]]
    assert tower.asked == ["a"]


def test_a_place_that_cannot_be_written_costs_no_job(tmp_path):
    (tmp_path / "file").touch()
    memory = TextMemory(tmp_path / "file" / "clip.npz")
    assert memory.recall(["a"], Tower().encode).tolist() == [[1, 1]]


def test_memory_is_bounded(tmp_path):
    memory, tower = TextMemory(tmp_path / "clip.npz", max_texts=2), Tower()
    memory.recall(["a", "bb"], tower.encode)
    for _ in range(2):
        assert memory.recall(["ccc", "bb"], tower.encode)[:, 0].tolist() == [3, 2]
    assert tower.asked == ["a", "bb", "ccc", "ccc"]
