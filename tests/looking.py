"""A look at a library from tests: what is in an album, among the renditions, on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
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
