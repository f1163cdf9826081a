"""The catalogue: what each event is made of, and what is taken from strangers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from ckanext.hdxjobs.analytics import catalogue, glossary
from ckanext.hdxjobs.analytics.events import Event, MalformedError, property_name, property_type

KINDS = sorted(catalogue.EVENTS.values(), key=lambda kind: kind.name)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_property_of_an_event_is_explained(kind: type[Event]) -> None:
    assert {property_name(one) for one in fields(kind)} <= set(glossary.PROPERTIES)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_event_says_when_it_fires(kind: type[Event]) -> None:
    assert (kind.__doc__ or "").strip().endswith(".")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_property_has_a_type_that_people_understand(kind: type[Event]) -> None:
    assert {property_type(one) for one in fields(kind)} <= {"text", "number", "yes/no", "list of texts"}


def test_nothing_is_explained_that_no_event_has() -> None:
    used = {property_name(one) for kind in KINDS for one in fields(kind)}

    assert set(glossary.PROPERTIES) == used


def test_a_property_that_is_not_known_is_not_sent() -> None:
    event = catalogue.ResourceDownload(resource_id="r", group_names=("a", "b"), authenticated=False)

    assert event.properties() == {"authenticated": False, "group names": ["a", "b"], "resource id": "r"}


def test_a_dataset_create_spells_its_organization_as_the_original_does() -> None:
    assert catalogue.DatasetCreate(org_name="o", org_id="1").properties() == {"org_name": "o", "org_id": "1"}


def test_an_event_survives_the_way_to_properties_and_back() -> None:
    event = catalogue.Search(search_term="wells", number_of_results=3, tag_filters=("water",))

    assert catalogue.Search.from_properties(event.properties()) == event


@pytest.mark.parametrize(
    "properties",
    [
        {"no such thing": "x"},
        {"number of results": "three"},
        {"number of results": True},
        {"number of results": 10**20},
        {"search term": ["a"]},
        {"tag filters": "a"},
        {"tag filters": [1]},
        {"tag filters": ["a"] * 51},
        {"authenticated": "yes"},
    ],
    ids=str,
)
def test_what_does_not_fit_the_event_is_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        catalogue.Search.from_properties(properties)


def test_a_text_from_outside_is_cut() -> None:
    assert len(catalogue.Search.from_properties({"search term": "x" * 5000}).search_term or "") == 500
