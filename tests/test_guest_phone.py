"""A guest's phone: opens the link, tells the password, installs the share, looks; an owner makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import PHONE
from drawing import draw
from processes import Server
from visiting import PASSWORD

import photos

pytestmark = pytest.mark.whole
SECRET = "open sesame now"


@pytest.fixture
def server(tmp_path: Path, serve: Callable[[Path], Server]) -> Server:
    for number in range(5):
        draw(tmp_path / "Album" / "Wedding.private" / f"{number}.jpg")
    draw(tmp_path / "Album" / "Wedding.private" / "Church" / "door.jpg")
    state = tmp_path / "Album" / ".photos"
    photos.make_state_folder(state)
    users = photos.UserStore(state)
    users.register("olga", photos.parse_password(PASSWORD), owner=True)
    return serve(tmp_path / "Album")


def test_an_owner_makes_a_link_that_a_guest_opens_and_installs(
    server: Server, open_window: Callable[..., Any]
) -> None:
    page = open_window(server.address, closed=("/share/Wedding",))
    page.goto("/share/Wedding")
    page.fill("[name=user]", "olga")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.fill("[name=label]", "Grandma")
    page.fill("[name=password]", SECRET)
    page.get_by_role("button", name="Make the link").click()
    link = page.locator(".invitation .link").inner_text()
    assert page.locator(".invitation svg").bounding_box()["width"] > 150
    prefix = urlsplit(link).path

    guest = open_window(server.address, closed=(prefix,), **PHONE)
    asked: list[str] = []
    guest.on("request", lambda request: asked.append(urlsplit(request.url).path))
    guest.goto(prefix)
    guest.fill("[name=password]", SECRET)
    guest.get_by_role("button", name="Open the album").tap()
    guest.get_by_role("heading", name="Wedding").wait_for()
    manifest = guest.evaluate(
        "async () => (await fetch(document.querySelector('[rel=manifest]').href)).json()"
    )
    assert manifest["start_url"] == manifest["scope"] == prefix
    guest.locator(".grid a").first.tap()
    guest.get_by_role("dialog", name="Photo viewer").wait_for()
    guest.go_back()
    guest.get_by_role("link", name="Church").tap()
    guest.get_by_role("heading", name="Church").wait_for()
    assert all(path.startswith(prefix) for path in asked), asked

    page.goto("/shares")
    # What cannot be undone takes two taps.
    end = page.locator("form button", has_text="End the link")
    assert not end.is_visible()
    page.locator("summary", has_text="End the link").click()
    end.click()
    page.get_by_text("Nobody has a link yet.").wait_for()
    assert guest.goto(prefix).status == 404
