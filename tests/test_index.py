"""The index: what is known of each file, kept over restarts and damage."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import StartPython
from drawing import draw
from looking import Open, items_below, look, place_at
from processes import eventually

import photos
import renditions

KNOWN = renditions.Info(
    key="k", kind="photo", width=3, taken="2024-05-06T07:08:09", latitude=-0.5
)


def test_facts_that_no_line_can_tell_come_from_no_worker() -> None:
    odd = dataclasses.replace(KNOWN, taken="some day")
    assert renditions.decode_reply(renditions.encode_reply(odd)) is None
    assert renditions.decode_reply(renditions.encode_reply(KNOWN)) == KNOWN


def test_a_worker_tells_only_what_is_not_as_by_default() -> None:
    info = renditions.with_facts(
        KNOWN, caption="", place="", crc=-1, retry=renditions.NEVER
    )
    facts = json.loads(renditions.encode_reply(info))
    assert sorted(facts) == ["key", "kind", "latitude", "taken", "width"]


def test_what_is_known_of_many_files_is_understood_again_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "INFOS_KEPT", 2)
    index = photos.Index(tmp_path)
    for iso in range(9):
        index.put(f"file{iso}", dataclasses.replace(KNOWN, iso=iso))
    for known in (index, photos.Index(tmp_path)):
        infos = [known.get(f"file{iso}") for iso in range(9)]
        assert infos == [dataclasses.replace(KNOWN, iso=iso) for iso in range(9)]


def test_a_line_that_stands_where_an_older_one_stood_is_read_anew(tmp_path: Path) -> None:
    """Pages show no checksum, so that the sums of both lines are alike."""
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    index.put("gone", KNOWN)
    index.keep({"one"})
    assert index.get("one") == KNOWN
    checked = dataclasses.replace(KNOWN, crc=77, crc_without_place=77)
    index.put("one", checked)
    index.put("gone", KNOWN)
    index.keep({"one"})
    assert index.get("one") == index.get("one", once=True) == checked


def test_what_has_changed_is_counted_once_for_all_albums_that_ask(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    index.put("two", KNOWN)
    changed = index.changed_since(0)
    assert changed == {"one", "two"}
    assert index.changed_since(0) is changed
    assert index.changed_since(1) == {"two"}
    index.forget("three")
    assert index.changed_since(0) == {"one", "two", "three"}
    assert index.changed_since(3) == set()


def test_the_index_is_there_again_after_a_restart(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    before = index.changes
    index.put("one", renditions.Info(key="old"))
    index.put("one", KNOWN)
    index.put(
        "moment",
        renditions.Info(problem="it crashes the decoder", retry=renditions.AT_START),
    )
    assert index.changes > before
    assert index.get("moment")
    index = photos.Index(tmp_path)
    assert (index.get("one"), index.get("moment"), index.get("other")) == (
        KNOWN,
        None,
        None,
    )


@pytest.mark.parametrize(
    "damage",
    [
        b'["torn", {"key": "kk',
        b'["torn", {"ke\n',
        b"\0\0\0\0\0\0\0\0",
        b"\xff\xfe\xfd\n",
        b"[]\n7\n[[], 5]\n",
    ],
)
def test_a_damaged_index_costs_the_damaged_lines_alone(
    damage: bytes, tmp_path: Path
) -> None:
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    with open(index._path, "ab") as file:
        file.write(damage)
    index = photos.Index(tmp_path)
    assert index.get("one") == KNOWN
    index.put("two", KNOWN)
    index = photos.Index(tmp_path)
    assert index.get("one") == index.get("two") == KNOWN
    assert index.get("torn") is None


def test_an_index_whose_beginning_is_damaged_keeps_the_rest(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    index.put("two", KNOWN)
    index._path.write_bytes(b"\0\0\0" + index._path.read_bytes()[4:])
    index = photos.Index(tmp_path)
    assert (index.get("one"), index.get("two")) == (None, KNOWN)


@pytest.mark.parametrize(
    "damage", ['{"taken": "2024-99-01T00:00:00"}', '{"width": "9"}', '{"kind": 7}']
)
def test_a_senseless_line_of_the_index_is_dropped(damage: str, tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    with open(index._path, "a") as file:
        file.write(f'\n["two", {damage}]')
    index = photos.Index(tmp_path)
    assert (index.get("one"), index.get("two")) == (KNOWN, None)


def test_a_line_of_the_index_is_understood_when_it_is_asked_for_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = photos.Index(tmp_path)
    for name in ("one", "two", "three"):
        index.put(name, KNOWN)
    asked = []

    def understand(fields: dict[str, object]) -> renditions.Info:
        asked.append(fields)
        return renditions.info_from(fields)

    monkeypatch.setattr(photos, "info_from", understand)
    index = photos.Index(tmp_path)
    assert not asked and index.count
    assert [index.get("one") for _ in range(3)] == [KNOWN] * 3
    assert len(asked) == 1
    index.keep({"one", "two"})  # without a look at them
    assert len(asked) == 1
    index = photos.Index(tmp_path)
    assert [index.get(name) for name in ("one", "two", "three")] == [KNOWN, KNOWN, None]


def test_what_is_as_usual_takes_no_memory(tmp_path: Path) -> None:
    photos.Index(tmp_path).put("one", KNOWN)
    known = photos.Index(tmp_path).get("one")
    assert known == KNOWN
    assert vars(known).keys() == {"key", "kind", "width", "taken", "latitude"}


def test_each_version_keeps_an_index_of_its_own_until_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = photos.Index(tmp_path)
    mine.put("one", KNOWN)
    monkeypatch.setattr(photos.PIL, "__version__", "99.0")
    other = photos.Index(tmp_path)
    assert other.get("one") is None
    other.put("two", KNOWN)
    mine.put("three", KNOWN)  # as a server that still runs during an upgrade
    assert photos.Index(tmp_path).get("three") is None
    monkeypatch.undo()
    again = photos.Index(tmp_path)
    assert again.get("one") and again.get("three") and not again.get("two")
    for path in (other._path, mine._path):
        os.utime(path, (time.time() - photos.INDEX_SECONDS - 60,) * 2)
    photos.Index(tmp_path)  # which is a use of it
    assert [*tmp_path.glob("index*")] == [mine._path]
    monkeypatch.setattr(photos.PIL, "__version__", "99.0")
    photos.Index(tmp_path)
    assert [*tmp_path.glob("index*")] == [mine._path]


def test_renditions_of_former_versions_go_with_their_index(tmp_path: Path) -> None:
    ours, former = tmp_path / renditions.RENDITIONS_FOLDER, tmp_path / "renditions-0"
    for folder in (ours, former):
        draw(folder / "ab" / "abc-320.webp")
    index = tmp_path / "index-0123.jsonl"
    index.touch()
    old = time.time() - photos.INDEX_SECONDS - 60
    for path in (ours, former):
        os.utime(path, (old, old))
    photos.Index(tmp_path)
    assert former.exists(), "somebody may go back to that version"
    other_clock = time.time() + 60
    os.utime(index, (other_clock, other_clock))
    photos.Index(tmp_path)
    assert index.exists(), "another server's clock is ahead"
    os.utime(index, (old, old))
    os.utime(former)
    photos.Index(tmp_path)
    assert former.exists() and not index.exists()
    os.utime(former, (old, old))
    photos.Index(tmp_path)
    assert not former.exists()
    assert (ours / "ab" / "abc-320.webp").exists()


@pytest.mark.parametrize("fact", ["caption", "keywords"])
def test_what_was_read_before_there_was_a_fact_is_read_again(
    fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = photos.Index(tmp_path)
    fields = {
        name: field
        for name, field in renditions.Info.__dataclass_fields__.items()
        if name != fact
    }
    monkeypatch.setattr(renditions.Info, "__dataclass_fields__", fields)
    assert photos.Index(tmp_path)._path != now._path


def test_what_another_reader_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.Index(tmp_path).put("film", KNOWN)
    monkeypatch.setattr(photos, "READER", photos.READER - 1)
    assert photos.Index(tmp_path).get("film") is None


def test_what_was_read_without_ffmpeg_is_read_again_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", os.fspath(tools))
    index = photos.Index(tmp_path)
    index.put("video", KNOWN)
    index = photos.Index(tmp_path)
    assert index.get("video")
    (tools / "ffmpeg").touch(mode=0o755)
    assert photos.Index(tmp_path).get("video") is None


def test_the_index_forgets_files_that_are_gone(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    for name in ("stays", "goes"):
        index.put(name, KNOWN)
    index.put("moment", renditions.Info(problem="late", retry=renditions.AT_START))
    index.keep({"stays", "moment"})
    assert (index.get("stays"), index.get("goes")) == (KNOWN, None)
    index.put("comes", KNOWN)
    index = photos.Index(tmp_path)
    assert [bool(index.get(name)) for name in ("stays", "goes", "comes", "moment")] == [
        True,
        False,
        True,
        False,
    ]


def put_thrice(index: photos.Index) -> set[str]:
    """Learn of forty files in turn their facts, their colours and their checksums."""
    names = {f"file{number}" for number in range(40)}
    for colour, crc in (("", -1), ("#123456", -1), ("#123456", 7)):
        for name in names:
            index.put(name, dataclasses.replace(KNOWN, colour=colour, crc=crc))
    return names


def test_the_memory_holds_where_facts_stand_and_not_the_facts(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    names = put_thrice(index)
    for known in (index, photos.Index(tmp_path)):
        assert known._entries.keys() == names
        assert {type(entry) for entry in known._entries.values()} == {int}


def test_an_index_that_holds_much_of_no_use_is_written_afresh(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    names = put_thrice(index)
    infos, facts = {name: index.get(name) for name in names}, index.sum_of(sorted(names))
    size = index._path.stat().st_size
    index.keep(names)
    assert index._path.stat().st_size < size / 2
    inode = index._path.stat().st_ino
    index.keep(names)  # which has nothing to do
    assert index._path.stat().st_ino == inode
    for known in (index, photos.Index(tmp_path)):
        assert {name: known.get(name) for name in names} == infos
        assert {name: known.get(name, once=True) for name in names} == infos
        assert known.sum_of(sorted(names)) == facts


@pytest.mark.parametrize("rewrites", [False, True])
def test_facts_outlive_the_file_that_somebody_deletes_or_writes_afresh(
    rewrites: bool, tmp_path: Path
) -> None:
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    if rewrites:
        other = photos.Index(tmp_path)
        other.put("other", KNOWN)
        other.keep({"other"})
    else:
        index._path.unlink()
    index.put("two", KNOWN)
    for _ in range(2):
        assert index.get("one") == index.get("one", once=True) == KNOWN
        assert index.get("two") == index.get("two", once=True) == KNOWN
        index.keep({"one", "two"})
    index = photos.Index(tmp_path)
    assert index.get("one") == index.get("two") == KNOWN


def test_what_only_half_fitted_on_the_disk_is_known_and_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.FileIO):
        def write(self, content: Any) -> int:
            return super().write(bytes(content)[:9])

    def open_on_full_disk(path: Path, *_: object, **__: object) -> io.FileIO:
        return FullDisk(path, "ab")

    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", open_on_full_disk)
        index.put("two", KNOWN)
    assert index.get("two") == KNOWN
    index.keep({"one", "two"})
    assert index.get("two") == photos.Index(tmp_path).get("two") == KNOWN


def test_an_index_that_cannot_be_written_is_kept_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = photos.Index(tmp_path)
    index._path.mkdir()
    index.put("one", KNOWN)
    index.put("two", KNOWN)
    index.keep({"one"})
    assert (index.get("one"), index.get("two")) == (KNOWN, None)
    assert caplog.text.count("cannot be written") == 1


READ_AT_THE_END = """
import atexit, pathlib, sys
atexit.register(lambda: print(index.get("one", once=True).key))  # called after what is registered later
import photos, renditions
index = photos.Index(pathlib.Path(sys.argv[1]))
index.put("one", renditions.Info(key="k", kind="photo"))
"""


def test_the_index_can_be_read_until_the_process_is_gone(
    tmp_path: Path, start_python: StartPython
) -> None:
    """The background pass goes on while the server ends."""
    assert start_python(READ_AT_THE_END, tmp_path).communicate()[0] == "k\n"


# Where ctime alone changed


@pytest.fixture
def opened(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> photos.Library:
    """A library that is read and rendered."""
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    opened = open_library()
    work(opened)
    return opened


def work(opened: photos.Library) -> None:
    while photos.Upkeep(opened)._work():
        pass


def facts(opened: photos.Library) -> dict[str, tuple[int, renditions.Info]]:
    """Return when each photo was added, and its facts without the ctime."""
    place = opened.folders.root_place(photos.default_circumstances())
    items = items_below(opened.album(place, photos.Principal("anna", is_owner=True)))
    return {
        item.file.name: (item.added, dataclasses.replace(item.facts, changed=0))
        for item in items
    }


def wait_for_the_next_second(library: Path) -> None:
    """Wait until a changed ctime would be told as another moment."""
    newest = max(path.stat().st_ctime for path in library.rglob("*.*"))
    eventually(lambda: time.time() > int(newest) + 1)


def link_all(library: Path) -> None:
    shutil.copytree(library, library.parent / "Snapshot", copy_function=os.link)


def chmod_all(library: Path) -> None:
    for path in library.rglob("*.jpg"):
        path.chmod(0o640)


def move_all(library: Path) -> None:
    (library / "Other").mkdir()
    for path in library.glob("Trip/*.jpg"):
        path.rename(library / "Other" / path.name)


@pytest.mark.whole
@pytest.mark.parametrize("change", [link_all, chmod_all, move_all])
def test_a_photo_whose_ctime_alone_changed_is_the_same_photo(
    change: Callable[[Path], None],
    opened: photos.Library,
    library: Path,
    requests: list[tuple[str, renditions.Purpose]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    before = facts(opened)
    assert len(before) == 6
    wait_for_the_next_second(library)
    change(library)
    assert facts(opened) == before
    work(opened)
    assert facts(opened) == before
    assert {purpose for _, purpose in requests} == {renditions.Purpose.KEY}
    asked = len(requests)
    work(opened)
    assert len(requests) == asked, "it is looked at once"
    assert {name: info for name, (_, info) in facts(opened).items()} == {
        name: info for name, (_, info) in before.items()
    }
    again = photos.Library(library, opened.cache, workers=0)
    assert facts(again) == before, "the index remembers it"
    again.close()
    assert not photos.Upkeep(again).unread(0)


def replace_silently(path: Path, colour: str) -> None:
    """Write another photo of the same size into a file, and set its mtime back."""
    before = path.stat()
    other = draw(path.parent / "other.png", colour=colour).read_bytes()
    content = other.ljust(before.st_size, b"\0")[: before.st_size]
    (path.parent / "other.png").unlink()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


@pytest.mark.whole
@pytest.mark.parametrize("how", ["its page", "its album", "the background pass"])
def test_a_photo_replaced_in_place_with_its_mtime_set_back_is_noticed(
    how: str, opened: photos.Library, library: Path
) -> None:
    path = library / "Trip" / "Beach" / "sand.png"
    path.write_bytes(path.read_bytes() + bytes(400))
    work(opened)
    place = place_at(opened, "Trip", "Beach", "sand.png")
    before = opened.item(place)
    assert before
    wait_for_the_next_second(library)
    replace_silently(path, "#11bb22")
    if how == "the background pass":
        work(opened)
        [after] = look(opened, "Trip", "Beach").items
    elif how == "its album":
        album = opened.album(place_at(opened, "Trip", "Beach"), photos.VISITOR, patience=20)
        [after] = album.items
    else:
        after = opened.item(place)
    assert after and after.file.identity == before.file.identity
    assert "" not in (after.key, before.key) and after.key != before.key
    assert after.added > before.added, "another photo is added now"


@pytest.mark.whole
def test_a_photo_that_becomes_readable_is_read_again(
    opened: photos.Library, library: Path
) -> None:
    place = place_at(opened, "Trip", "one.jpg")
    assert place.file
    known = opened.index.get(place.file.identity)
    assert known
    denied = dataclasses.replace(
        known, problem="may not read it", retry=renditions.AT_START, colour=""
    )
    opened.index.put(place.file.identity, denied)
    (library / "Trip" / "one.jpg").chmod(0o600)
    item = opened.item(place)
    assert item and (item.facts.problem, item.facts.width) == ("", 60)
    assert item.facts.added == known.added
