"""The timeline: years, months and days of all that somebody finds."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawing import draw, exif
from looking import Open, look, read
from processes import eventually
from visiting import Client, Page, crawl, invite

import photos

Ask = Callable[..., Page]


def take(path: Path, date: str, **save: Any) -> Path:
    """Draw a photo that was taken at noon of a day, or at another time: 2024:05:06, 2024:05:06 07:08:09."""
    time = date if " " in date else f"{date} 12:00:00"
    return draw(path, exif=exif(time), **save)


@pytest.fixture
def ask(site: photos.Site, visitor: Client) -> Ask:
    """Returns a page as a visitor sees it, after all photos were read."""

    def page(address: str, client: Client = visitor) -> Page:
        read(site._library)
        answer = client.get(address)
        assert answer.status == 200, address
        return Page(answer.text)

    return page


def months_of(album: photos.Album) -> list[tuple[photos.Month, int, int]]:
    periods = photos.Finder().months(album)
    return [(period.month, period.photos, period.videos) for period in periods]


def test_months_count_what_lies_in_all_albums_the_oldest_first(quiet: Open) -> None:
    months = months_of(look(quiet()))
    # The picture without a date has that of its file: of today.
    today = dt.date.today()
    assert months == [
        ((2020, 1), 1, 0),
        ((2024, 5), 2, 0),
        ((today.year, today.month), 1, 0),
    ]


def test_a_photo_stands_in_the_month_of_the_clocks_where_it_was_taken(
    library: Path, quiet: Open
) -> None:
    early = exif("2023:01:01 00:30:00", offset="+12:00")  # still 2022 in Greenwich
    draw(library / "Far" / "early.jpg", exif=early)
    late = exif("2022:12:31 23:30:00", offset="-10:00")  # 2023 already in Greenwich
    draw(library / "Far" / "late.jpg", exif=late)
    album = look(quiet())
    finder = photos.Finder()
    assert [item.title for item in finder.taken_in(album, (2023, 1))] == ["early.jpg"]
    assert [item.title for item in finder.taken_in(album, (2022, 12))] == ["late.jpg"]


@pytest.mark.parametrize("order", ["", "sort: name\n"])
def test_a_month_holds_the_photos_of_all_albums_in_the_order_of_time(
    library: Path, quiet: Open, order: str
) -> None:
    take(library / "Walk" / "b.jpg", "2024:05:06 06:00:00")
    take(library / "Walk" / "a.jpg", "2024:05:08 06:00:00")
    take(library / "Walk" / "aa.jpg", "2024:06:08 06:00:00")
    take(library / "Walk" / "c.jpg", "2024:05:06 09:00:00")
    (library / "Walk" / "album.txt").write_text(f"Walk\n{order}")
    items = photos.Finder().taken_in(look(quiet()), (2024, 5))
    assert [item.title for item in items] == [
        "b.jpg",
        "one.jpg",
        "c.jpg",
        "two.jpg",
        "a.jpg",
    ]


def test_what_changes_in_an_album_changes_the_timeline(library: Path, quiet: Open) -> None:
    album_library = quiet()
    finder = photos.Finder()
    assert len(finder.taken_in(look(album_library), (2024, 5))) == 2
    take(library / "Trip" / "three.jpg", "2024:05:30")
    read(album_library)
    assert len(finder.taken_in(look(album_library), (2024, 5))) == 3
    (library / "Trip").rename(library / "Trip.private")
    assert finder.taken_in(look(album_library), (2024, 5)) == []
    assert (2024, 5) not in {period.month for period in finder.months(look(album_library))}


def test_calendars_of_albums_that_are_gone_leave_the_memory(
    library: Path, quiet: Open
) -> None:
    album_library = quiet()
    finder = photos.Finder()
    finder.months(look(album_library))
    kept = len(finder._calendars)
    for number in range(5):
        take(library / "Trip" / f"new {number}.jpg", "2024:05:30")
        read(album_library)
        finder.months(look(album_library))
        # What an album was before may be kept once more, by the page made of it.
        assert len(finder._calendars) <= kept + 1


def test_other_years_on_this_day_are_told_by_photos_and_not_by_mtimes(
    library: Path, quiet: Open
) -> None:
    take(library / "Old" / "a.jpg", "2011:08:14")
    take(library / "Old" / "b.jpg", "2015:08:14")
    take(library / "Old" / "c.jpg", "2015:08:15")
    take(library / "Old" / "d.jpg", "2022:08:14")
    take(library / "Quartz.private" / "zebra.jpg", "2013:08:14")
    copied = draw(library / "Old" / "scan.png")
    moment = dt.datetime(2017, 8, 14, 12).timestamp()
    os.utime(copied, (moment, moment))
    album_library = quiet()
    finder = photos.Finder()
    today = dt.date(2022, 8, 14)
    found = finder.days_like(look(album_library), today)
    assert [day.year for day in found] == [2015, 2011]
    known = look(album_library, user=True)
    assert [day.year for day in finder.days_like(known, today)] == [2015, 2013, 2011]
    assert [day.year for day in finder.days_like(known, dt.date(2022, 8, 16))] == []


# Pages


def test_years_lead_to_months_and_months_to_photos(library: Path, ask: Ask) -> None:
    take(library / "Trip" / "three.jpg", "2024:07:30")
    assert "/timeline/" in ask("/").links
    years = ask("/timeline/")
    assert "/timeline/2024/" in years.links
    assert "/timeline/2020/" in years.links
    assert years.links.index("/timeline/2024/") < years.links.index("/timeline/2020/")
    months = ask("/timeline/2024/")
    assert "2 photos" in months.text
    month = ask("/timeline/2024/05/")
    assert month.items == ["/album/Trip/one.jpg", "/album/Trip/two.jpg"]


@pytest.mark.whole
def test_photos_of_one_day_and_shape_are_described_by_their_own_albums(
    library: Path, site: photos.Site, visitor: Client
) -> None:
    for name, day in (("Sea/a.jpg", 9), ("Hills/b.jpg", 9), ("Sea/c.jpg", 10)):
        take(library / name, f"2024:08:{day:02}")
    read(site._library)
    text = visitor.get("/timeline/2024/08/").text
    tiles = re.findall(r'data-title="(.\.jpg)".*?alt="([^"]*)"', text)
    assert sorted(tiles) == [
        ("a.jpg", "Photo in Sea, 9 August 2024"),
        ("b.jpg", "Photo in Hills, 9 August 2024"),
        ("c.jpg", "Photo in Sea, 10 August 2024"),
    ]


def test_a_chat_shows_no_picture_with_a_link_to_the_timeline(
    make_site: Callable[..., photos.Site],
) -> None:
    public = "https://photos.example.org"
    app = make_site(public_address=public)
    read(app._library)
    client = Client(app, wsgi_url_scheme="https", HTTP_HOST="photos.example.org")
    for path in ("/timeline/", "/timeline/2024/", "/timeline/2024/05/", "/search?q=2024"):
        text = client.get(path).text
        assert f'property="og:url" content="{public}{path}"' in text
        assert "og:image" not in text


def test_every_link_of_the_timeline_leads_to_a_page_whatever_the_clocks_said(
    library: Path, site: photos.Site, visitor: Client
) -> None:
    for year in ("0001", "0987", "1899", "9999"):
        take(library / "Old" / f"{year}.jpg", f"{year}:05:06 07:08:09")
    read(site._library)
    answers = crawl(visitor, "/timeline/")
    assert {answer.status for answer in answers.values()} <= {200, 303}
    assert {"/timeline/0001/05/", "/timeline/0987/", "/timeline/9999/05/"} <= answers.keys()


def test_the_years_below_the_rail_do_not_lie_on_each_other(
    library: Path, ask: Ask, visitor: Client
) -> None:
    months = itertools.product((2014, 2015), range(1, 13))
    dates = [f"{year}:{month:02}:01" for year, month in months]
    for date in ("1601:06:06", "2004:03:01", "2009:05:01", *dates):
        take(library / "Old" / f"{date.replace(':', '-')}.jpg", date)
    ask("/timeline/")  # all photos are read by now
    rail = visitor.get("/timeline/").text.partition("data-rail")[2]
    bars = rail.split("<li")[1:]
    labelled = [at for at, bar in enumerate(bars) if "data-year" in bar]
    assert len(labelled) > 2
    # On a phone all bars together are 366 pixels wide, and a year is 30.
    assert all(len(bars) / 12 < b - a for a, b in itertools.pairwise(labelled))


@pytest.mark.whole
def test_each_day_of_a_month_has_a_heading(ask: Ask) -> None:
    text = ask("/timeline/2024/05/").text
    first, second = text.index("6 May 2024"), text.index("7 May 2024")
    assert first < second


def test_pages_of_a_hundred_lead_across_months(library: Path, ask: Ask) -> None:
    first = take(library / "Many" / "000.jpg", "2021:03:01").read_bytes()
    for number in range(1, 120):
        copied = library / "Many" / f"{number:03}.jpg"
        copied.write_bytes(first + str(number).encode())
    one = ask("/timeline/2021/03/")
    assert len(one.items) == 100
    assert "/timeline/2021/03/?page=2" in one.links
    assert "/timeline/2020/01/" in one.links
    two = ask("/timeline/2021/03/?page=2")
    assert len(two.items) == 20
    assert "/timeline/2024/05/" in two.links
    back = ask("/timeline/2024/05/")
    assert "/timeline/2021/03/?page=2" in back.links


@pytest.mark.parametrize(
    "address",
    [
        *(
            "/timeline/1999/",
            "/timeline/2024/04/",
            "/timeline/2024/13/",
            "/timeline/2024/00/",
        ),
        *(
            "/timeline/0000/",
            "/timeline/2024/5/",
            "/timeline/%D9%A2%D9%A0%D9%A2%D9%A4/",
            "/timeline/-024/",
        ),
        *("/timeline/2024/05/?page=2", "/timeline/2024/?page=2", "/timeline/?page=2"),
        *("/timeline/2024/05/?page=x", "/timeline/99999/", "/timeline/2024/05/06/"),
    ],
)
def test_a_time_without_photos_is_not_there(
    ask: Ask, visitor: Client, address: str
) -> None:
    ask("/timeline/")
    assert visitor.get(address).status == 404


def test_private_photos_leave_no_trace_in_the_timeline_of_a_visitor(
    site: photos.Site, library: Path, visitor: Client, user: Client
) -> None:
    never = visitor.get("/timeline/2019/")
    read(site._library)
    assert user.get("/timeline/2023/03/").status == 200
    there = visitor.get("/timeline/2023/")
    assert (there.status, len(there.body)) == (404, len(never.body))
    assert "2023" not in visitor.get("/timeline/").text
    # A rename counts at the next request, also for pages that are kept.
    assert visitor.get("/timeline/2020/01/").status == 200
    assert visitor.get("/timeline/2024/05/").status == 200
    (library / "Trip").rename(library / "Trip.private")
    assert visitor.get("/timeline/2024/05/").status == 404
    assert "2024" not in visitor.get("/timeline/").text
    assert user.get("/timeline/2024/05/").status == 200


def test_what_is_unlisted_is_in_the_timeline_of_users_alone(
    site: photos.Site, visitor: Client, user: Client
) -> None:
    read(site._library)
    assert visitor.get("/timeline/2022/").status == 404
    page = Page(user.get("/timeline/2022/02/").text)
    assert page.items == ["/album/Drafts/draft.jpg"]


def test_the_timeline_is_kept_by_browsers_of_strangers_alone_and_listed_nowhere(
    site: photos.Site, visitor: Client, user: Client
) -> None:
    read(site._library)
    headers = visitor.get("/timeline/2024/05/").headers
    assert headers["x-robots-tag"] == "noindex"
    assert headers["cache-control"] == "private, no-cache"
    assert user.get("/timeline/2024/05/").headers["cache-control"] == "no-store"


def test_a_guest_finds_the_months_of_the_share(
    site: photos.Site, library: Path, visitor: Client
) -> None:
    read(site._library)
    prefix = invite(library / ".photos", "Secret")
    years = Page(visitor.get(f"{prefix}/timeline/").text)
    assert f"{prefix}/timeline/2023/" in years.links
    assert "2024" not in years.text
    month = Page(visitor.get(f"{prefix}/timeline/2023/03/").text)
    assert month.items == [f"{prefix}/album/faces.jpg"]
    assert visitor.get(f"{prefix}/timeline/2024/05/").status == 404


def test_an_empty_library_has_an_empty_timeline(tmp_path: Path) -> None:
    state = tmp_path / "Empty" / ".photos"
    photos.make_state_folder(state)
    app = photos.create_app(state, background=False)
    try:
        page = Page(Client(app).get("/timeline/").text)
        front = Page(Client(app).get("/").text)
    finally:
        app.close()
    assert "no photos" in page.text.lower()
    assert "/timeline/" not in front.links


def test_what_holds_only_broken_files_has_a_cover_that_says_so(
    library: Path, ask: Ask
) -> None:
    (library / "Broken").mkdir()
    broken = library / "Broken" / "old.jpg"
    broken.write_bytes(b"no picture")
    os.utime(broken, (dt.datetime(2011, 6, 1).timestamp(),) * 2)
    (library / "Nothing").mkdir()
    for address in ("/", "/timeline/", "/timeline/2011/"):
        images = ask(address).images
        assert sum("placeholder.svg" in image for image in images) == 1, address


def test_the_alternative_text_of_a_photo_names_its_own_album(ask: Ask) -> None:
    assert "Photo in Trip, 6 May 2024" in ask("/timeline/2024/05/").texts


# On this day


@pytest.fixture
def past(library: Path) -> dt.date:
    """Return today, after a visitor's album and a private one got photos of this day in other years."""
    today = dt.date.today()
    day = f"{today.month:02}:{today.day:02}"
    take(library / "Old" / "a.jpg", f"2012:{day}")
    take(library / "Old" / "b.jpg", f"2016:{day}")
    take(library / "Old" / "now.jpg", f"{today.year}:{day}")
    take(library / "Secret.private" / "c.jpg", f"2008:{day}")
    return today


