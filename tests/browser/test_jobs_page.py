"""The sysadmins' page about map previews: it stays fresh, and in nobody's way."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect
from portal import Resource, Site, geojson, point

PATH = "/ckan-admin/hdxjobs-jobs"
CUT_OFF = geojson((point(1, 2), {"name": "x"}))[:-30]
#: Longer than the page waits before it looks again.
A_WHILE_MS = 5_000
#: And than it waits for an answer.
TOO_LONG_MS = 30_000
OTHER = '<tr id="other"><th>other-error</th></tr>'


@pytest.fixture(scope="module", autouse=True)
def broken(site: Site) -> Resource:
    """A file that failed."""
    resource = site.upload("cut.geojson", CUT_OFF)
    assert site.finished(resource)["state"] == "failed"
    return resource


@pytest.fixture
def sysadmin(editor: Page) -> Page:
    """On the page, with a clock that tests move on."""
    editor.clock.install()
    editor.goto(PATH)
    expect(editor.get_by_label("Look again every few seconds")).to_be_visible()
    return editor


def later(page: Page, change: Callable[[str], str]) -> None:
    """The site answers with a page that has changed, from the next look on."""
    page.route(f"**{PATH}", changed(change))
    page.clock.run_for(A_WHILE_MS)


def changed(change: Callable[[str], str]) -> Callable[[Route], None]:
    def answer(route: Route) -> None:
        reply = route.fetch()
        route.fulfill(response=reply, body=change(reply.text()))

    return answer


def button_of(page: Page) -> Locator:
    """Of the error of the file that failed; other tests' files may have failed by others."""
    row = page.locator('[data-hdxjobs-failure="unreadable"]')
    return row.get_by_role("button", name="Try all again")


def with_row(row: str) -> Callable[[str], str]:
    """Another error above those that are there."""

    def change(html: str) -> str:
        head, mark, tail = html.partition('<section id="hdxjobs-failures">')
        return head + mark + tail.replace("<tbody>", f"<tbody>{row}", 1)

    return change


def with_summary(summary: str, html: str) -> str:
    return re.sub('jobs-summary="[^"]*"', f'jobs-summary="{summary}"', html)


def without_rows(html: str) -> str:
    return re.sub(r'<tr id="hdxjobs-failure-.*?</tr>', "", html, flags=re.DOTALL)


def test_the_focus_stays_on_a_button_while_other_errors_come(sysadmin: Page) -> None:
    button = button_of(sysadmin)
    button.focus()
    button.evaluate("element => { element.same = true; }")

    later(sysadmin, with_row(OTHER))

    expect(sysadmin.get_by_text("other-error")).to_be_visible()
    assert sysadmin.evaluate("document.activeElement.same") is True


def test_the_focus_stays_near_when_its_button_goes(sysadmin: Page) -> None:
    button_of(sysadmin).focus()

    later(sysadmin, without_rows)

    expect(sysadmin.get_by_role("heading", name="What failed")).to_be_focused()


def test_a_button_works_by_keyboard(site: Site, broken: Resource, sysadmin: Page) -> None:
    button = button_of(sysadmin)
    expect(button).to_have_accessible_description("unreadable")
    button.focus()

    sysadmin.keyboard.press("Enter")

    expect(sysadmin.get_by_text("Previews that are made again:")).to_be_visible()
    # The tests that follow want it among those that failed.
    site.finished(broken)


def test_a_site_that_says_nothing_is_told(sysadmin: Page) -> None:
    sysadmin.route(f"**{PATH}", lambda route: None)

    sysadmin.clock.run_for(TOO_LONG_MS)

    expect(sysadmin.get_by_text("The site does not answer")).to_be_visible()


def test_a_site_that_answers_again_is_believed(sysadmin: Page) -> None:
    sysadmin.route(f"**{PATH}", lambda route: route.fulfill(status=500))
    sysadmin.clock.run_for(A_WHILE_MS)
    expect(sysadmin.get_by_text("The site does not answer")).to_be_visible()
    sysadmin.unroute(f"**{PATH}")

    sysadmin.clock.run_for(A_WHILE_MS)

    expect(sysadmin.get_by_text("The site does not answer")).to_have_count(0)


def test_whoever_was_logged_out_is_told(sysadmin: Page) -> None:
    sysadmin.context.clear_cookies()

    sysadmin.clock.run_for(A_WHILE_MS)

    expect(sysadmin.get_by_text("Load it again, and log in")).to_be_visible()


def test_the_page_stands_still_when_its_reader_wants_so(sysadmin: Page) -> None:
    asked: list[str] = []
    sysadmin.get_by_label("Look again every few seconds").uncheck()
    sysadmin.on("request", lambda request: asked.append(request.url))

    sysadmin.clock.run_for(10 * A_WHILE_MS)
    # The test's own request: those of the page would be told before it.
    sysadmin.evaluate("() => fetch(window.location.href).then((answer) => answer.status)")

    assert len([url for url in asked if url.endswith(PATH)]) == 1


def test_only_what_is_out_of_order_is_read_out(sysadmin: Page) -> None:
    spoken = sysadmin.locator("[data-hdxjobs-jobs-spoken]")
    row, summary = "", "Out of order: sweep"
    sysadmin.route(f"**{PATH}", changed(lambda html: with_summary(summary, with_row(row)(html))))
    sysadmin.reload()
    row = OTHER
    sysadmin.clock.run_for(A_WHILE_MS)
    expect(sysadmin.get_by_text("other-error")).to_be_visible()
    assert spoken.text_content() == ""

    summary = "Out of order: Redis"
    sysadmin.clock.run_for(A_WHILE_MS)

    expect(spoken).to_have_text("Out of order: Redis")


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("prefix", ["", "/ar"])
def test_nothing_but_a_table_is_wider_than_the_window(sysadmin: Page, width: int, prefix: str) -> None:
    sysadmin.set_viewport_size({"width": width, "height": 844})
    sysadmin.goto(prefix + PATH)
    outside = sysadmin.locator("[data-hdxjobs-jobs]").evaluate(
        """element => [...element.querySelectorAll(':not(.table-responsive *)')].filter((part) => {
            const {left, right} = part.getBoundingClientRect();
            return left < 0 || right > window.innerWidth;
        }).length"""
    )
    assert outside == 0
