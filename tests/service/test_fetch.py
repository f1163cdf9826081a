"""Links and uploads: real sockets, real lies."""

from __future__ import annotations

import socket
import time

import pytest
from weblinks import BODY, PATIENCE_S, failure_of, get

from ckanext.hdxjobs.geopreview.values import Link, Progress


def test_a_link_is_downloaded(tmp_path, origin):
    download = get(tmp_path, f"{origin}/ok")
    assert download.path.read_bytes() == BODY
    assert download.byte_count == len(BODY)


def test_an_upload_is_read_from_storage(tmp_path):
    download = get(tmp_path, open_upload=lambda: iter([BODY[:10], BODY[10:]]))
    assert download.path.read_bytes() == BODY


def test_a_storage_that_is_too_slow_is_not_called_a_link(tmp_path):
    error = failure_of(tmp_path, open_upload=lambda: iter([BODY]), deadline_s=0)
    assert (error.code, error.failure.retryable) == ("storage-unavailable", True)


def test_an_upload_over_the_cap_is_refused(tmp_path):
    error = failure_of(tmp_path, open_upload=lambda: iter([b"x" * 600, b"x" * 600]), max_bytes=1024)
    assert (error.code, error.params) == ("file-too-big", {"limit": "1 kB", "found": "1.2 kB"})


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "link-not-found"), (410, "link-not-found"), (401, "link-refused"), (403, "link-refused"), (418, "link-refused"),
     (408, "link-unreachable"), (429, "link-unreachable"), (500, "link-unreachable"), (503, "link-unreachable"),
     (202, "link-unreachable"), (204, "link-unreachable"), (206, "link-unreachable"), (300, "link-refused"), (304, "link-refused")],
)  # fmt: skip
def test_a_status_that_is_no_file_has_its_code(tmp_path, origin, status, code):
    assert failure_of(tmp_path, f"{origin}/status/{status}").code == code


def test_a_body_shorter_than_announced_is_cut_off(tmp_path, origin):
    error = failure_of(tmp_path, f"{origin}/short")
    assert (error.code, error.params) == ("link-cut-off", {"received": 50, "expected": len(BODY)})


def test_a_body_longer_than_announced_ends_where_it_was_announced(tmp_path, origin):
    assert get(tmp_path, f"{origin}/long").byte_count == 50


def test_a_body_announced_over_the_cap_is_refused_at_once(tmp_path, origin):
    error = failure_of(tmp_path, f"{origin}/announced/{10**12}")
    assert (error.code, error.params["found"]) == ("file-too-big", "931.3 GB")


def test_a_body_that_the_disk_has_no_room_for_is_not_begun(tmp_path, origin):
    error = failure_of(tmp_path, f"{origin}/announced/{10**15}", max_bytes=10**16)
    assert (error.code, error.failure.retryable) == ("disk-full", True)


def test_a_body_without_end_is_stopped_at_the_cap(tmp_path, origin):
    assert failure_of(tmp_path, f"{origin}/endless").code == "file-too-big"


def test_a_server_that_hangs_is_given_up(tmp_path, origin):
    start = time.monotonic()
    assert failure_of(tmp_path, f"{origin}/hang", read_timeout_s=0.3).code == "link-unreachable"
    assert time.monotonic() - start < PATIENCE_S


def test_a_server_that_drips_is_given_up_at_the_deadline(tmp_path, origin):
    start = time.monotonic()
    assert failure_of(tmp_path, f"{origin}/drip", deadline_s=0.5).code == "link-unreachable"
    assert time.monotonic() - start < PATIENCE_S


def test_a_server_that_drips_its_headers_is_given_up_at_the_deadline(tmp_path, origin):
    start = time.monotonic()
    error = failure_of(tmp_path, f"{origin}/drip-headers", deadline_s=0.5)
    assert (error.code, error.params) == ("link-unreachable", {"reason": "it took too long"})
    assert time.monotonic() - start < PATIENCE_S


def test_a_connection_reset_may_pass(tmp_path, origin):
    error = failure_of(tmp_path, f"{origin}/reset")
    assert error.code == "link-unreachable"
    assert error.failure.retryable


