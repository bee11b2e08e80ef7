import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from adapters.models.texts import TextMemory
from tests.support.service import ROOT


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


def test_what_was_not_asked_for_the_longest_is_forgotten_first(tmp_path):
    memory, tower = TextMemory(tmp_path / "clip.npz", max_texts=2), Tower()
    memory.recall(["a"], tower.encode)
    memory.recall(["bb"], tower.encode)
    memory.recall(["a"], tower.encode)
    memory.recall(["ccc"], tower.encode)
    assert tower.asked == ["a", "bb", "ccc"]
    TextMemory(tmp_path / "clip.npz").recall(["a", "ccc"], tower.encode)
    assert tower.asked == ["a", "bb", "ccc"]
    memory.recall(["bb"], tower.encode)
    assert tower.asked == ["a", "bb", "ccc", "bb"]


def test_more_texts_than_it_can_hold_are_all_answered(tmp_path):
    memory = TextMemory(tmp_path / "clip.npz", max_texts=2)
    assert memory.recall(["a", "bb", "ccc"], Tower().encode)[:, 0].tolist() == [1, 2, 3]


def test_what_one_process_learns_another_that_runs_already_knows(tmp_path):
    tower = Tower()
    first, second = TextMemory(tmp_path / "clip.npz"), TextMemory(tmp_path / "clip.npz")
    first.recall(["a"], tower.encode)
    second.recall(["bb"], tower.encode)
    first.recall(["ccc", "bb"], tower.encode)
    assert tower.asked == ["a", "bb", "ccc"]
    assert len(read(tmp_path / "clip.npz")) == 3, "neither overwrote the other"


def test_what_another_process_writes_meanwhile_is_kept(tmp_path):
    first, second, tower = (
        TextMemory(tmp_path / "clip.npz"),
        TextMemory(tmp_path / "clip.npz"),
        Tower(),
    )

    def encode_while_the_other_learns(sentences):
        second.recall(["bb"], tower.encode)
        return tower.encode(sentences)

    first.recall(["a"], encode_while_the_other_learns)
    assert len(read(tmp_path / "clip.npz")) == 2


def test_one_query_does_not_write_a_large_file_anew(tmp_path):
    memory, tower = TextMemory(tmp_path / "clip.npz"), Tower()
    memory.recall([f"sentence {index}" for index in range(300)], tower.encode)
    memory.recall(["a query"], tower.encode)
    assert len(read(tmp_path / "clip.npz")) == 300
    memory.recall(["a query", "another", "a third", "a fourth"], tower.encode)
    assert len(read(tmp_path / "clip.npz")) == 304
    assert len(tower.asked) == 304


def test_known_texts_do_not_wait_for_new_ones(tmp_path):
    memory, known = TextMemory(tmp_path / "clip.npz"), threading.Event()

    def encode_slowly(sentences):
        assert known.wait(10), "the known text was held up"
        return Tower().encode(sentences)

    memory.recall(["a"], Tower().encode)
    slow = threading.Thread(target=memory.recall, args=(["bb"], encode_slowly))
    slow.start()
    assert memory.recall(["a"], Tower().encode).tolist() == [[1, 1]]
    known.set()
    slow.join()


def test_two_that_want_the_same_new_text_encode_it_once(tmp_path):
    memory, tower = TextMemory(tmp_path / "clip.npz"), Tower()
    threads = [
        threading.Thread(target=memory.recall, args=(["a", "bb"], tower.encode)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tower.asked == ["a", "bb"]


def test_a_process_that_dies_while_it_writes_leaves_the_old_file(tmp_path):
    path, tower = tmp_path / "clip.npz", Tower()
    TextMemory(path).recall(["a"], tower.encode)
    program = f"""
import os, numpy as np
from adapters.models.texts import TextMemory
memory = TextMemory(__import__("pathlib").Path({str(path)!r}))
def die(*args, **named): args[0].write(b"PK half"), args[0].flush(), os._exit(9)
np.savez = die
memory.recall(["bb"], lambda texts: np.ones((len(texts), 2), np.float32))
"""
    died = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert died.returncode == 9
    assert TextMemory(path).recall(["a"], tower.encode).tolist() == [[1, 1]]
    assert tower.asked == ["a"]


def test_texts_of_models_that_went_are_deleted_in_the_end(tmp_path):
    old, young, draft = (tmp_path / name for name in ("old.npz", "young.npz", "dead.tmp"))
    for path in (old, young, draft):
        path.touch()
    for path in (old, draft):
        os.utime(path, (0, 0))
    TextMemory(tmp_path / "clip.npz").recall(["a"], Tower().encode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.npz", "young.npz"]


def read(path):
    with np.load(path) as file:
        return file["keys"]
