"""Albums: what they hold, for whom, and that they are what the folders are at every moment."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import os
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawing import draw, exif
from PIL import Image
from processes import eventually

import photos
import renditions

PUBLIC, HIDDEN, PRIVATE = photos.Visibility
USER = photos.Principal("anna")
NFC, NFD = (unicodedata.normalize(form, "Café.jpg") for form in ("NFC", "NFD"))
Open = Callable[..., photos.Library]


def read(
    library: photos.Library, purpose: renditions.Purpose = renditions.Purpose.FACTS
) -> photos.Library:
    """Read all new files as workers do, in this process."""
    Image.init()
    for file in photos.Upkeep(library).unread(0):
        info = renditions.develop(file.path, purpose, library.cache)
        library.index.put(file.identity, info)
    return library


def look(library: photos.Library, *parts: str, user: bool = False) -> photos.Album:
    """Return an album as a visitor or a user finds it."""
    place = library.folders.locate(parts)
    return library.album(place, USER if user else photos.VISITOR)


def names(album: photos.Album) -> list[str]:
    return [item.file.name for item in album.items]


def albums(album: photos.Album) -> list[str]:
    return [child.parts[-1] for child in album.albums]


def made(library: photos.Library) -> set[str]:
    """Return the names of all files among the renditions."""
    folder = library.cache / renditions.RENDITIONS_FOLDER
    return {path.name for path in folder.glob("*/*")}


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and mtime of everything below a folder."""
    return {
        os.fspath(path): (
            b"" if path.is_dir() else path.read_bytes(),
            path.stat().st_mtime_ns,
        )
        for path in (root, *root.rglob("*"))
    }


@pytest.fixture
def quiet(open_library: Open) -> Open:
    """Opens a library without workers, all its files read."""
    return lambda *root, **options: read(open_library(*root, workers=0, **options))


# Names


def test_names_sort_as_people_count() -> None:
    ordered = [
        "9.jpg",
        "10.jpg",
        "a.jpg",
        "IMG_2.jpg",
        "img_3.jpg",
        "IMG_10.jpg",
        "img_11.jpg",
        "z.jpg",
    ]
    assert sorted(sorted(ordered), key=photos.natural) == ordered


def test_names_that_look_the_same_keep_an_order_of_their_own() -> None:
    for one, other in (
        (NFC, NFD),
        ("IMG.JPG", "img.jpg"),
        ("1", "01"),
        (os.fsdecode(b"\xfe"), os.fsdecode(b"\xff")),
    ):
        assert photos.natural(one) != photos.natural(other)
        assert (photos.natural(one) < photos.natural(other)) != (
            photos.natural(other) < photos.natural(one)
        )


