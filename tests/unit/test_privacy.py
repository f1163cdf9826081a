"""What may be known of a visitor: hashes, cuts, masks, and who is no visitor at all."""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.hdxjobs.analytics import consent, privacy, visits
from ckanext.hdxjobs.analytics.events import JSON

NOTHING: frozenset[str] = frozenset()
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)


def cleaned(properties: dict[str, JSON], **options: Any) -> dict[str, JSON]:
    rules: dict[str, Any] = {"is_private": False, "is_personal": False, "allowed": NOTHING}
    return privacy.cleaned(properties, **(rules | options))


def test_a_visitor_is_the_same_for_a_day_and_another_the_next_day() -> None:
    who = {"address": "203.0.113.7", "agent": CHROME, "site": "portal.example"}

    assert privacy.visitor_id(b"monday", **who) == privacy.visitor_id(b"monday", **who)
    assert privacy.visitor_id(b"monday", **who) != privacy.visitor_id(b"tuesday", **who)


def test_a_visitors_hash_holds_neither_address_nor_agent() -> None:
    hashed = privacy.visitor_id(b"salt", address="203.0.113.7", agent="curl/8.0", site="portal.example")

    assert len(hashed) == 32
    assert set(hashed) <= set("0123456789abcdef")


def test_a_session_is_ten_digits() -> None:
    session = privacy.session_id("0123456789abcdef")

    assert len(session) == 10
    assert session.isdigit()


def test_a_withheld_visitor_has_no_session() -> None:
    assert privacy.session_id("") == ""


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("not an address", None),
    ],
)
def test_an_address_is_cut_to_its_network(address: str, network: str | None) -> None:
    assert privacy.cut_address(address) == network


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.org/dataset?q=secret#part", "https://x.org/dataset"),
        ("https://ann:pass@x.org/a", "https://x.org/a"),
        ("https://x.org/user/ann", "https://x.org/user"),
        ("https://x.org/fr/user/activity/ann", "https://x.org/fr/user"),
        ("https://x.org/data/en/user/edit/ann", "https://x.org/data/en/user"),
        ("https://x.org/data/dashboard/ann", "https://x.org/data/dashboard"),
        ("https://x.org/dataset/user/resource/ann", "https://x.org/dataset/user/resource/ann"),
        ("https://x.org/dashboard/datasets", "https://x.org/dashboard"),
        ("https://x.org/dataset/user-survey", "https://x.org/dataset/user-survey"),
        ("javascript:alert(1)", ""),
        ("https://[broken", ""),
    ],
)
def test_an_address_is_shown_without_what_is_personal(url: str, shown: str) -> None:
    assert privacy.shown_url(url) == shown


def test_search_text_is_withheld() -> None:
    assert cleaned({"search term": "my illness", "number of results": 3}) == {"number of results": 3}


def test_search_text_is_kept_where_the_site_allows_it() -> None:
    assert cleaned({"search term": "wells"}, allowed={"search_text"}) == {"search term": "wells"}


def test_names_of_a_private_dataset_are_withheld_and_its_id_is_not() -> None:
    told = cleaned(
        {
            **{"dataset name": "plan", "dataset id": "1", "resource name": "draft.csv", "page title": "Plan"},
            **{"$current_url": "https://x.org/dataset/plan", "destination url": "https://y.org/plan"},
        },
        is_private=True,
    )

    assert told == {"dataset id": "1"}


def test_the_title_of_a_users_page_is_withheld() -> None:
    assert cleaned({"page title": "Ann Smith - Users", "$os": "Linux"}, is_personal=True) == {"$os": "Linux"}


@pytest.mark.parametrize("name", ["user name", "email", "fullname", "author"])
def test_people_are_withheld(name: str) -> None:
    assert cleaned({name: "Ann"}) == {}


def test_an_e_mail_address_is_masked_wherever_it_stands() -> None:
    told = cleaned({"link label": "Write to ann.smith@x.org!", "tag filters": ["a", "bob@y.net"]})

    assert told == {"link label": "Write to [e-mail]!", "tag filters": ["a", "[e-mail]"]}


def test_empty_values_are_not_stored() -> None:
    assert cleaned({"$browser": "", "org name": None, "authenticated": False, "layers": 0}) == {
        "authenticated": False,
        "layers": 0,
    }


