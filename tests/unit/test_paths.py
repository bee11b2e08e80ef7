"""From the server's paths to ours, and never out of the allowed roots."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.media_servers.folder import FolderSettings
from adapters.media_servers.jellyfin import JellyfinSettings
from adapters.media_servers.paths import PathMapping, local_candidates, locate, resolve_inside


def mapping(server_prefix, local_prefix):
    return PathMapping(server_prefix=server_prefix, local_prefix=Path(local_prefix))


def first_candidate(server_path, *mappings):
    return str(next(iter(local_candidates(server_path, mappings))))


@pytest.mark.parametrize(
    ("server_path", "server_prefix", "expected"),
    [
        ("/media/a.mkv", "/media", "/here/a.mkv"),
        ("/media/a.mkv", "/media/", "/here/a.mkv"),
        ("/media/films/b/a.mkv", "/media/films", "/here/b/a.mkv"),
        ("D:\\Films\\b\\a.mkv", "D:\\Films", "/here/b/a.mkv"),
        ("d:\\films\\A.mkv", "D:/Films", "/here/A.mkv"),
        ("\\\\nas\\films\\a.mkv", "\\\\nas\\films", "/here/a.mkv"),
        ("\\\\NAS\\films\\a.mkv", "//nas/films", "/here/a.mkv"),
        ("/media/AC\\DC.mkv", "/media", "/here/AC\\DC.mkv"),
        ("/a.mkv", "/", "/here/a.mkv"),
    ],
)
def test_a_prefix_is_replaced(server_path, server_prefix, expected):
    assert first_candidate(server_path, mapping(server_prefix, "/here")) == expected


@pytest.mark.parametrize(
    ("server_path", "server_prefix"),
    [
        ("/data/movies-archive/a.mkv", "/data/movies"),
        ("/data/Movies/a.mkv", "/data/movies"),
        ("/other/data/movies/a.mkv", "/data/movies"),
    ],
)
def test_a_prefix_ends_at_a_folder(server_path, server_prefix):
    candidates = local_candidates(server_path, [mapping(server_prefix, "/here")])

    assert [str(path) for path in candidates] == [server_path]


def test_the_longest_prefix_goes_first_and_all_are_tried():
    mappings = [mapping("/media", "/one"), mapping("/media/films", "/two"), mapping("/media", "/x")]

    candidates = [str(path) for path in local_candidates("/media/films/a.mkv", mappings)]

    expected = ["/two/a.mkv", "/one/films/a.mkv", "/x/films/a.mkv", "/media/films/a.mkv"]
    assert candidates == expected


@pytest.mark.parametrize("form_on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("form_of_server", ["NFC", "NFD"])
def test_an_accent_is_found_in_either_unicode_form(tmp_path, form_on_disk, form_of_server):
    on_disk = tmp_path / unicodedata.normalize(form_on_disk, "Amélie.mkv")
    on_disk.touch()
    asked = unicodedata.normalize(form_of_server, "/médias/Amélie.mkv")

    found = locate(asked, [mapping("/médias", tmp_path)], [tmp_path])

    assert found == on_disk.resolve()


def test_a_file_on_the_second_disk_is_found(tmp_path):
    first, second = tmp_path / "disk1", tmp_path / "disk2"
    first.mkdir()
    second.mkdir()
    (second / "a.mkv").touch()

    found = locate(
        "/media/a.mkv", [mapping("/media", first), mapping("/media", second)], [tmp_path]
    )

    assert found == second / "a.mkv"


def test_the_same_path_on_both_sides_needs_only_an_allowed_root(tmp_path):
    file = tmp_path / "a.mkv"
    file.touch()

    assert locate(str(file), [], [tmp_path]) == file
    assert locate(str(file), [], []) is None


@pytest.mark.parametrize(
    "server_path",
    ["/media/../secret.txt", "/media/sub/../../secret.txt", "/media/./../secret.txt"],
)
def test_dots_do_not_lead_out_of_the_allowed_roots(tmp_path, server_path):
    (tmp_path / "secret.txt").touch()
    root = tmp_path / "media"
    (root / "sub").mkdir(parents=True)

    assert locate(server_path, [mapping("/media", root)], [root]) is None


def test_a_link_does_not_lead_out_of_the_allowed_roots(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.touch()
    root = tmp_path / "media"
    root.mkdir()
    (root / "a.mkv").symlink_to(secret)

    assert locate("/media/a.mkv", [mapping("/media", root)], [root]) is None
    assert locate("/media/a.mkv", [mapping("/media", root)], [tmp_path]) == secret


def test_a_neighbour_with_a_longer_name_is_not_inside(tmp_path):
    neighbour = tmp_path / "media-private"
    neighbour.mkdir()
    (neighbour / "a.mkv").touch()

    assert resolve_inside(neighbour / "a.mkv", [tmp_path / "media"]) is None


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "missing", "loop"])
def test_what_cannot_be_resolved_is_not_there(tmp_path, path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    assert resolve_inside(tmp_path / path, [tmp_path]) is None


def test_a_directory_is_no_file(tmp_path):
    assert locate(str(tmp_path), [], [tmp_path]) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_as_good_as_not_there(tmp_path):
    file = tmp_path / "a.mkv"
    file.touch(mode=0o000)

    assert locate(str(file), [], [tmp_path]) is None


def test_the_path_map_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("JELLYFIN_PATH_MAP", "/media=/mnt/media, D:\\Films=/mnt/films,")

    assert JellyfinSettings.read().path_map == (
        mapping("/media", "/mnt/media"),
        mapping("D:\\Films", "/mnt/films"),
    )


def test_the_path_map_may_be_a_list_in_the_settings_file(monkeypatch, tmp_path):
    file = tmp_path / "moodreel.toml"
    file.write_text('jellyfin_path_map = ["/a,b=/mnt/a, b", "/c=/mnt/c"]')
    monkeypatch.setenv("MOODREEL_CONFIG", str(file))

    expected = (mapping("/a,b", "/mnt/a, b"), mapping("/c", "/mnt/c"))
    assert JellyfinSettings.read().path_map == expected


@pytest.mark.parametrize("text", ["/media", "/media=", "=/mnt", "/media=relative/path"])
def test_a_wrong_pair_in_the_path_map_is_refused(text):
    with pytest.raises(ValidationError):
        JellyfinSettings.model_validate({"JELLYFIN_PATH_MAP": text})


@pytest.mark.parametrize("separator", [",", os.pathsep, " , "])
def test_directories_are_separated_by_commas_or_as_the_system_does(monkeypatch, separator):
    monkeypatch.setenv("MOODREEL_MEDIA_DIRS", f"/a b{separator}/c")

    directories = FolderSettings.read().media_dirs

    assert [PurePosixPath(path) for path in directories] == [
        PurePosixPath("/a b"),
        PurePosixPath("/c"),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "jellyfin:8096",
        "ftp://x",
        "http://",
        "http://u:p@x",
        "http://:p@x",
        "http://x?a=1",
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValidationError):
        JellyfinSettings.model_validate({"JELLYFIN_URL": url})


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(st.sampled_from(["..", ".", "", "link", "in.mkv", "out.mkv", "media", "x" * 300]))
    .map("/".join)
    .map("/media/{}".format)
    | st.text()
)
def test_no_path_leads_out_of_the_root(tmp_path, server_path):
    root = tmp_path / "media"
    root.mkdir(exist_ok=True)
    (root / "in.mkv").touch()
    (tmp_path / "out.mkv").touch()
    if not (root / "link").is_symlink():
        (root / "link").symlink_to(tmp_path)

    found = locate(server_path, [mapping("/media", root)], [root])

    assert found in {None, root / "in.mkv"}
