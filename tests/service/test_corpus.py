"""Each file of the corpus ends exactly as it should."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from conftest import AMPLE, LIMITS
from corpus import binary_cases, json_cases, table_cases, xml_cases

from ckanext.hdxjobs.errors import PreviewError
from ckanext.hdxjobs.geopreview import detect, layers, publish, reader
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.values import Download

CASES = [*json_cases.CASES, *xml_cases.CASES, *binary_cases.CASES, *table_cases.CASES]


def outcome_of(case, folder, dsn):
    """What the whole way makes of a file, in one line."""
    folder.mkdir(mode=0o700)
    path = folder / "download"
    path.write_bytes(case.bytes())
    download = Download(f"corpus-{folder.name}", 1, path, case.file_name, "", path.stat().st_size, "")
    try:
        with reader.Readers(LIMITS) as readers:
            found, notices = detect.detect(
                download,
                folder=folder,
                max_unpacked_bytes=10**8,
                max_layers=10,
                formats=frozenset(FORMATS),
                readers=readers,
            )
            tables, damaged = layers.load_all(
                found, dsn=dsn, caps=AMPLE, max_columns=1500, readers=readers, progress=lambda _: None
            )
        publish.publish(tables, resource_id=download.resource_id, generation=1, dsn=dsn)
    except PreviewError as error:
        return error.code
    said = [*notices, *damaged, *(notice for table in tables for notice in table.notices)]
    drawn = "; ".join(
        f"{table.layer.name} {table.row_count}/{table.drawable_count} {table.geometry_type}"
        for table in tables
    )
    return " | ".join([drawn, *(f"{notice.code} {notice.count}" for notice in said)])


@pytest.fixture(scope="module")
def outcomes(geo, tmp_path_factory) -> dict[str, Future[str]]:
    """All cases under way, two at a time: each waits for a process of its own."""
    folder = tmp_path_factory.mktemp("corpus")
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            case.name: pool.submit(outcome_of, case, folder / str(number), geo.loader)
            for number, case in enumerate(CASES)
        }


def test_the_corpus_is_large_and_its_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES) >= 150


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_ends_as_it_should(outcomes, case):
    assert outcomes[case.name].result() == case.outcome