def test_nobody_listening_may_pass(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert failure_of(tmp_path, f"http://127.0.0.1:{free.getsockname()[1]}/").code == "link-unreachable"


@pytest.mark.parametrize(("status", "asked_s"), [(429, 90), (503, 90), (202, 90), (404, None)])
def test_a_server_may_say_when_to_come_back(tmp_path, origin, status, asked_s):
    assert failure_of(tmp_path, f"{origin}/busy/{status}/90").retry_after_s == asked_s


def test_a_name_that_nobody_knows_may_be_known_later(tmp_path):
    error = failure_of(tmp_path, "http://no-such-host.invalid/x")
    assert (error.code, error.failure.retryable) == ("link-unreachable", True)


def test_a_compressed_transfer_is_unpacked(tmp_path, origin):
    assert get(tmp_path, f"{origin}/trickle-gzip").path.read_bytes() == BODY


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_a_compressed_transfer_is_counted_as_it_unpacks(tmp_path, origin, encoding):
    error = failure_of(tmp_path, f"{origin}/encoded/{encoding}", max_bytes=900_000)
    assert error.code == "file-too-big"


def test_a_transfer_that_only_claims_to_be_compressed_is_said_to_be_damaged(tmp_path, origin):
    error = failure_of(tmp_path, f"{origin}/encoded/deflate")
    assert (error.code, error.params) == (
        "link-unreachable",
        {"reason": "its compressed transfer is damaged"},
    )


def test_a_file_is_called_what_its_server_calls_it(tmp_path, origin):
    assert get(tmp_path, f"{origin}/named").file_name == "camps 2026.geojson"


def test_a_file_that_its_server_does_not_name_keeps_the_name_of_its_url(tmp_path, origin):
    assert get(tmp_path, f"{origin}/ok").file_name == "towns.geojson"


def test_a_site_may_want_its_cookie_back(tmp_path, origin):
    assert get(tmp_path, f"{origin}/cookie").byte_count == len(BODY)


def test_redirects_are_followed(tmp_path, origin):
    assert get(tmp_path, f"{origin}/to//to//ok").byte_count == len(BODY)


@pytest.mark.parametrize("path", ["loop", "nowhere"])
def test_redirects_without_end_are_given_up(tmp_path, origin, path):
    assert failure_of(tmp_path, f"{origin}/{path}").code == "link-unreachable"


@pytest.mark.parametrize("path", ["status/404", "reset", "short", "hang"])
def test_errors_never_tell_the_link(tmp_path, origin, path):
    link = f"{origin.replace('//', '//user:hush@')}/{path}?token=hush"
    error = failure_of(tmp_path, link, read_timeout_s=0.3)
    assert "hush" not in repr((error, error.params, error.__cause__))


def test_the_environment_of_the_worker_does_not_matter(tmp_path, origin, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    assert get(tmp_path, f"{origin}/ok").byte_count == len(BODY)


def test_a_proxy_is_asked_when_there_is_one(tmp_path, site, origin):
    assert get(tmp_path, "http://example.org/ok", proxy=origin, allowed=()).byte_count == len(BODY)
    assert [path for path, _ in site.visits] == ["http://example.org/ok"]


def test_progress_tells_the_bytes_that_have_come_of_all(tmp_path, origin):
    told = []
    get(tmp_path, f"{origin}/ok", progress=told.append)
    assert told[-1] == Progress(len(BODY), len(BODY), "bytes")


def test_progress_of_an_upload_tells_only_what_has_come(tmp_path):
    told = []
    get(tmp_path, open_upload=lambda: iter([b"x" * 5, b"x" * 6]), progress=told.append)
    assert told == [Progress(5, None, "bytes"), Progress(11, None, "bytes")]


def test_a_proxy_that_drips_is_given_up_at_the_deadline(tmp_path, origin):
    error = failure_of(tmp_path, "http://example.org/drip-headers", proxy=origin, allowed=(), deadline_s=0.5)
    assert (error.code, error.params) == ("link-unreachable", {"reason": "it took too long"})


def own(origin, path):
    """A link that the site made for an upload of its own."""
    return Link(f"{origin}/{path}", is_own=True, headers={"X-Hdxjobs-Permit": "hush"})


def test_an_upload_may_be_asked_of_the_site_wherever_that_is(tmp_path, site, origin):
    get(tmp_path, own(origin, "ok"), allowed=(), proxy="http://127.0.0.1:1/")
    assert site.visits[0][1]["X-Hdxjobs-Permit"] == "hush"


def test_a_permit_is_shown_to_the_site_alone(tmp_path, site, origin):
    port = site.server_address[1]
    get(tmp_path, own(origin, f"to/http://localhost:{port}/ok"), allowed=("localhost",))
    _, (_, after) = site.visits
    assert "X-Hdxjobs-Permit" not in after


@pytest.mark.parametrize("path", ["to//ok", "to/http://localhost/ok", "to/http://169.254.169.254/"])
def test_what_the_site_redirects_to_is_checked_like_any_link(tmp_path, site, origin, path):
    assert failure_of(tmp_path, own(origin, path), allowed=()).code == "file-unreadable"
    assert len(site.visits) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [("status/404", "file-missing"), ("status/403", "file-unreadable"), ("status/500", "storage-unavailable"),
     ("reset", "storage-unavailable"), ("short", "storage-unavailable"), ("endless", "file-too-big")],
)  # fmt: skip
def test_trouble_with_an_upload_is_never_told_as_trouble_with_a_link(tmp_path, origin, path, code):
    assert failure_of(tmp_path, own(origin, path), allowed=()).code == code


def test_an_upload_keeps_its_name_whatever_the_storage_calls_it(tmp_path, origin):
    assert get(tmp_path, own(origin, "named"), allowed=()).file_name == "towns.geojson"


def test_no_permit_is_told_in_an_error(tmp_path, origin):
    link = own(origin, "status/403")
    error = failure_of(tmp_path, link, allowed=())
    assert "hush" not in repr((link, error, error.params, error.__cause__))
