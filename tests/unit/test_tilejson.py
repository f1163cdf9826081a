"""TileJSON 3.0.0 of a layer."""

from __future__ import annotations

import dataclasses

from ckanext.hdxjobs.geopreview.load import COLUMN_TYPES
from ckanext.hdxjobs.geopreview.tiles import TYPE_LABELS, tilejson
from ckanext.hdxjobs.geopreview.values import Field, TileSet

TILE_SET = TileSet(
    layer_id="abc", resource_id="r", generation=7, name="Towns", geometry_type="Point", feature_count=3,
    bbox_lonlat=(36.0, -2.0, 38.0, 0.0), fields=(Field("Name", "string", "c1", "Name"), Field("Pop", "integer", "c2", "Pop")),
    source_crs="EPSG:4326", minzoom=0, maxzoom=14,
)  # fmt: skip
URL = "https://example.org/hdxjobs/tiles/abc/7/{z}/{x}/{y}.mvt"


def test_a_client_finds_all_it_needs():
    assert tilejson(TILE_SET, tiles_url=URL, attribution="Someone") == {
        "tilejson": "3.0.0",
        "name": "Towns",
        "version": "7.0.0",
        "scheme": "xyz",
        "prepared": False,
        "tiles": [URL],
        "minzoom": 0,
        "maxzoom": 14,
        "bounds": [36.0, -2.0, 38.0, 0.0],
        "center": [37.0, -1.0, 0],
        "attribution": "Someone",
        "vector_layers": [
            {
                "id": "layer",
                "description": "Towns",
                "minzoom": 0,
                "maxzoom": 14,
                "fields": {"Name": "String", "Pop": "Number (integer)"},
            }
        ],
    }


def test_what_is_not_known_is_left_out():
    answer = tilejson(dataclasses.replace(TILE_SET, bbox_lonlat=None), tiles_url=URL)
    assert not {"bounds", "center", "attribution"} & answer.keys()


def test_around_the_antimeridian_clients_get_bounds_they_know_and_a_true_centre():
    answer = tilejson(dataclasses.replace(TILE_SET, bbox_lonlat=(177.0, -20.0, -178.0, -16.0)), tiles_url=URL)
    assert answer["bounds"] == [-180, -20.0, 180, -16.0]
    assert answer["center"] == [179.5, -18.0, 0]


def test_the_whole_globe_is_centred_on_greenwich():
    answer = tilejson(dataclasses.replace(TILE_SET, bbox_lonlat=(-180.0, -90.0, 180.0, 90.0)), tiles_url=URL)
    assert answer["center"] == [0, 0, 0]


def test_every_kind_of_field_has_a_label():
    assert TYPE_LABELS.keys() == COLUMN_TYPES.keys()
