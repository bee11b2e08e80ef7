"""Model files come from the Hub, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

from adapters.models.checksums import Checksums
from adapters.models.families import CLIP
from adapters.models.hub import ModelHub, Verdict, _bar
from adapters.models.spec import Model, ModelFile, Role
from service.errors import MissingModelError
from tests.support.model_hub import COMMIT, HubServer, serve_hub
from tests.support.models import colour_model, files_of

ROLES = {
    "vision_model.onnx": Role.IMAGE_TOWER,
    "text_model.onnx": Role.TEXT_TOWER,
    "tokenizer.json": Role.TOKENIZER,
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    return dict(files_of(colour_model(tmp_path / "made")))


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[HubServer]:
    with serve_hub(files) as server:
        yield server


@pytest.fixture
def model(files: dict[str, bytes]) -> Model:
    return Model(
        name="colours",
        summary="a toy",
        spec=CLIP,
        repository="toys/colours",
        revision=COMMIT,
        files=tuple(
            ModelFile(
                role=role,
                path=path,
                size_bytes=len(files[path]),
                sha256=hashlib.sha256(files[path]).hexdigest(),
            )
            for path, role in ROLES.items()
        ),
    )


@pytest.fixture
def hub(tmp_path: Path, server: HubServer) -> ModelHub:
    return ModelHub(tmp_path / "models", endpoint=server.url, timeout_s=5)


def downloads(server: HubServer) -> list[str]:
    return [request for request in server.requests if request.startswith("GET")]


def test_a_model_is_downloaded_once_and_found_again(hub, model, server, files):
    hub.fetch(model)
    paths = hub.paths(model)
    assert {role: path.read_bytes() for role, path in paths.items()} == {
        role: files[path] for path, role in ROLES.items()
    }
    assert len(downloads(server)) == 3
    server.requests.clear()
    hub.fetch(model)
    hub.paths(model)
    assert server.requests == []


def test_nothing_but_the_files_of_the_row_is_asked_for(hub, model, server):
    server.files["pytorch_model.bin"] = b"1" * 1000
    hub.fetch(model)
    assert not [request for request in server.requests if "pytorch" in request]


def test_progress_is_reported_up_to_the_last_byte(hub, model, files):
    seen: dict[str, list[int]] = {}
    hub.fetch(model, lambda file, done, total: seen.setdefault(file, []).append(done))
    assert {file: steps[-1] for file, steps in seen.items()} == {
        path: len(content) for path, content in files.items()
    }


def test_progress_of_a_chunked_download_is_the_one_that_is_ahead():
    seen: list[tuple[str, int, int | None]] = []
    file = ModelFile(role=Role.TAGGER, path="tagger.onnx")
    bar = _bar(file, lambda *step: seen.append(step))
    reporter = XetDownloadProgressReporter(
        reconstruction_desc="", transfer_desc="", total=100, log_level=30, tqdm_class=bar
    )
    with reporter:
        for written, received in ((0, 30), (10, 60), (60, 70), (100, 80)):
            reporter.update_progress(
                SimpleNamespace(
                    total_bytes=100,
                    total_bytes_completed=written,
                    total_bytes_completion_rate=None,
                    total_transfer_bytes=80,
                    total_transfer_bytes_completed=received,
                    total_transfer_bytes_completion_rate=None,
                )
            )
    assert seen == [("tagger.onnx", done, 100) for done in (30, 60, 70, 100)]


def test_a_download_prints_nothing(hub, model, capfd):
    hub.fetch(model)
    assert capfd.readouterr() == ("", "")


def test_a_broken_connection_is_resumed_where_it_broke(hub, model, server, files):
    chunk_bytes = constants.DOWNLOAD_CHUNK_SIZE  # what the library keeps of a broken download
    server.files["tokenizer.json"] = content = os.urandom(chunk_bytes + 900_000)
    broken = replace(model.files[2], size_bytes=len(content), sha256=_sha256(content))
    model = replace(model, files=(broken,))
    server.break_after_bytes = chunk_bytes + 500_000
    hub.fetch(model)
    assert hub.paths(model)[Role.TOKENIZER].read_bytes() == content
    assert [request.partition("bytes=")[2] for request in downloads(server)] == [
        "",
        f"{chunk_bytes}-",
    ]


def test_a_file_that_the_repository_lacks_is_named_with_the_way_out(hub, model, server, tmp_path):
    del server.files["text_model.onnx"]
    with pytest.raises(MissingModelError) as caught:
        hub.fetch(model)
    message = str(caught.value)
    assert "colours: fetching text_model.onnx of toys/colours failed" in message
    assert "moodreel models pull colours" in message
    assert str(tmp_path / "models" / "colours") in message
    assert caught.value.model == "colours"


def test_what_came_is_kept_when_a_later_file_fails(hub, model, server, files):
    text = server.files.pop("text_model.onnx")
    with pytest.raises(MissingModelError):
        hub.fetch(model)
    server.files["text_model.onnx"] = text
    server.requests.clear()
    hub.fetch(model)
    assert not [request for request in downloads(server) if "vision" in request]


def test_other_content_than_published_is_refused_and_replaced_by_the_next_pull(
    hub, model, server, files
):
    right = server.files["tokenizer.json"]
    server.files["tokenizer.json"] = right[:-1] + b"?"
    with pytest.raises(MissingModelError, match=r"is not the published file.*fetch it again"):
        hub.fetch(model)
    with pytest.raises(MissingModelError, match="is not the published file"):
        hub.paths(model)
    server.files["tokenizer.json"] = right
    hub.fetch(model)
    assert hub.paths(model)[Role.TOKENIZER].read_bytes() == right


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_damage_on_the_disk_is_noticed_and_mended(hub, model, damage):
    hub.fetch(model)
    real = hub.paths(model)[Role.IMAGE_TOWER].resolve()
    whole = real.read_bytes()
    real.write_bytes(whole[:-10] if damage == "truncated" else whole[:-1] + b"?")
    with pytest.raises(MissingModelError, match="models pull colours"):
        hub.paths(model)
    hub.fetch(model)
    assert hub.paths(model)[Role.IMAGE_TOWER].read_bytes() == whole


def test_force_fetches_what_nobody_can_judge(hub, model, server):
    model = replace(model, files=tuple(replace(file, sha256=None) for file in model.files))
    hub.fetch(model)
    real = hub.paths(model)[Role.TOKENIZER].resolve()
    whole = real.read_bytes()
    real.write_bytes(b"?" + whole[1:])
    hub.fetch(model)
    assert hub.paths(model)[Role.TOKENIZER].read_bytes() != whole
    hub.fetch(model, force=True)
    assert hub.paths(model)[Role.TOKENIZER].read_bytes() == whole


def test_offline_nothing_is_asked_and_the_message_says_why(tmp_path, model, server):
    hub = ModelHub(tmp_path / "models", offline=True, endpoint=server.url)
    with pytest.raises(MissingModelError, match=r"MOODREEL_OFFLINE.*models pull colours"):
        hub.fetch(model)
    assert server.requests == []


def test_offline_what_is_here_is_used(tmp_path, hub, model, server):
    hub.fetch(model)
    offline = ModelHub(tmp_path / "models", offline=True)
    offline.fetch(model)
    assert set(offline.paths(model)) == set(ROLES.values())


def test_no_connection_is_known_at_once(tmp_path, model, monkeypatch):
    def no_patience(seconds: float) -> None:
        raise AssertionError("the library went on trying")

    monkeypatch.setattr("time.sleep", no_patience)
    hub = ModelHub(tmp_path / "models", endpoint="http://127.0.0.1:9", timeout_s=2)
    with pytest.raises(MissingModelError, match=r"fetching vision_model\.onnx .*failed"):
        hub.fetch(model)


def test_a_server_that_says_nothing_is_given_up(tmp_path, model):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        hub = ModelHub(tmp_path / "models", endpoint=url, timeout_s=0.2)
        with pytest.raises(MissingModelError, match=r"fetching vision_model\.onnx .*timed out"):
            hub.fetch(model)


def test_a_models_directory_that_cannot_be_written_is_told(tmp_path, model, server):
    (tmp_path / "models").write_text("a file", encoding="utf-8")
    hub = ModelHub(tmp_path / "models", endpoint=server.url)
    with pytest.raises(MissingModelError, match=r"fetching vision_model\.onnx .*failed"):
        hub.fetch(model)


def test_files_put_there_by_hand_are_used_without_the_network(tmp_path, model, files):
    hub = ModelHub(tmp_path / "models", offline=True)
    placed = tmp_path / "models" / "colours"
    placed.mkdir(parents=True)
    for path, content in files.items():
        (placed / path).write_bytes(content)
    assert hub.paths(model)[Role.TEXT_TOWER] == placed / "text_model.onnx"


def test_a_wrong_file_put_there_by_hand_is_left_alone(hub, tmp_path, model, server):
    placed = tmp_path / "models" / "colours"
    placed.mkdir(parents=True)
    (placed / "tokenizer.json").write_text("mine", encoding="utf-8")
    with pytest.raises(MissingModelError, match="replace it, or remove it"):
        hub.fetch(model)
    assert (placed / "tokenizer.json").read_text(encoding="utf-8") == "mine"
    assert server.requests == []


def test_a_file_without_a_published_checksum_is_used_and_called_not_pinned(hub, model):
    model = replace(
        model,
        files=tuple(replace(file, sha256=None, size_bytes=None) for file in model.files),
    )
    hub.fetch(model)
    assert len(hub.paths(model)) == 3
    checks = hub.check(model, fresh=True)
    assert {check.verdict for check in checks} == {Verdict.NOT_PINNED}
    assert all(check.sha256 for check in checks)


def test_checking_says_of_every_file_what_is_known(hub, model, server):
    server.files.pop("text_model.onnx")
    with pytest.raises(MissingModelError):
        hub.fetch(model)
    verdicts = {check.file.path: check.verdict for check in hub.check(model, fresh=True)}
    assert verdicts == {
        "vision_model.onnx": Verdict.OK,
        "text_model.onnx": Verdict.MISSING,
        "tokenizer.json": Verdict.MISSING,
    }


def test_a_checksum_is_computed_once_for_as_long_as_the_file_does_not_change(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"first")
    os.utime(path, ns=(1, 1))
    assert Checksums(tmp_path).of(path) == _sha256(b"first")
    path.write_bytes(b"other")
    os.utime(path, ns=(1, 1))
    assert Checksums(tmp_path).of(path) == _sha256(b"first"), "same size and time: remembered"
    assert Checksums(tmp_path).of(path, fresh=True) == _sha256(b"other")
    path.write_bytes(b"third")
    os.utime(path, ns=(2, 2))
    assert Checksums(tmp_path).of(path) == _sha256(b"third")


def test_a_damaged_memory_of_checksums_is_forgotten(tmp_path):
    (tmp_path / "checksums.json").write_text("[1, 2", encoding="utf-8")
    (tmp_path / "file").write_bytes(b"content")
    assert Checksums(tmp_path).of(tmp_path / "file") == _sha256(b"content")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
