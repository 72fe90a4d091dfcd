"""The owner's pages about links for guests: making, showing, ending, and that nobody else has them."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from drawing import draw
from visiting import OWN, PASSWORD, Answer, Client, Page

import photos

pytestmark = pytest.mark.usefixtures("patient")

MONTHS = (
    "January February March April May June July August September October November December"
).split()


@pytest.fixture
def owner(site: photos.Site, library: Path) -> Client:
    users = photos.UserStore(library / ".photos")
    users.register("olga", photos.parse_password(PASSWORD), owner=True)
    client = Client(site)
    assert client.log_in("olga").status == 303
    return client


@pytest.fixture
def store(site: photos.Site, library: Path) -> photos.ShareStore:
    return photos.ShareStore(library / ".photos")


def make(client: Client, address: str = "Secret", **fields: str) -> Answer:
    form = {"label": "Grandma", "days": "30", "password": "", **fields}
    body = urlencode(form).encode()
    return client.request("POST", f"/share/{address}", body, **OWN)


def test_an_owner_makes_a_link_and_gets_a_card(
    owner: Client, store: photos.ShareStore, visitor: Client
) -> None:
    (form,) = {
        action
        for action in Page(owner.get("/share/Secret").text).actions
        if "share" in action
    }
    assert form == "/share/Secret"
    answer = make(owner)
    (share,) = store.all()
    assert (answer.status, answer.headers["location"]) == (303, f"/shares?show={share.id}")
    assert (share.label, share.album, share.creator) == ("Grandma", "Secret", "olga")
    assert share.until == dt.date.today() + dt.timedelta(days=30)
    text = owner.get(answer.headers["location"]).text
    link = re.search(r'href="http://127\.0\.0\.1:8080(/s/[\w-]{22}/)"', text)
    assert link and "<svg" in text and "Grandma" in text and "Secret" in text
    assert visitor.get(link[1]).status == 200


@pytest.mark.parametrize(
    "query", ["?label=Grandma&days=30", "?label=x&days=forever&add=yes"]
)
def test_a_stray_click_makes_no_link(
    owner: Client, store: photos.ShareStore, query: str
) -> None:
    assert owner.get(f"/share/Secret{query}").status == 200
    assert owner.request("HEAD", f"/share/Secret{query}").status == 200
    assert store.all() == []


def test_the_form_says_how_long_and_with_which_password(
    owner: Client, store: photos.ShareStore, visitor: Client
) -> None:
    assert make(owner, days="forever", password=PASSWORD).status == 303
    (share,) = store.all()
    assert share.until is None
    assert share.password.startswith("scrypt$") and PASSWORD not in share.password
    assert visitor.get(f"/s/{store.token(share)}/").status == 401


def test_the_form_says_whether_guests_may_add(
    owner: Client, store: photos.ShareStore
) -> None:
    assert "add" in Page(owner.get("/share/Secret").text).fields
    make(owner)
    make(owner, "Trip", add="yes")
    assert {share.album: share.may_add for share in store.all()} == {
        "Secret": False,
        "Trip": True,
    }
    assert owner.get("/shares").text.count("Guests may add photos") == 1
    refused = make(owner, label="", add="yes")
    assert refused.status == 400 and "checked" in refused.text


@pytest.mark.parametrize(
    "fields",
    [
        {"label": " "},
        {"label": "x" * 101},
        {"label": "a\0b"},
        {"days": ""},
        {"days": "0"},
        {"days": "-3"},
        {"days": "99999999"},
        {"password": "short"},
        {"password": "x" * 257},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(
    owner: Client, store: photos.ShareStore, fields: dict[str, str]
) -> None:
    answer = make(owner, **fields)
    assert answer.status == 400 and "<form" in answer.text
    assert store.all() == []


@pytest.mark.parametrize(
    ("language", "form"),
    [("en", "Until {0.day} {1} {0.year}"), ("ja", "{0.year}年{0.month}月{0.day}日まで")],
)
def test_the_end_of_a_link_is_a_date_as_its_reader_writes_it(
    owner: Client, store: photos.ShareStore, language: str, form: str
) -> None:
    answer = make(owner)
    (share,) = store.all()
    assert share.until
    said = form.format(share.until, MONTHS[share.until.month - 1])
    for address in ("/shares", answer.headers["location"]):
        page = owner.get(address, Accept_Language=language).text
        assert said in re.sub(r"</?time[^>]*>", "", page)
        assert share.until.isoformat() not in re.sub(r"<[^>]+>", "", page)


@pytest.mark.parametrize("days", ["1", "forever"])
def test_a_form_that_is_refused_keeps_how_long_the_link_opens(
    owner: Client, days: str
) -> None:
    make(owner)
    answer = make(owner, days=days)
    assert answer.status == 409
    assert re.findall('<option value="([^"]+)" selected', answer.text) == [days]


def test_a_form_that_is_refused_makes_no_link_without_its_password(owner: Client) -> None:
    page = owner.get("/share/Trip").text
    assert "required" not in page[page.index('name="password"') :].partition(">")[0]
    refused = make(owner, label="", password="a long secret").text
    assert "required" in refused[refused.index('name="password"') :].partition(">")[0]
    assert "a long secret" not in refused


def test_a_second_link_to_one_album_for_the_same_people_is_refused(
    owner: Client, store: photos.ShareStore
) -> None:
    assert [make(owner).status for _ in range(2)] == [303, 409]
    assert len(store.all()) == 1


@pytest.mark.parametrize(
    ("address", "album"), [("", ""), ("Trip/Beach", "Trip/Beach"), ("Trip/", "Trip")]
)
def test_any_album_and_the_library_can_be_shared(
    owner: Client, store: photos.ShareStore, address: str, album: str
) -> None:
    assert make(owner, address).status == 303
    assert [share.album for share in store.all()] == [album]


@pytest.mark.parametrize("address", ["Nowhere", "Trip/one.jpg", "..", "Secret/faces.jpg"])
def test_what_is_no_album_is_not_shared(
    owner: Client, store: photos.ShareStore, address: str
) -> None:
    assert owner.get(f"/share/{address}").status == 404
    assert make(owner, address).status == 404
    assert store.all() == []


def test_a_link_ends_by_a_press(
    owner: Client, store: photos.ShareStore, visitor: Client
) -> None:
    make(owner)
    (share,) = store.all()
    prefix = f"/s/{store.token(share)}"
    page = Page(owner.get("/shares").text)
    assert f"/shares/{share.id}/end" in page.actions
    assert owner.get(f"/shares/{share.id}/end").status in (404, 405)
    assert visitor.get(f"{prefix}/").status == 200
    for _ in range(2):
        assert owner.request("POST", f"/shares/{share.id}/end", **OWN).status == 303
        assert visitor.get(f"{prefix}/").status == 404


@pytest.mark.parametrize("who", ["visitor", "user", "guest"])
def test_nobody_else_has_these_pages(
    owner: Client, store: photos.ShareStore, visitor: Client, user: Client, who: str
) -> None:
    make(owner, "")
    (share,) = store.all()
    prefix = f"/s/{store.token(share)}" if who == "guest" else ""
    client = {"visitor": visitor, "user": user, "guest": owner}[who]
    for path in ("/share/Secret", "/share/Nowhere", "/share/", "/shares", "/shares?show=1"):
        assert client.get(prefix + path).status == 404
    assert make(client, f"/../{prefix}/share/Trip").status == 404
    end = f"{prefix}/shares/{share.id}/end"
    assert client.request("POST", end, **OWN).status == 404
    body = urlencode({"label": "x", "days": "30"}).encode()
    assert client.request("POST", f"{prefix}/share/Trip", body, **OWN).status == 404
    assert store.all() == [share]


def test_a_form_of_another_site_counts_for_nothing(
    owner: Client, store: photos.ShareStore
) -> None:
    make(owner)
    (share,) = store.all()
    foreign = {"Sec_Fetch_Site": "cross-site"}
    body = urlencode({"label": "x", "days": "30"}).encode()
    assert owner.request("POST", "/share/Trip", body, **foreign).status == 403
    assert owner.request("POST", f"/shares/{share.id}/end", **foreign).status == 403
    assert store.all() == [share]


@pytest.mark.whole
def test_only_owners_are_offered_links_for_guests(
    owner: Client, user: Client, visitor: Client
) -> None:
    for path, link in (
        ("/", "/share/"),
        ("/album/Trip/", "/share/Trip"),
        ("/album/Secret/", "/share/Secret"),
    ):
        assert link in Page(owner.get(path).text).links
        assert link not in Page(user.get(path).text).links
        assert link not in Page(visitor.get(path).text).links


@pytest.mark.whole
def test_nobody_is_offered_to_hand_out_the_address_of_a_private_album(
    owner: Client, user: Client, visitor: Client
) -> None:
    for path in ("/album/Secret/", "/album/Secret/faces.jpg"):
        for client in (owner, user):
            assert "data-share" not in Page(client.get(path).text).attributes
    for client in (owner, user, visitor):
        assert "data-share" in Page(client.get("/album/Trip/").text).attributes


def test_the_list_tells_what_has_ended(
    owner: Client, store: photos.ShareStore, library: Path
) -> None:
    make(owner)
    (library / "Secret.private").rename(library.parent / "away")
    text = owner.get("/shares").text
    assert "its album is gone" in text and "Not used yet" in text


def test_names_that_hurt_are_escaped(owner: Client, store: photos.ShareStore) -> None:
    label = '<script>alert("1")</script>'
    location = make(owner, label=label).headers["location"]
    text = owner.get(location).text
    assert label not in text and "&lt;script&gt;" in text


def test_the_form_of_an_inbox_proposes_that_guests_may_add(
    owner: Client, library: Path
) -> None:
    draw(library / "Party.inbox" / "first.jpg")
    proposal = re.compile('name="add"[^>]* checked')
    assert proposal.search(owner.get("/share/Party").text)
    assert not proposal.search(owner.get("/share/Secret").text)
    # Asked again, the form says what the owner chose.
    assert not proposal.search(make(owner, "Party", days="x").text)
    assert proposal.search(make(owner, "Party", days="x", add="yes").text)