def memories(client: Client) -> list[str]:
    """Return the years that the front page names, each of which leads to a search for that day."""
    answer = client.get("/")
    assert answer.status == 200
    links = [link for link in Page(answer.text).links if "/search?q=" in link]
    return [link.partition("=")[2][:4] for link in links]


def test_the_front_page_leads_to_this_day_in_other_years(
    site: photos.Site, past: dt.date, visitor: Client, user: Client
) -> None:
    read(site._library)
    assert memories(visitor) == ["2016", "2012"]
    assert memories(visitor) == ["2016", "2012"], "a page that is kept"
    assert memories(user) == ["2016", "2012", "2008"]
    assert "On this day" in visitor.get("/").text
    found = Page(visitor.get(f"/search?q=2016-{past.month:02}-{past.day:02}").text)
    assert found.items == ["/album/Old/b.jpg"]
    assert memories_of_an_album(visitor) == []


def memories_of_an_album(client: Client) -> list[str]:
    links = Page(client.get("/album/Old/").text).links
    return [link for link in links if "/search?q=" in link]


def test_a_day_without_photos_in_other_years_is_not_mentioned(
    site: photos.Site, visitor: Client
) -> None:
    read(site._library)
    assert memories(visitor) == []
    assert "On this day" not in visitor.get("/").text


def test_what_becomes_private_is_no_memory_any_more(
    site: photos.Site, library: Path, past: dt.date, visitor: Client
) -> None:
    read(site._library)
    assert memories(visitor) == ["2016", "2012"]
    (library / "Old").rename(library / "Old.private")
    assert memories(visitor) == []
    (library / "Old.private").rename(library / "Old")
    assert memories(visitor) == ["2016", "2012"]


def test_at_midnight_the_memories_are_those_of_the_next_day(
    site: photos.Site, past: dt.date, visitor: Client
) -> None:
    read(site._library)
    assert memories(visitor) == ["2016", "2012"]
    tomorrow = photos.Circumstances(past + dt.timedelta(days=1))
    site._library.folders.circumstances = lambda: tomorrow
    assert memories(visitor) == []


def test_the_dates_of_many_photos_are_read_while_nobody_waits(
    site: photos.Site, past: dt.date, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "READ_AT_ONCE", 2)
    read(site._library)
    eventually(lambda: memories(visitor) == ["2016", "2012"])