@pytest.mark.parametrize(
    ("agent", "crawler"),
    [
        (CHROME, False),
        (PHONE, False),
        ("curl/8.5.0", False),
        ("python-requests/2.32", False),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/126.0.0.0 Safari/537.36", False),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", True),
        ("facebookexternalhit/1.1", True),
        ("", True),
        ("our-Monitor/1", True),
    ],
)
def test_crawlers_are_told_from_visitors(agent: str, crawler: bool) -> None:
    assert privacy.is_crawler(agent, privacy.PROGRAMS, frozenset({"our-monitor"})) is crawler


def test_a_site_may_take_programs_for_crawlers() -> None:
    assert privacy.is_crawler("curl/8.5.0", NOTHING, NOTHING)


@pytest.mark.parametrize(
    ("agent", "family", "system"),
    [
        (CHROME, ("Chrome", "126"), "Linux"),
        (PHONE, ("Safari", "17"), "iOS"),
        (
            "Mozilla/5.0 (Windows NT 10.0; rv:127.0) Gecko/20100101 Firefox/127.0",
            ("Firefox", "127"),
            "Windows",
        ),
        (CHROME + " Edg/126.0", ("Edge", "126"), "Linux"),
        ("curl/8.5.0", ("curl", "8"), ""),
        ("Mozilla/5.0 (unknown)", ("", ""), ""),
    ],
)
def test_an_agent_is_known_by_family_and_major_version(
    agent: str, family: tuple[str, str], system: str
) -> None:
    assert (privacy.browser(agent), privacy.system(agent)) == (family, system)


@pytest.mark.parametrize(
    ("headers", "prefetch"),
    [
        ({"Sec-Purpose": "prefetch;prerender"}, True),
        ({"Purpose": "prefetch"}, True),
        ({"X-Moz": "prefetch"}, True),
        ({}, False),
    ],
)
def test_what_a_browser_fetches_ahead_is_told_from_a_visit(headers: dict[str, str], prefetch: bool) -> None:
    assert privacy.is_prefetch(headers) is prefetch


class Request:
    def __init__(self, headers: dict[str, str] | None = None, cookies: dict[str, str] | None = None) -> None:
        self.headers = headers or {}
        self.cookies = cookies or {}


def agreed(request: Any) -> bool:
    return "agreed" in request.cookies


def broken(request: Any) -> bool:
    raise RuntimeError


@pytest.mark.parametrize(
    ("rule", "headers", "cookies", "given"),
    [
        ("none", {}, {}, True),
        ("none", {"DNT": "1"}, {}, False),
        ("none", {"Sec-GPC": "1"}, {}, False),
        ("none", {"DNT": "0"}, {}, True),
        ("cookie:ok", {}, {}, False),
        ("cookie:ok", {}, {"ok": "yes"}, True),
        ("cookie:ok", {}, {"ok": "false"}, False),
        ("cookie:ok=all", {}, {"ok": "all"}, True),
        ("cookie:ok=all", {}, {"ok": "some"}, False),
        ("cookie:ok", {"DNT": "1"}, {"ok": "yes"}, False),
        (f"{__name__}:agreed", {}, {"agreed": ""}, True),
        (f"{__name__}:agreed", {}, {}, False),
        (f"{__name__}:broken", {}, {}, False),
        ("no.such.module:function", {}, {}, False),
        ("nonsense", {}, {}, False),
    ],
)
def test_consent_is_what_the_site_and_the_visitor_say(
    rule: str, headers: dict[str, str], cookies: dict[str, str], given: bool
) -> None:
    assert consent.given(Request(headers, cookies), rule) is given


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://x.org"}, False),
        ({"Origin": "https://x.org"}, True),
        ({"Origin": "https://evil.org", "Referer": "https://x.org/"}, False),
        ({"Referer": "https://x.org/dataset"}, True),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_a_request_of_this_sites_pages_is_told_from_others(headers: dict[str, str], same: bool) -> None:
    assert visits.is_same_site(headers, site="x.org") is same


@pytest.mark.parametrize(
    ("path", "headers", "source"),
    [
        ("/api/3/action/package_show", {}, "api"),
        ("/dataset/a/resource/b/download", {"Referer": "https://x.org/dataset/a"}, "web"),
        ("/dataset/a/resource/b/download", {"Referer": "https://news.org/"}, "direct"),
        ("/dataset/a/resource/b/download", {}, "direct"),
    ],
)
def test_an_event_says_where_it_came_from(path: str, headers: dict[str, str], source: str) -> None:
    assert visits.source_of(path, headers, site="x.org") == source
