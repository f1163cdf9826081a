"""The CRS that a layer is said to be in."""

from __future__ import annotations

import pyproj
import pytest

from ckanext.hdxjobs.geopreview.crs import source_crs

DEGREE = 'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]'
GCS_WGS84 = (
    f'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],{DEGREE}]'
)
GCS_CLARKE = (
    f'GEOGCS["GCS_Clarke_1866",DATUM["D_Clarke_1866",SPHEROID["Clarke_1866",6378206.4,294.9786982]],{DEGREE}]'
)
WEB_MERCATOR = (
    f'PROJCS["WGS_1984_Web_Mercator_Auxiliary_Sphere",{GCS_WGS84},PROJECTION["Mercator_Auxiliary_Sphere"],'
    'PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",0.0],'
    'PARAMETER["Standard_Parallel_1",0.0],PARAMETER["Auxiliary_Sphere_Type",0.0],UNIT["Meter",1.0]]'
)
STATE_PLANE_FEET = (
    'PROJCS["NAD_1983_HARN_StatePlane_Washington_North_FIPS_4601_Feet",GEOGCS["GCS_North_American_1983_HARN",'
    f'DATUM["D_North_American_1983_HARN",SPHEROID["GRS_1980",6378137.0,298.257222101]],{DEGREE}],'
    'PROJECTION["Lambert_Conformal_Conic"],PARAMETER["False_Easting",1640416.666666667],'
    'PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",-120.8333333333333],'
    'PARAMETER["Standard_Parallel_1",47.5],PARAMETER["Standard_Parallel_2",48.73333333333333],'
    'PARAMETER["Latitude_Of_Origin",47.0],UNIT["Foot_US",0.3048006096012192]]'
)
SITE_GRID = 'LOCAL_CS["Site grid",LOCAL_DATUM["Site",0],UNIT["metre",1],AXIS["E",EAST],AXIS["N",NORTH]]'
UNDEFINED = 'LOCAL_CS["Undefined Cartesian SRS",UNIT["Meter",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'

DEGREES, METRES = (30, -2, 40, 5), (250_000, 9_000_000, 300_000, 9_100_000)


def found(stated, bounds=DEGREES):
    return source_crs(stated, lambda: bounds)


@pytest.mark.parametrize(
    ("stated", "label", "place", "lonlat"),
    [
        ("EPSG:4326", "EPSG:4326", (36, -1), (36, -1)),
        (GCS_WGS84, "EPSG:4326", (36, -1), (36, -1)),
        (GCS_CLARKE, "EPSG:4008", (36, -1), (36, -1)),
        (WEB_MERCATOR, "EPSG:3857", (4_000_000, -100_000), (35.9326114, -0.8982785)),
        ("EPSG:3857", "EPSG:3857", (4_000_000, -100_000), (35.9326114, -0.8982785)),
        (
            STATE_PLANE_FEET,
            "NAD83(HARN) / Washington North (ftUS)",
            (1_640_416.7, 0),
            (-120.8333476, 47.0000058),
        ),
        ("EPSG:32637", "EPSG:32637", (500_000, 0), (39, 0)),
        ("EPSG:27700", "EPSG:27700", (400_000, 300_000), (-2.0014331, 52.5977924)),
        ("EPSG:7405", "EPSG:7405", (400_000, 300_000), (-2.0014331, 52.5977924)),
        ("EPSG:4979", "EPSG:4979", (36, -1), (36, -1)),
        ("EPSG:2193", "EPSG:2193", (1_600_000, 5_200_000), (173, -43.3528553)),
        ("EPSG:3031", "EPSG:3031", (1_000_000, 500_000), (63.4349488, -79.7364209)),
        ("EPSG:2046", "EPSG:2046", (-50_000, 3_700_000), (15.5376155, -33.4248804)),
        ("+proj=utm +zone=37 +datum=WGS84 +type=crs", "EPSG:32637", (500_000, 0), (39, 0)),
        (
            "+proj=longlat +ellps=bessel +towgs84=598.1,73.7,418.2,0.202,0.045,-2.455,6.7 +type=crs",
            "Bound CRS (Position Vector transformation (geog2D domain))",
            (36, -1),
            (35.9966961, -0.9961330),
        ),
    ],
)
def test_a_stated_crs_is_named_and_places_points_as_gdal_does(stated, label, place, lonlat):
    crs = found(stated)
    move = pyproj.Transformer.from_crs(crs.crs, "EPSG:4326", always_xy=True)
    assert (crs.label, crs.assumed) == (label, False)
    assert move.transform(*place) == pytest.approx(lonlat, abs=1e-6)


@pytest.mark.parametrize("stated", [SITE_GRID, "EPSG:5703", "EPSG:4978"])
def test_a_crs_that_gives_no_place_on_earth_is_none_even_if_its_numbers_look_like_degrees(stated):
    assert found(stated) is None


@pytest.mark.parametrize("stated", [None, "", "no CRS at all", UNDEFINED])
def test_where_none_is_stated_degrees_are_taken_for_wgs_84(stated):
    assert (found(stated).label, found(stated).assumed) == ("EPSG:4326", True)
    assert found(stated, METRES) is None


@pytest.mark.parametrize("bounds", [None, (float("inf"), 0, 1, 1)])
def test_nothing_at_all_may_be_degrees(bounds):
    assert found(None, bounds).assumed


def test_a_stated_crs_needs_no_look_at_the_data():
    def never():
        raise AssertionError

    assert source_crs("EPSG:32637", never).label == "EPSG:32637"
