"""A look at a library from tests: what is in an album, among the renditions, on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

import photos
import renditions

USER = photos.Principal("anna")
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


def place_at(library: photos.Library, *address: str, user: bool = False) -> photos.Place:
    """Return the place at an address, which a visitor or a user may open."""
    place = library.folders.locate(address, USER if user else photos.VISITOR)
    assert place is not None, address
    return place


def rendition(library: photos.Library, item: photos.Item, name: str) -> Path:
    """Return the file of a rendition, made now if it is missing."""
    return Path(library.rendition(item, name).path)


def is_there(library: photos.Library, *address: str, user: bool = False) -> bool:
    """Say whether there is anything at an address that a visitor or a user may open."""
    return library.folders.locate(address, USER if user else photos.VISITOR) is not None


def look(library: photos.Library, *address: str, user: bool = False) -> photos.Album:
    """Return an album as a visitor or a user finds it."""
    place = place_at(library, *address, user=user)
    return library.album(place, USER if user else photos.VISITOR)


def items_below(album: photos.Album) -> Iterator[photos.Item]:
    """Yield the items of an album and of all albums in it."""
    yield from album.items
    for child in album.albums:
        yield from items_below(child)


def names(album: photos.Album) -> list[str]:
    return [item.file.name for item in album.items]


def albums(album: photos.Album) -> list[str]:
    return [child.address[-1] for child in album.albums]


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
