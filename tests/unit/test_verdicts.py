"""What the last words of others mean."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.errors import DetectError
from ckanext.hdxjobs.geopreview import verdicts


@pytest.mark.parametrize(
    "said",
    [
        "Traceback (most recent call last):\n  File …\nMemoryError",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 3.20 GiB for an array with shape (1,)",
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
        "ERROR 2: CPLMalloc(): Out of memory allocating 4294967296 bytes.",
        "pyarrow.lib.ArrowMemoryError: malloc of size 17179869184 failed",
        "OSError: [Errno 12] Cannot allocate memory",
        "ImportError: libgdal.so: failed to map segment from shared object",
    ],
)
def test_each_library_says_in_its_own_way_that_memory_is_out(said: str) -> None:
    assert verdicts.ran_out_of_memory(said)


@pytest.mark.parametrize("said", ["", "Segmentation fault", "the memory of the town hall", "Killed"])
def test_other_last_words_are_not_about_memory(said: str) -> None:
    assert not verdicts.ran_out_of_memory(said)


@pytest.mark.parametrize(
    ("peak_mb", "code"), [(3700, "too-much-memory"), (3000, "reader-crashed"), (0, "reader-crashed")]
)
def test_who_dies_silently_near_the_limit_wanted_more_memory(peak_mb: int, code: str) -> None:
    error = verdicts.breakdown("", format_="KML", peak_bytes=peak_mb * 1024**2, limit_bytes=4 * 1024**3)
    assert error.code == code


def test_small_limits_do_not_blame_memory_for_everything() -> None:
    error = verdicts.breakdown("", format_="KML", peak_bytes=0, limit_bytes=300 * 1024**2)
    assert error.code == "reader-crashed"


def test_a_refusal_for_want_of_memory_names_the_limit() -> None:
    told = DetectError("unreadable", format="KML", reason="Memory allocation failed")
    assert verdicts.refusal(told, limit_bytes=1024**3).params == {"limit": "1 GB"}


def test_any_other_refusal_stays_as_it_was_told() -> None:
    told = DetectError("unreadable", format="KML", reason="mismatched tag")
    assert verdicts.refusal(told, limit_bytes=1024**3) is told


@pytest.mark.parametrize(
    ("sqlstate", "code"),
    [
        ("53100", "disk-full"),  # disk_full
        ("53300", "database-unavailable"),  # too_many_connections
        ("40P01", "database-unavailable"),  # deadlock_detected
        ("57014", "database-unavailable"),  # query_canceled, by statement_timeout
        ("25006", "database-unavailable"),  # read_only_sql_transaction
        (None, "database-unavailable"),  # nobody answered
    ],
)
def test_a_full_disk_is_told_from_other_troubles_of_a_database(sqlstate: str | None, code: str) -> None:
    assert verdicts.database_code(sqlstate) == code


@pytest.mark.parametrize(
    ("context", "place"),
    [
        ("COPY l_0a_g1, line 17, column c2", (17, "c2")),
        ("COPY l_0a_g1, line 17", (17, "")),
        ("PL/pgSQL function x() line 3", (0, "")),
        (None, (0, "")),
    ],
)
def test_postgresql_says_which_row_and_column_it_was_reading(
    context: str | None, place: tuple[int, str]
) -> None:
    assert verdicts.place_in_copy(context) == place
