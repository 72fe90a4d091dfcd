"""Folders: what is listed and reached, links, album.txt, and that all is as on disk at every moment."""

from __future__ import annotations

import errno
import os
import shutil
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from looking import USER, Open, albums, is_there, look, names, place_at, read

import photos
import renditions

PUBLIC, HIDDEN, PRIVATE = photos.Visibility
NFC, NFD = (unicodedata.normalize(form, "Café.jpg") for form in ("NFC", "NFD"))


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
        (b"T\nc.jpg: not there\na.jpg:no space", ("T", "a.jpg:no space", {})),
        (b"cover: c.jpg\nT\nNB: a.jpg is best", ("T", "NB: a.jpg is best", {})),
        (b"cover: c.jpg.private\nT\nc.jpg.private: gone", ("T", "", {})),
        (b"T\nc.jpg.private+anna: gone\nc.hidden.jpg: gone", ("T", "", {})),
        (b"T\n10:30.jpg: the bus", ("T", "", {"10:30.jpg": "the bus"})),
        (
            b"T\nA.JPG: capitals\nB.jpg: exact",
            ("T", "", {"a.jpg": "capitals", "B.jpg": "exact"}),
        ),
        (b"a.jpg: is the title", ("a.jpg: is the title", "", {})),
        (f"T\n{NFC}: coffee".encode(), ("T", "", {NFD: "coffee"})),
        (b"caf\xe9 \xff", ("café ÿ", "", {})),
        (b"x" * 300, ("x" * 200, "", {})),
    ],
)
def test_album_txt_tells_title_description_and_captions(
    content: bytes, told: tuple[str, str, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "album.txt").write_bytes(content)
    files = ["a.jpg", "B.jpg", "b.JPG", "10:30.jpg", NFD]
    text = photos.read_album_text(os.fspath(tmp_path / "album.txt"), files)
    assert (text.title, text.description, text.captions) == told


def test_an_endless_album_txt_is_read_up_to_a_limit(tmp_path: Path) -> None:
    with open(tmp_path / "album.txt", "wb") as file:
        file.truncate(50_000_000)
    assert len(photos.read_album_text(os.fspath(tmp_path / "album.txt"), []).title) == 200
    assert (
        photos.read_album_text(os.fspath(tmp_path / "none.txt"), []) == photos.AlbumText()
    )


@pytest.mark.parametrize("name", ["album.txt", "Album.txt", "ALBUM.TXT"])
def test_an_album_shows_what_its_album_txt_says_now(
    library: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # On a busy machine the folder's listing is certain before the words are written in place.
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    album_text = library / "Trip" / name
    album_text.write_text("Thailand\nIt rained.\none.jpg: The first day")
    opened = quiet()
    album = look(opened, "Trip")
    assert (album.title, album.description) == ("Thailand", "It rained.")
    assert [item.caption for item in album.items] == ["The first day", ""]
    trip = opened.folders.listing(("Trip",))
    title = opened.folders.title_of(("Trip",), trip)
    assert title == look(opened).albums[0].title == "Thailand"
    album_text.write_text("Laos")  # in place: the folder's mtime stays
    assert look(opened, "Trip").title == "Laos"
    album_text.unlink()
    assert look(opened, "Trip").title == "Trip"


@pytest.mark.parametrize("after", ["Trip/one.private.jpg", "Trip/Inner.private/one.jpg"])
def test_what_album_txt_says_of_a_photo_that_was_made_private_is_shown_to_nobody(
    library: Path, quiet: Open, after: str
) -> None:
    album_text = library / "Trip" / "album.txt"
    album_text.write_text("Thailand\nIt rained.\none.jpg: Us at night\ncover: one.jpg")
    opened = quiet()
    assert look(opened, "Trip").description == "It rained."
    (library / after).parent.mkdir(exist_ok=True)
    (library / "Trip" / "one.jpg").rename(library / after)
    album = look(opened, "Trip")
    assert (album.description, [item.caption for item in album.items]) == (
        "It rained.",
        [""],
    )


def test_of_texts_whose_names_differ_in_case_album_txt_goes_first(
    library: Path, quiet: Open
) -> None:
    opened = quiet()
    for name in ("ALBUM.TXT", "Album.txt", "album.txt"):
        (library / "Trip" / name).write_text(f"From {name}")
        assert look(opened, "Trip").title == f"From {name}"
    (library / "Trip" / "album.txt").unlink()
    assert look(opened, "Trip").title == "From Album.txt"


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
        item = opened.item(place_at(opened, "Trip", name))
        assert item and item.caption == caption


# What can be reached


def test_albums_photos_and_nothing_else_are_found(library: Path, quiet: Open) -> None:
    opened = quiet()
    place = place_at(opened, "Trip", "one.jpg")
    assert place.file and place.file.name == "one.jpg"
    assert set(place.folder.files) == {"one.jpg", "two.jpg"}
    place = place_at(opened, "Trip", "Beach")
    assert (place.file, place.rule.visibility) == (None, PUBLIC)
    assert set(place.folder.files) == {"sand.png"}


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
    for user in (False, True):
        assert not is_there(opened, *path, user=user)


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
def test_below_a_private_name_there_is_nothing_for_visitors_whether_it_exists_or_not(
    path: tuple[str, ...], open_library: Open
) -> None:
    assert not is_there(open_library(workers=0), *path)


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
    assert place_at(opened, user=True).rule.visibility == visibility
    assert place_at(opened, "Trip", "one.jpg", user=True).rule.visibility == visibility
    for address in ((), ("Trip",), ("Trip", "one.jpg")):
        assert is_there(opened, *address) == (visibility != PRIVATE)
    assert opened.folders.title_of((), opened.folders.listing(())) == "Album"


def test_names_that_could_be_taken_for_each_other_lead_to_what_they_name(
    library: Path, quiet: Open
) -> None:
    draw(library / " Trip " / "spaces.jpg")
    draw(library / "Day.hidden" / "hidden.jpg")
    (library / "Day").symlink_to("Secret.private")
    draw(library / "x.jpg" / "in a folder.jpg")
    draw(library / "drawn.jpg").rename(library / "x.jpg.private")
    opened = quiet()
    for user in (False, True):
        front = look(opened, user=user)
        for album in front.albums:
            assert look(opened, *album.address, user=user).items == album.items
        for item in front.items:
            assert place_at(opened, *item.address, user=user).parts == (item.file.name,)
    assert {" Trip ", "Trip", "Day", "Day.hidden", "x.jpg"} <= set(albums(front))
    assert names(look(opened, "Day")) == ["hidden.jpg"]
    assert is_there(opened, "x.jpg.private", "in a folder.jpg")


def test_the_state_folder_is_no_album_wherever_it_lies(library: Path) -> None:
    cache = library / "state" / "cache"
    draw(cache / renditions.RENDITIONS_FOLDER / "aa" / "private.webp")
    opened = photos.Library(library, cache, workers=0)
    assert "state" not in albums(look(opened))
    below = ("state", "cache", renditions.RENDITIONS_FOLDER, "aa", "private.webp")
    for depth in range(1, len(below) + 1):
        assert not is_there(opened, *below[:depth], user=True)
    opened.close()


def test_a_file_whose_name_says_private_is_listed_to_users_alone(
    library: Path, open_library: Open
) -> None:
    (library / "Trip" / "one.jpg").rename(library / "Trip" / "one.jpg.private")
    opened = read(open_library())
    assert names(look(opened, "Trip")) == ["two.jpg"]
    assert not is_there(opened, "Trip", "one.jpg.private")
    place = place_at(opened, "Trip", "one.jpg.private", user=True)
    assert place.rule.visibility == PRIVATE
    assert len(opened.album(place_at(opened, "Trip"), USER).items) == 2


def test_albums_nested_too_deeply_are_ignored_and_harm_nothing(
    library: Path, quiet: Open
) -> None:
    (library / Path(*["deep"] * (photos.DEPTH + 40))).mkdir(parents=True)
    opened = quiet()
    assert look(opened).photos == 4
    assert is_there(opened, *("deep",) * photos.DEPTH)
    assert not is_there(opened, *("deep",) * (photos.DEPTH + 1))


# Links

REFUSED = None


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
    if expected is not REFUSED:
        assert place_at(opened, link, user=True).rule.visibility == expected
    title = photos.parse_name(link).title
    for user in (False, True):
        may_open = expected is not REFUSED and (user or expected < PRIVATE)
        assert is_there(opened, link, user=user) == may_open
        front = look(opened, user=user)
        shown = expected is not REFUSED and (user or expected == PUBLIC)
        assert (title in albums(front) + names(front)) == shown


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
    assert place_at(opened, "Trip", "link.jpg").rule.visibility == PUBLIC
    assert look(opened).photos == 5
    middle.unlink()
    middle.symlink_to(library / "Secret.private" / "faces.jpg")
    assert look(opened).photos == 4
    assert not is_there(opened, "Trip", "link.jpg")
    assert place_at(opened, "Trip", "link.jpg", user=True).rule.visibility == PRIVATE


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
    assert not is_there(opened, "Trip", "one.jpg")
    shutil.rmtree(library / "New")
    assert albums(look(opened)) == ["Trip"]
    assert not is_there(opened, "New")


@pytest.mark.parametrize(
    ("name", "visibility"),
    [("Trip.private", PRIVATE), ("Trip.PRIVATE", PRIVATE), ("Trip.hidden", HIDDEN)],
)
def test_renaming_an_album_hides_it_at_the_next_call_and_back(
    name: str, visibility: photos.Visibility, library: Path, quiet: Open
) -> None:
    opened = quiet()
    assert albums(look(opened)) == ["Trip"]
    (library / "Trip").rename(library / name)
    assert (albums(look(opened)), look(opened).photos) == ([], 1)
    for folder in (name, "Trip"):
        assert is_there(opened, folder, "one.jpg") == (visibility != PRIVATE)
        place = place_at(opened, folder, "one.jpg", user=True)
        assert (place.parts, place.rule.visibility) == ((name, "one.jpg"), visibility)
    assert "Trip" in albums(look(opened, user=True))
    (library / name).rename(library / "Trip")
    assert albums(look(opened)) == ["Trip"]
    assert place_at(opened, "Trip", "one.jpg").rule.visibility == PUBLIC


@pytest.mark.parametrize("ahead", [7200, -7200])
def test_renaming_an_album_hides_it_also_after_the_clock_is_set(
    ahead: int, library: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = quiet()
    real_time = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real_time() + ahead)
        assert albums(look(opened)) == ["Trip"]
    (library / "Trip").rename(library / "Trip.private")
    assert (albums(look(opened)), is_there(opened, "Trip")) == ([], False)


def test_a_folder_dated_far_ahead_of_our_clock_is_read_again_only_when_it_changes(
    library: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 10 * 86400
    os.utime(library / "Trip", (later, later))
    folders = quiet().folders
    folders.listing(("Trip",))
    with monkeypatch.context() as patch:
        patch.setattr(folders, "_read_folder", None)
        assert len(folders.listing(("Trip",)).files) == 2
    draw(library / "Trip" / "three.jpg")
    assert len(folders.listing(("Trip",)).files) == 3


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
    place = place_at(opened, "Trip", "draft.jpg")
    assert not is_there(opened, "Trip", "one.jpg")
    around = opened.album_around(place, photos.VISITOR)
    assert around and names(around) == ["draft.jpg"]


def test_a_library_whose_disk_is_away_is_empty_until_it_is_back(
    library: Path, quiet: Open
) -> None:
    opened = quiet()
    library.rename(library.with_name("away"))
    assert (look(opened).photos, look(opened).albums) == (0, ())
    assert not is_there(opened, "Trip", "one.jpg")
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
    place = place_at(opened, "Names", name)
    assert place.file and place.file.name == name
    assert place.address == ("Names", name)
    assert names(look(opened, name)) == ["in a folder called so.jpg"]
    found[name].title.encode("utf-8")
    look(opened, name).title.encode("utf-8")


def test_folders_with_the_newest_files_go_first(library: Path, open_library: Open) -> None:
    for number, name in enumerate(
        ["Drafts.hidden/draft.jpg", "Trip/Beach/sand.png", "loose.jpg"]
    ):
        os.utime(library / name, (10**9 * 4 + number,) * 2)
    walked = [parts for parts, _ in open_library(workers=0).walk()]
    assert walked[:3] == [(), ("Trip", "Beach"), ("Drafts.hidden",)]
    assert len(walked) == 5