# album.txt


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", ("", "", {})),
        (b"Our trip", ("Our trip", "", {})),
        (
            b"\xef\xbb\xbfOur trip\r\nIt rained.\r\n\r\nA lot.\r\n",
            ("Our trip", "It rained.\n\nA lot.", {}),
        ),
        (b"\nIt rained.", ("", "It rained.", {})),
        (b"T\na.jpg: We: all of us ", ("T", "", {"a.jpg": "We: all of us"})),
        (
            b"T\nb.jpg: not there\na.jpg:no space",
            ("T", "b.jpg: not there\na.jpg:no space", {}),
        ),
        (b"a.jpg: is the title", ("a.jpg: is the title", "", {})),
        (f"T\n{NFC}: coffee".encode(), ("T", "", {NFD: "coffee"})),
        (b"caf\xe9 \xff", ("caf� �", "", {})),
        (b"x" * 300, ("x" * 200, "", {})),
    ],
)
def test_album_txt_tells_title_description_and_captions(
    content: bytes, told: tuple[str, str, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "album.txt").write_bytes(content)
    assert photos.read_album_text(os.fspath(tmp_path / "album.txt"), ["a.jpg", NFD]) == told


def test_an_endless_album_txt_is_read_up_to_a_limit(tmp_path: Path) -> None:
    with open(tmp_path / "album.txt", "wb") as file:
        file.truncate(50_000_000)
    assert len(photos.read_album_text(os.fspath(tmp_path / "album.txt"), [])[0]) == 200
    assert photos.read_album_text(os.fspath(tmp_path / "none.txt"), []) == ("", "", {})


def test_an_album_shows_what_its_album_txt_says_now(library: Path, quiet: Open) -> None:
    album_text = library / "Trip" / "album.txt"
    album_text.write_text("Thailand\nIt rained.\none.jpg: The first day")
    opened = quiet()
    album = look(opened, "Trip")
    assert (album.title, album.description) == ("Thailand", "It rained.")
    assert [item.caption for item in album.items] == ["The first day", ""]
    assert (
        opened.title(("Trip",), photos.VISITOR)
        == look(opened).albums[0].title
        == "Thailand"
    )
    album_text.write_text("Laos")  # in place: the folder's mtime stays
    assert look(opened, "Trip").title == "Laos"
    album_text.unlink()
    assert look(opened, "Trip").title == "Trip"


def test_a_caption_in_album_txt_goes_before_that_of_the_file(
    library: Path, quiet: Open
) -> None:
    for name in ("own", "told", "none"):
        draw(library / "Trip" / f"{name}.jpg", xmp=b"<dc:title>Its own</dc:title>")
    (library / "Trip" / "album.txt").write_text(
        "\n".join(("Trip", "told.jpg: Told", "none.jpg: "))
    )
    opened = quiet()
    captions = {item.file.name: item.caption for item in look(opened, "Trip").items}
    wanted = {
        "own.jpg": "Its own",
        "told.jpg": "Told",
        "none.jpg": "",
        "one.jpg": "",
        "two.jpg": "",
    }
    assert captions == wanted
    for name, caption in wanted.items():
        item = opened.item(opened.folders.locate(("Trip", name)))
        assert item and item.caption == caption


# Dates


def item(name: str, taken: str = "", mtime: float = 0.0) -> photos.Item:
    file = photos.File(name, name, name, 1, mtime, mtime)
    return photos.Item((name,), file, renditions.Info(kind="photo", taken=taken))


def test_the_date_is_that_of_the_metadata_else_of_the_name_else_of_the_file() -> None:
    mtime = dt.datetime(2020, 2, 2, tzinfo=dt.UTC).timestamp()
    assert item("20240107_110258.jpg", "2023-01-01T10:00:00", mtime).taken == dt.datetime(
        2023, 1, 1, 10
    )
    assert item("20240107_110258.jpg", "", mtime).taken == dt.datetime(
        2024, 1, 7, 11, 2, 58
    )
    assert item("a.jpg", "", mtime).taken.timestamp() == mtime
    assert item("a.jpg", "", mtime).taken.tzinfo


def test_cameras_without_a_time_zone_are_read_in_that_of_most_photos() -> None:
    items = [
        item("camera", "2024-04-14T12:30:00"),
        item("phone 1", "2024-04-14T12:00:00+07:00"),
        item("phone 2", "2024-04-14T13:00:00+07:00"),
        item("home", "2024-04-14T07:15:00+02:00"),
    ]
    zone = photos.usual_zone(items)
    items.sort(key=lambda each: photos.instant(each.taken, zone))
    assert [each.title for each in items] == ["phone 1", "home", "camera", "phone 2"]
    alone = item("camera", "2024-04-14T12:30:00")
    moment = photos.instant(alone.taken, photos.usual_zone([alone]))
    assert moment == dt.datetime(2024, 4, 14, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("mtime", [1e18, -1e18])
def test_an_absurd_time_of_a_file_is_one_that_a_calendar_knows(mtime: float) -> None:
    moment = dt.datetime.fromtimestamp(photos.plausible(mtime), tz=dt.UTC)
    assert moment.astimezone().year in range(1, 10_000)


# The index


KNOWN = renditions.Info(
    key="k", kind="photo", width=3, taken="2024-05-06T07:08:09", latitude=-0.5
)


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


def test_what_was_read_before_there_were_captions_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = photos.Index(tmp_path)
    fields = {
        name: field
        for name, field in renditions.Info.__dataclass_fields__.items()
        if name != "caption"
    }
    monkeypatch.setattr(renditions.Info, "__dataclass_fields__", fields)
    assert photos.Index(tmp_path)._path != now._path


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


# What can be reached


def test_albums_photos_and_nothing_else_are_found(library: Path, quiet: Open) -> None:
    opened = quiet()
    place = opened.folders.locate(("Trip", "one.jpg"))
    assert place.file and place.file.name == "one.jpg"
    assert place.folder and set(place.folder.files) == {"one.jpg", "two.jpg"}
    place = opened.folders.locate(("Trip", "Beach"))
    assert (place.file, place.visibility) == (None, PUBLIC)
    assert place.folder and set(place.folder.files) == {"sand.png"}


@pytest.mark.parametrize(
    "path",
    [
        ("",),
        (".",),
        ("..",),
        ("..", "Album"),
        ("Trip", ".", "one.jpg"),
        ("Trip", "..", "Secret.private"),
        ("Trip/one.jpg",),
        ("Trip", "", "one.jpg"),
        ("Trip", "one.jpg", ""),
        ("Trip", "one.jpg", "two.jpg"),
        ("trip",),
        ("Trip\0",),
        ("Nowhere",),
        (".photos",),
        (".photos", "secret.key"),
        (".thumbs", "a.jpg"),
        ("@eaDir", "a.jpg"),
        ("Trip", "photos.pyz"),
        ("Trip", "one.jpg~"),
        ("Trip", "one.jpg.xmp"),
        ("Trip", "one.jpg.json"),
        ("Trip", "half.jpg.part"),
        ("Trip", "album.txt"),
        ("Trip", "pipe.jpg"),
    ],
)
def test_only_what_is_listed_can_be_reached(
    path: tuple[str, ...], library: Path, open_library: Open
) -> None:
    for folder in (".photos", ".thumbs", "@eaDir"):
        draw(library / folder / "a.jpg")
    (library / ".photos" / "secret.key").touch()
    for name in (
        "photos.pyz",
        "one.jpg~",
        "one.jpg.xmp",
        "one.jpg.json",
        "half.jpg.part",
        "album.txt",
    ):
        shutil.copy(library / "loose.jpg", library / "Trip" / name)
    os.mkfifo(library / "Trip" / "pipe.jpg")
    opened = open_library(workers=0)
    place = opened.folders.locate(path)
    assert (place.folder, place.file) == (None, None)
    assert place.visibility == photos.visibility_of(path)


@pytest.mark.parametrize(
    "path",
    [
        ("Secret.private",),
        ("Secret.private", "faces.jpg"),
        ("Secret.private", "none.jpg"),
        ("Secret.private", "..", "Trip"),
        ("None.private",),
        ("None.private", "a", "b.jpg"),
        ("Trip", "None.PRIVATE", "a.jpg"),
        ("Trip", "one.jpg", "x.private"),
    ],
)
def test_what_is_below_a_private_name_is_private_whether_it_exists_or_not(
    path: tuple[str, ...], open_library: Open
) -> None:
    assert open_library(workers=0).folders.locate(path).visibility == PRIVATE


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("suffix", "visibility"), [(".private", PRIVATE), (".hidden", HIDDEN)]
)
def test_the_name_of_the_library_itself_counts(
    suffix: str,
    visibility: photos.Visibility,
    linked: bool,
    library: Path,
    open_library: Open,
) -> None:
    named = library.rename(library.with_name(f"Album{suffix}"))
    if linked:
        (library.with_name("link")).symlink_to(named)
    opened = open_library(library.with_name("link") if linked else named, workers=0)
    assert opened.folders.locate(()).visibility == visibility
    assert opened.folders.locate(("Trip", "one.jpg")).visibility == visibility
    assert opened.title((), photos.VISITOR) == "Album"


def test_the_state_folder_is_no_album_wherever_it_lies(library: Path) -> None:
    cache = library / "state" / "cache"
    draw(cache / renditions.RENDITIONS_FOLDER / "aa" / "private.webp")
    opened = photos.Library(library, cache, workers=0)
    assert "state" not in albums(look(opened))
    assert (
        opened.folders.locate(
            ("state", "cache", renditions.RENDITIONS_FOLDER, "aa", "private.webp")
        ).file
        is None
    )
    opened.close()


def test_a_file_whose_name_says_private_is_listed_to_users_alone(
    library: Path, open_library: Open
) -> None:
    (library / "Trip" / "one.jpg").rename(library / "Trip" / "one.jpg.private")
    opened = read(open_library())
    assert names(look(opened, "Trip")) == ["two.jpg"]
    place = opened.folders.locate(("Trip", "one.jpg.private"))
    assert place.visibility == photos.Visibility.PRIVATE
    assert len(opened.album(opened.folders.locate(("Trip",)), USER).items) == 2


def test_albums_nested_too_deeply_are_ignored_and_harm_nothing(
    library: Path, quiet: Open
) -> None:
    (library / Path(*["deep"] * (photos.DEPTH + 40))).mkdir(parents=True)
    opened = quiet()
    assert look(opened).photos == 4
    assert opened.folders.locate(("deep",) * photos.DEPTH).folder
    assert opened.folders.locate(("deep",) * (photos.DEPTH + 2)).folder is None


# Links

FOLLOWED, REFUSED = True, None


@pytest.mark.parametrize(
    ("link", "target", "inside", "outside"),
    [
        ("Plain", "Trip", PUBLIC, PUBLIC),
        ("Plain", "Secret.private", PRIVATE, PRIVATE),
        ("Plain", "Drafts.hidden", HIDDEN, HIDDEN),
        ("Plain.private", "Trip", PRIVATE, PRIVATE),
        ("Plain.hidden", "Secret.private", PRIVATE, PRIVATE),
        ("Plain", "chain", PRIVATE, PRIVATE),
        ("plain.jpg", "Trip/one.jpg", PUBLIC, PUBLIC),
        ("plain.jpg", "Secret.private/faces.jpg", PRIVATE, PRIVATE),
        ("plain.jpg", "chain/faces.jpg", PRIVATE, PRIVATE),
        ("plain.jpg", "../outside/out.jpg", REFUSED, PUBLIC),
        ("plain.jpg", "../outside/Vault.private/in.jpg", REFUSED, PRIVATE),
        ("Plain", "../outside", REFUSED, PUBLIC),
        ("Plain", "../outside/Vault.private", REFUSED, PRIVATE),
        ("Plain", "../outside/back", PUBLIC, PUBLIC),
        ("Plain", ".", REFUSED, REFUSED),
        ("Plain", "..", REFUSED, REFUSED),
        ("Plain", "/", REFUSED, REFUSED),
        ("Plain", "Plain", REFUSED, REFUSED),
        ("Plain", "nowhere", REFUSED, REFUSED),
        ("Plain", ".photos", REFUSED, REFUSED),
        ("plain.jpg", ".photos/secret.key", REFUSED, REFUSED),
        ("Plain", "../state", REFUSED, REFUSED),
        ("plain.jpg", "../state/secret.key", REFUSED, REFUSED),
    ],
)
@pytest.mark.parametrize("follow", [False, True])
def test_a_link_shows_what_its_real_path_allows(
    link: str,
    target: str,
    inside: photos.Visibility | None,
    outside: photos.Visibility | None,
    follow: bool,
    library: Path,
    quiet: Open,
) -> None:
    draw(library.parent / "outside" / "out.jpg")
    draw(library.parent / "outside" / "Vault.private" / "in.jpg")
    (library.parent / "outside" / "back").symlink_to(library / "Trip")
    (library / "chain").symlink_to("Secret.private")
    (library / ".photos").mkdir()
    (library.parent / "state").mkdir()
    for state in (library / ".photos", library.parent / "state"):
        (state / "secret.key").write_bytes(os.urandom(32))
    (library / link).symlink_to(target)
    opened = quiet(follow_symlinks=follow)
    expected = outside if follow else inside
    place = opened.folders.locate((link,))
    if expected is None:
        assert (place.folder, place.file) == (None, None)
    else:
        assert place.folder
        assert place.visibility == expected
    for user in (False, True):
        front = look(opened, user=user)
        shown = expected is not None and (user or expected == PUBLIC)
        assert (link in albums(front) + names(front)) == shown


def test_links_never_lead_round_in_circles(library: Path, quiet: Open) -> None:
    (library / "Trip" / "up").symlink_to("..")
    (library / "Trip" / "self").symlink_to(".")
    (library / "Trip" / "Beach" / "top").symlink_to(library)
    for one, other in (("A", "B"), ("B", "A")):
        draw(library / one / f"{one}.jpg")
        (library / one / f"to {other}").symlink_to(f"../{other}")
    opened = quiet(follow_symlinks=True)
    assert {parts for parts, _ in opened.walk()} == {
        (),
        ("Trip",),
        ("Trip", "Beach"),
        ("A",),
        ("A", "to B"),
        ("B",),
        ("B", "to A"),
        ("Drafts.hidden",),
        ("Secret.private",),
    }
    assert look(opened, "A").photos == 2
    assert look(opened, user=True).photos == 10


def test_a_link_farther_on_that_changes_is_noticed_at_once(
    library: Path, quiet: Open
) -> None:
    middle = library.parent / "middle"
    middle.symlink_to(library / "loose.jpg")
    (library / "Trip" / "link.jpg").symlink_to(middle)
    os.utime(library / "Trip", (1_600_000_000, 1_600_000_000))
    opened = quiet()
    assert opened.folders.locate(("Trip", "link.jpg")).visibility == PUBLIC
    assert look(opened).photos == 5
    middle.unlink()
    middle.symlink_to(library / "Secret.private" / "faces.jpg")
    assert look(opened).photos == 4
    assert opened.folders.locate(("Trip", "link.jpg")).visibility == PRIVATE


def test_a_public_album_tells_nothing_of_the_private_files_it_links_to(
    library: Path, quiet: Open
) -> None:
    for name in ("faces.txt", "faces.mov"):
        (library / "Secret.private" / name).write_text("Our secret title")
    (library / "Trip" / "album.txt").symlink_to("../Secret.private/faces.txt")
    (library / "Trip" / "one.mov").symlink_to("../Secret.private/faces.mov")
    album = look(quiet(), "Trip")
    assert album.title == "Trip"
    assert [item.film for item in album.items] == [None, None]


# What each kind of visitor sees


@pytest.fixture
def mixed(library: Path) -> Path:
    """The library with newer and better photos where visitors may not see them."""
    draw(library / "Trip" / "Inner.private" / "cover.jpg", exif=exif("2090:01:01 10:00:00"))
    draw(library / "Trip" / "Inner.hidden" / "old.jpg", exif=exif("1990:01:01 10:00:00"))
    draw(library / "Home" / "home.jpg", exif=exif("2024:12:24 10:00:00"))
    draw(library / "Outer" / "Only.private" / "a.jpg", exif=exif("2091:01:01 10:00:00"))
    (library / "Home" / "cover.jpg").symlink_to("../Secret.private/faces.jpg")
    (library / "Empty").mkdir()
    return library


def test_a_visitor_finds_public_albums_and_counts_dates_and_covers_of_these_alone(
    mixed: Path, quiet: Open
) -> None:
    opened = quiet()
    front = look(opened)
    assert albums(front) == ["Trip", "Home"]
    assert (front.photos, front.videos) == (5, 0)
    trip = look(opened, "Trip")
    assert albums(trip) == ["Beach"]
    assert trip.photos == 3
    assert trip.first and trip.first.year == 2024
    assert names(look(opened, "Home")) == ["home.jpg"]
    assert [child.photos for child in front.albums] == [3, 1]
    assert [child.cover and child.cover.file.name for child in front.albums] == [
        "one.jpg",
        "home.jpg",
    ]
    told = repr(dataclasses.astuple(front))
    assert not [
        word
        for word in ("private", "hidden", "faces", "(2090", "(2091", "(1990")
        if word in told
    ]


def added(path: Path) -> int:
    """Return when a file was put where it is, s since the epoch."""
    return int(path.stat().st_ctime)


def last_added(folder: Path) -> int:
    """Return when the newest file below a folder was put there."""
    return max(added(path) for path in folder.rglob("*.*") if path.is_file())


def test_the_newest_moment_of_an_album_is_of_what_somebody_may_see(
    mixed: Path, quiet: Open
) -> None:
    late, before = mixed / "Trip" / "Inner.private" / "late.jpg", last_added(mixed)
    eventually(lambda: added(draw(late)) > before)
    opened = quiet()
    seen, known = look(opened), look(opened, user=True)
    assert known.last_added == known.albums[1].last_added == added(late)
    assert (
        0
        < seen.last_added
        == max(item.added for item in photos.items_below(seen))
        < added(late)
    )
    assert {item.file.name: item.added for item in known.items} == {
        "loose.jpg": added(mixed / "loose.jpg")
    }
    assert look(opened, "Empty").last_added == 0


def test_copying_a_photo_with_its_old_dates_adds_it_now(library: Path, quiet: Open) -> None:
    old = draw(library / "Trip" / "old.jpg")
    os.utime(old, (1e9, 1e9))
    item = next(item for item in look(quiet(), "Trip").items if item.file.name == "old.jpg")
    assert item.file.mtime == 1e9
    assert item.added == added(old) > time.time() - 60


def recent(library: photos.Library) -> list[str]:
    """Return the names of what was added last, as a visitor finds it."""
    items = library.recent_items(library.folders.locate(()), photos.VISITOR)
    return [item.file.name for item in items]


def test_the_newest_are_of_what_a_visitor_finds_and_the_last_added_goes_first(
    mixed: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ["loose.jpg", "one.jpg", "two.jpg", "sand.png", "home.jpg"]
    opened = quiet()
    assert sorted(recent(opened)) == sorted(found)
    two, before = mixed / "Trip" / "two.jpg", last_added(mixed)
    eventually(lambda: os.utime(two, (1e9, 1e9)) or added(two) > before)  # its ctime is now
    read(opened)
    monkeypatch.setattr(photos, "FEED_ITEMS", 3)
    newest = recent(opened)
    assert len(newest) == 3 and newest[0] == "two.jpg"
    draw(mixed / "Trip" / "unread.jpg")
    assert recent(opened)[0] == "two.jpg"


def test_a_user_finds_everything_and_sees_who_else_may(mixed: Path, quiet: Open) -> None:
    opened = quiet()
    front = look(opened, user=True)
    assert albums(front) == ["Outer", "Trip", "Home", "Secret.private", "Drafts.hidden"]
    assert [child.visibility for child in front.albums] == [
        PUBLIC,
        PUBLIC,
        PUBLIC,
        PRIVATE,
        HIDDEN,
    ]
    assert front.photos == 11
    trip = look(opened, "Trip", user=True)
    assert albums(trip) == ["Inner.private", "Beach", "Inner.hidden"]
    assert (trip.first and trip.first.year, trip.last and trip.last.year) == (1990, 2090)
    assert names(look(opened, "Home", user=True)) == ["cover.jpg", "home.jpg"]


def test_who_has_the_link_sees_a_hidden_album_but_not_what_is_private_in_it(
    library: Path, quiet: Open
) -> None:
    draw(library / "Drafts.hidden" / "Worse.private" / "a.jpg")
    draw(library / "Drafts.hidden" / "Better" / "b.jpg")
    opened = quiet()
    assert opened.folders.locate(("Drafts.hidden", "Better")).visibility == HIDDEN
    album = look(opened, "Drafts.hidden")
    assert (albums(album), names(album), album.photos) == (["Better"], ["draft.jpg"], 2)


def test_an_album_and_its_private_twin_are_two_albums(library: Path, quiet: Open) -> None:
    draw(library / "Trip.private" / "three.jpg")
    opened = quiet()
    assert names(look(opened, "Trip")) == ["one.jpg", "two.jpg"]
    assert names(look(opened, "Trip.private", user=True)) == ["three.jpg"]
    assert [child.title for child in look(opened, user=True).albums].count("Trip") == 2


# Order and covers


def test_photos_are_shown_oldest_first_and_albums_newest_first(
    tmp_path: Path, quiet: Open
) -> None:
    root = tmp_path / "Sorted"
    draw(root / "A" / "IMG_10.jpg", exif=exif("2024:05:06 07:08:09"))
    draw(root / "A" / "IMG_2.jpg", exif=exif("2024:05:06 07:08:09"))
    draw(root / "A" / "20240505_120000.png")
    os.utime(draw(root / "A" / "z.png"), (86400, 86400))
    draw(root / "B" / "b.jpg", exif=exif("2025:05:06 07:08:09"))
    draw(root / "C" / "Deep" / "c.jpg", exif=exif("2026:05:06 07:08:09"))
    draw(root / "C 10" / "c.jpg", exif=exif("2025:05:06 07:08:09"))
    draw(root / "C 9" / "c.jpg", exif=exif("2025:05:06 07:08:09"))
    opened = quiet(root)
    assert names(look(opened, "A")) == [
        "z.png",
        "20240505_120000.png",
        "IMG_2.jpg",
        "IMG_10.jpg",
    ]
    assert albums(look(opened)) == ["C", "B", "C 9", "C 10", "A"]


@pytest.mark.parametrize(
    ("files", "cover"),
    [
        (["1.jpg", "2.jpg"], "1.jpg"),
        (["1.jpg", "Cover.PNG"], "Cover.PNG"),
        (["1.jpg", "discover.jpg"], "1.jpg"),
        (["1.broken.jpg", "2.jpg"], "2.jpg"),
        (["1.cut.jpg", "2.jpg"], "2.jpg"),
        (["1.cut.jpg"], "1.cut.jpg"),
        (["1.broken.jpg", "cover.broken.jpg"], None),
    ],
)
def test_the_cover_is_the_photo_called_so_else_the_first_that_can_be_shown(
    files: list[str], cover: str | None, library: Path, open_library: Open
) -> None:
    for number, name in enumerate(files):
        path = draw(library / "New" / name, size=(200, 200))
        if "broken" in name:
            path.write_text("this is no photo")
        if "cut" in name:
            path.write_bytes(path.read_bytes()[:1000])
        os.utime(path, (number, number))
    album = look(read(open_library(workers=0), renditions.Purpose.THUMBNAILS), "New")
    assert sorted(names(album)) == sorted(files)
    assert (album.cover and album.cover.file.name) == cover


def test_the_cover_of_an_album_without_photos_is_that_of_its_newest_album(
    library: Path, quiet: Open
) -> None:
    draw(library / "Years" / "2001" / "a.jpg", exif=exif("2001:01:01 10:00:00"))
    draw(library / "Years" / "2002" / "b.jpg", exif=exif("2002:01:01 10:00:00"))
    cover = look(quiet(), "Years").cover
    assert cover and cover.parts == ("Years", "2002", "b.jpg")


# Live photos


@pytest.mark.parametrize(
    ("photo", "video", "size", "pair"),
    [
        ("IMG_1.HEIC", "IMG_1.MOV", 5, True),
        ("IMG_1.heic", "img_1.mov", 5, True),
        ("IMG_1.JPG", "IMG_1_HEVC.MOV", 5, True),
        ("IMG_1.jpg", "IMG_1.mp4", 5, True),
        ("IMG_1.jpg", "IMG_1.webm", 5, False),
        ("IMG_1.jpg", "IMG_2.mov", 5, False),
        ("IMG_1.jpg", "IMG_1.mov", photos.LIVE_BYTES + 1, False),
    ],
)
def test_a_photo_and_its_short_video_are_one_item(
    photo: str, video: str, size: int, pair: bool, library: Path, open_library: Open
) -> None:
    draw(library / "New" / "a.jpg").rename(library / "New" / photo)
    with open(library / "New" / video, "wb") as file:
        file.truncate(size)
    album = look(open_library(workers=0), "New")
    assert sorted(names(album)) == sorted([photo] if pair else [photo, video])
    lives = {item.file.name: item.film and item.film.name for item in album.items}
    assert lives[photo] == (video if pair else None)
    assert (album.photos, album.videos) == (1, 0 if pair else 1)


# As the folders are now


def test_what_is_dropped_changed_renamed_or_removed_shows_at_the_next_call(
    library: Path, quiet: Open
) -> None:
    opened = quiet()
    assert look(opened).photos == 4
    draw(library / "Trip" / "three.jpg")
    draw(library / "New" / "Deep" / "four.jpg")
    assert names(look(opened, "Trip")) == ["one.jpg", "two.jpg", "three.jpg"]
    assert set(albums(look(opened))) == {"New", "Trip"}
    assert look(opened).photos == 6
    (library / "Trip" / "one.jpg").rename(library / "Trip" / "uno.jpg")
    (library / "Trip" / "two.jpg").unlink()
    assert set(names(look(opened, "Trip"))) == {"uno.jpg", "three.jpg"}
    assert opened.folders.locate(("Trip", "one.jpg")).file is None
    shutil.rmtree(library / "New")
    assert albums(look(opened)) == ["Trip"]
    assert opened.folders.locate(("New",)).folder is None


def test_a_photo_that_is_written_in_place_is_read_again(
    library: Path, open_library: Open
) -> None:
    opened = open_library()
    path = library / "Trip" / "one.jpg"
    before = opened.item(opened.folders.locate(("Trip", "one.jpg")))
    path.write_bytes(draw(library.parent / "other.jpg", size=(90, 70)).read_bytes())
    after = opened.item(opened.folders.locate(("Trip", "one.jpg")))
    assert before and before.info and after and after.info
    assert (before.info.width, after.info.width) == (60, 90)
    assert before.key != after.key
    assert [
        item.info for item in look(opened, "Trip").items if item.file.name == "one.jpg"
    ] == [after.info]


def test_a_photo_replaced_under_its_name_with_old_dates_is_read_again(
    library: Path, open_library: Open
) -> None:
    opened = open_library()
    path = library / "Trip" / "one.jpg"
    at = path.stat()
    before = opened.item(opened.folders.locate(("Trip", "one.jpg")))
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert path.stat().st_size == at.st_size
    after = opened.item(opened.folders.locate(("Trip", "one.jpg")))
    assert before and after and before.key != after.key


@pytest.mark.parametrize("name", ["Trip.private", "Trip.PRIVATE", "Trip.hidden"])
def test_renaming_an_album_hides_it_at_the_next_call_and_back(
    name: str, library: Path, quiet: Open
) -> None:
    opened = quiet()
    assert albums(look(opened)) == ["Trip"]
    (library / "Trip").rename(library / name)
    assert (albums(look(opened)), look(opened).photos) == ([], 1)
    place = opened.folders.locate((name, "one.jpg"))
    assert place.file and place.visibility == photos.visibility_of([name])
    assert opened.folders.locate(("Trip", "one.jpg")).file is None
    assert name in albums(look(opened, user=True))
    (library / name).rename(library / "Trip")
    assert albums(look(opened)) == ["Trip"]
    assert opened.folders.locate(("Trip", "one.jpg")).visibility == PUBLIC


def test_two_albums_that_change_names_are_not_mistaken_for_each_other(
    library: Path, quiet: Open
) -> None:
    for folder in ("Trip", "Drafts.hidden"):  # as copying with coarse times leaves them
        os.utime(library / folder, (1_600_000_000, 1_600_000_000))
    opened = quiet()
    assert names(look(opened, "Trip")) == ["one.jpg", "two.jpg"]
    (library / "Trip").rename(library / "aside")
    (library / "Drafts.hidden").rename(library / "Trip")
    (library / "aside").rename(library / "Drafts.hidden")
    assert opened.folders.locate(("Trip", "draft.jpg")).file
    assert not opened.folders.locate(("Trip", "one.jpg")).file
    assert [item.file.name for item in opened.items(("Trip",), photos.VISITOR)] == [
        "draft.jpg"
    ]


def test_a_library_whose_disk_is_away_is_empty_until_it_is_back(
    library: Path, quiet: Open
) -> None:
    opened = quiet()
    library.rename(library.with_name("away"))
    assert (look(opened).photos, look(opened).albums) == (0, ())
    assert opened.folders.locate(("Trip", "one.jpg")).file is None
    assert photos.Upkeep(opened).problems()[0][0] == "."
    library.with_name("away").rename(library)
    assert look(opened).photos == 4


def test_a_file_that_the_disk_cannot_tell_of_costs_itself_and_is_reported(
    library: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = photos.file_of

    def file_of(
        name: str, *facts: Any
    ) -> photos.File:  # a disk that fails, or a date beyond 32 bits
        if name in ("one.jpg", "two.jpg"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return told(name, *facts)

    with monkeypatch.context() as patch:
        patch.setattr(photos, "file_of", file_of)
        opened = quiet()
        assert look(opened, "Trip").photos > 0 and names(look(opened, "Trip")) == []
        assert photos.Upkeep(opened).problems() == [
            ("Trip/", "one.jpg: Input/output error; two.jpg: Input/output error")
        ]
    (library / "Trip" / "goes nowhere.jpg").symlink_to("nowhere")
    (library / "Trip" / "goes too far.jpg").symlink_to("one.jpg/nowhere")
    (library / "Trip" / "round.jpg").symlink_to("round.jpg")
    opened = quiet()
    assert photos.Upkeep(opened).problems() == []
    assert "one.jpg" in names(look(opened, "Trip"))


def test_a_folder_that_may_not_be_read_costs_itself_and_is_reported(
    library: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, closed = os.scandir, os.fspath(library / "Trip" / "Beach")

    def scandir(path: str) -> Any:  # root, as whom tests may run, may read everything
        if path == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return listed(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        opened = quiet()
        assert (albums(look(opened, "Trip")), look(opened, "Trip").photos) == ([], 2)
        assert look(opened, "Trip", "Beach").items == ()
        reason = "the program may not read it (file permissions)"
        assert photos.Upkeep(opened).problems() == [("Trip/Beach/", reason)]
    assert names(look(opened, "Trip", "Beach")) == ["sand.png"]


@pytest.mark.parametrize(
    "name",
    [
        "line\nbreak.jpg",
        "tab\tand 'quotes\" <b>.jpg",
        "100% sure&yes=1+2?#.jpg",
        "写真 🏖️.jpg",
        NFC,
        NFD,
        " spaces .jpg",
        "-rf.jpg",
        "IMG.JPG",
        "img.jpg",
        os.fsdecode(b"not UTF-8 \xff\xe9.jpg"),
        "x" * 251 + ".jpg",
    ],
)
def test_a_name_may_hold_anything(name: str, library: Path, quiet: Open) -> None:
    for each in (NFC, NFD, "IMG.JPG", "img.jpg", name):
        draw(library / "Names" / "drawn.jpg").rename(library / "Names" / each)
    draw(library / name / "in a folder called so.jpg")
    opened = quiet()
    found = {item.file.name: item for item in look(opened, "Names").items}
    assert found.keys() == {NFC, NFD, "IMG.JPG", "img.jpg", name}
    assert found[name].info and found[name].info.width == 60
    place = opened.folders.locate(("Names", name))
    assert place.file and place.file.name == name
    assert names(look(opened, name)) == ["in a folder called so.jpg"]
    found[name].title.encode("utf-8")
    look(opened, name).title.encode("utf-8")


# Reading and rendering


def test_a_file_that_is_still_being_copied_is_tried_again(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_library()
    whole = draw(library.parent / "whole.png", size=(300, 200)).read_bytes()
    path = library / "Trip" / "new.png"
    path.write_bytes(whole[:20])

    def new() -> photos.Item:
        album = opened.album(opened.folders.locate(("Trip",)), photos.VISITOR, patience=20)
        return next(item for item in album.items if item.file.name == "new.png")

    assert new().info is None, "listed, and not yet marked as bad"
    assert new().has_picture
    path.write_bytes(whole)
    info = new().info
    assert info and (info.width, info.problem) == (300, "")
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    path.write_bytes(whole[:20])
    info = new().info
    assert info and info.problem
    assert not new().has_picture
    assert photos.Upkeep(opened).problems()[0][0] == "Trip/new.png"


def test_an_album_knows_all_that_its_workers_have_answered(
    open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = photos.Index.put

    def late(*args: Any) -> None:
        time.sleep(0.05)
        put(*args)

    monkeypatch.setattr(photos.Index, "put", late)
    opened = open_library()
    album = opened.album(opened.folders.locate(("Trip",)), photos.VISITOR, patience=60)
    assert all(item.info for item in album.items)


def test_renditions_are_made_when_they_are_asked_for_and_once(
    library: Path, open_library: Open
) -> None:
    draw(library / "Trip" / "large.jpg", size=(1000, 800))
    opened = open_library()
    item = opened.item(opened.folders.locate(("Trip", "large.jpg")))
    assert item
    thumbnail = opened.rendition(item, "320")
    assert made(opened) == {f"{item.key}-320.webp", f"{item.key}-640.webp"}
    at = thumbnail.stat().st_mtime_ns
    assert opened.rendition(item, "preview").name == f"{item.key}-preview.webp"
    assert opened.rendition(item, "320").stat().st_mtime_ns == at
    with Image.open(opened.rendition(item, "full")) as image:
        assert image.size == (1000, 800)
    thumbnail.write_bytes(b"")  # what a power cut leaves
    assert opened.rendition(item, "320").stat().st_size > 0


def test_what_has_no_picture_has_no_rendition(library: Path, open_library: Open) -> None:
    (library / "Trip" / "text.jpg").write_text("this is no photo")
    opened = open_library()
    item = opened.item(opened.folders.locate(("Trip", "text.jpg")))
    assert item and item.kind == "photo"
    with pytest.raises(photos.NoPicture, match="not a picture"):
        opened.rendition(item, "320")


def test_what_fails_for_the_moment_or_in_full_size_costs_no_photo_its_thumbnail(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    opened = read(open_library())
    file = opened.folders.locate(("loose.jpg",)).file
    assert file
    known = opened.index.get(file.identity)
    for purpose, retry in (
        (renditions.Purpose.FULL, renditions.NEVER),
        (renditions.Purpose.THUMBNAILS, renditions.AT_ONCE),
    ):
        job = photos.Job(file.identity, file.path, purpose, photos.Urgency.NOW)
        opened._learn(job, renditions.Info(problem="no memory", retry=retry))
        assert opened.index.get(file.identity) == known
    opened._learn(job, renditions.Info(problem="gave up", retry=renditions.AT_START))
    given_up = opened.index.get(file.identity)
    assert given_up and (given_up.kind, given_up.problem) == (photos.PHOTO, "gave up")


def test_when_too_many_wait_for_pictures_the_next_one_is_told_so(
    open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "WAITING_THREADS", 0)
    opened = open_library()
    with pytest.raises(photos.Busy):
        opened.item(opened.folders.locate(("Trip", "one.jpg")))


def test_the_thumbnails_of_a_page_are_made_before_anybody_asks(open_library: Open) -> None:
    opened = open_library()
    album = opened.album(opened.folders.locate(("Trip",)), photos.VISITOR, patience=20)
    opened.expect(album.items)
    eventually(lambda: made(opened) == {f"{item.key}-320.webp" for item in album.items})


def test_renaming_or_moving_an_album_makes_no_rendition_again(
    library: Path, quiet: Open
) -> None:
    opened = quiet()
    item = look(opened, "Trip").items[0]
    renditions.develop(item.file.path, renditions.Purpose.ALL, opened.cache)
    before = tree(opened.cache / renditions.RENDITIONS_FOLDER)
    (library / "Trip").rename(library / "Journey.hidden")
    (library / "Years").mkdir()
    (library / "Journey.hidden").rename(library / "Years" / "Journey.private")
    upkeep = photos.Upkeep(opened)
    assert upkeep.unread(0) == []
    renamed = look(opened, "Years", "Journey.private", user=True).items[0]
    assert opened.rendition(renamed, "320") == renditions.rendition_path(
        opened.cache, item.key, "320"
    )
    assert "one.jpg" not in [file.name for file in upkeep.unrendered(0)]
    (library / "Years" / "Journey.private" / "one.jpg").rename(library / "moved.jpg")
    moved = next(each for each in look(read(opened)).items if each.title == "moved.jpg")
    assert opened.rendition(moved, "320").exists()
    assert tree(opened.cache / renditions.RENDITIONS_FOLDER) == before


def test_a_cache_that_is_deleted_while_the_server_runs_is_made_again(
    library: Path, open_library: Open
) -> None:
    opened = open_library()
    item = opened.item(opened.folders.locate(("Trip", "one.jpg")))
    assert item and opened.rendition(item, "320").exists()
    shutil.rmtree(opened.cache)
    assert opened.rendition(item, "320").exists()
    draw(library / "Trip" / "new.jpg")
    new = opened.item(opened.folders.locate(("Trip", "new.jpg")))
    assert new and opened.rendition(new, "preview").exists()
    photos.Upkeep(opened).prune()
    opened.close()
    opened = open_library()
    assert opened.item(opened.folders.locate(("Trip", "one.jpg"))).key == item.key


# The background pass


def test_the_background_pass_reads_and_renders_all_there_is_and_what_comes(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(photos, "PASS_SECONDS", 0.02)
    (library / "Trip" / "text.jpg").write_text("this is no photo")
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    background = threading.Thread(target=upkeep.run)
    background.start()
    eventually(lambda: len(made(opened)) == 12)
    assert upkeep.problems() == [
        ("Trip/text.jpg", "its content is not a picture, or damaged from the start")
    ]
    draw(library / "Secret.private" / "New" / "more.jpg")
    eventually(lambda: len(made(opened)) == 14)
    (library / "loose.jpg").unlink()
    eventually(lambda: len(made(opened)) == 12)
    upkeep.close()
    opened.close()
    background.join(5)
    assert not background.is_alive()
    assert list(upkeep.unrendered(0)) == []


def test_the_background_pass_leaves_what_is_still_being_copied(
    library: Path, quiet: Open
) -> None:
    opened = quiet()
    upkeep = photos.Upkeep(opened)
    draw(library / "Trip" / "new.jpg")
    assert upkeep.unread(60) == []
    assert [file.name for file in upkeep.unread(0)] == ["new.jpg"]
    assert list(upkeep.unrendered(60)) == []
    assert len(list(upkeep.unrendered(0))) == 6


def test_a_file_with_a_time_to_come_is_read_and_rendered_all_the_same(
    library: Path, open_library: Open
) -> None:
    later = time.time() + 10**7
    os.utime(library / "loose.jpg", (later, later))
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    waiting = [
        file for file in upkeep.unread(photos.SETTLE_SECONDS) if file.name == "loose.jpg"
    ]
    assert waiting
    list(opened.run(waiting, renditions.Purpose.FACTS))
    assert "loose.jpg" in [file.name for file in upkeep.unrendered(photos.SETTLE_SECONDS)]


def test_folders_with_the_newest_files_go_first(library: Path, open_library: Open) -> None:
    for number, name in enumerate(
        ["Drafts.hidden/draft.jpg", "Trip/Beach/sand.png", "loose.jpg"]
    ):
        os.utime(library / name, (10**9 * 4 + number,) * 2)
    walked = [parts for parts, _ in open_library(workers=0).walk()]
    assert walked[:3] == [(), ("Trip", "Beach"), ("Drafts.hidden",)]
    assert len(walked) == 5


def test_renditions_of_removed_photos_go_at_the_second_look(
    library: Path, open_library: Open
) -> None:
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    upkeep = photos.Upkeep(opened)
    assert len(made(opened)) == 12
    left = next((opened.cache / renditions.RENDITIONS_FOLDER).glob("??/*"))
    left.with_name(f"{left.name}.999").touch()  # by a worker that was killed while it wrote
    shutil.rmtree(library / "Trip")
    upkeep.prune()
    assert len(made(opened)) == 13
    upkeep.prune()
    assert len(made(opened)) == 6
    assert len(opened.index._path.read_text().split("\n\n")) == 3


def test_one_file_that_the_disk_cannot_tell_of_does_not_keep_the_rest_from_being_tidied(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    upkeep = photos.Upkeep(opened)
    before = len(made(opened))
    (library / "Trip" / "one.jpg").unlink()
    told = photos.file_of

    def file_of(name: str, *facts: Any) -> photos.File:
        if name == "loose.jpg":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return told(name, *facts)

    monkeypatch.setattr(photos, "file_of", file_of)
    upkeep.prune()
    upkeep.prune()
    assert len(made(opened)) == before - 4


def test_a_photo_that_was_away_for_one_look_keeps_its_renditions(
    library: Path, open_library: Open
) -> None:
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    upkeep = photos.Upkeep(opened)
    for _ in range(2):
        (library / "Trip").rename(library.parent / "aside")
        upkeep.prune()
        (library.parent / "aside").rename(library / "Trip")
        read(opened)
        upkeep.prune()
    assert len(made(opened)) == 12


def test_a_library_that_seems_empty_loses_no_rendition(
    library: Path, open_library: Open
) -> None:
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    upkeep = photos.Upkeep(opened)
    library.rename(library.with_name("away"))
    library.mkdir()
    for _ in range(3):
        upkeep.prune()
    assert len(made(opened)) == 12
    library.rmdir()
    library.with_name("away").rename(library)
    assert upkeep.unread(0) == []


def test_problems_are_told_in_natural_order(library: Path, quiet: Open) -> None:
    for name in (
        *(f"{number}.jpg" for number in range(1, 13)),
        os.fsdecode(b"\xff.jpg"),
        "notes.md",
    ):
        (library / name).write_text("this is no photo")
    draw(library / "a.tif").rename(library / "a.dng")
    found = photos.Upkeep(quiet()).problems()
    assert [path for path, _ in found][:12] == [f"{number}.jpg" for number in range(1, 13)]
    assert [path for path, _ in found][12:] == ["a.dng", "\ufffd.jpg"]
    assert dict(found)["a.dng"] == "RAW: export it as JPEG to show it"


# Promises


def test_originals_are_never_written_moved_or_deleted(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    (library / "Trip" / "album.txt").write_text("Our trip")
    (library / "Trip" / "text.jpg").write_text("this is no photo")
    (library / "Trip" / "cut.jpg").write_bytes((library / "loose.jpg").read_bytes()[:700])
    (library / "Trip" / "link.jpg").symlink_to("../Secret.private/faces.jpg")
    before = tree(library)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    list(opened.run(upkeep.unread(0), renditions.Purpose.FACTS))
    list(opened.run(upkeep.unrendered(0), renditions.Purpose.ALL))
    for parts, folder in opened.walk():
        for name in folder.files:
            item = opened.item(opened.folders.locate((*parts, name)))
            if item and item.has_picture:
                assert opened.rendition(item, "full").exists()
    upkeep.prune()
    upkeep.prune()
    opened.close()
    assert tree(library) == before
