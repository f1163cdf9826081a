"""KML, GPX, GML and what only looks like them."""

from __future__ import annotations

from corpus.build import Case, gzipped, kml, kml_point, placemark, text, zipped

NAIROBI = placemark("Nairobi", kml_point("36.8,-1.3"))
RING = "<LinearRing><coordinates>0,0 1,0 1,1 0,1 0,0</coordinates></LinearRing>"
AREA = placemark("Area", f"<Polygon><outerBoundaryIs>{RING}</outerBoundaryIs></Polygon>")
GPX = (
    '<?xml version="1.0"?><gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">'
    '<wpt lat="-1.3" lon="36.8"><name>Nairobi</name></wpt>'
    '<trk><name>t</name><trkseg><trkpt lat="0" lon="1"/><trkpt lat="1" lon="2"/></trkseg></trk></gpx>'
)
GML = (
    '<?xml version="1.0"?><wfs:FeatureCollection xmlns:wfs="http://www.opengis.net/wfs/2.0" '
    'xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:t="urn:t"><wfs:member><t:town gml:id="t.1"><t:name>Nairobi</t:name>'
    '<t:geom><gml:Point gml:id="p1" srsName="{srs}"><gml:pos>{pos}</gml:pos></gml:Point></t:geom></t:town></wfs:member>'
    "</wfs:FeatureCollection>"
)
GML2 = (
    '<?xml version="1.0"?><ogr:FeatureCollection xmlns:ogr="http://ogr.maptools.org/" xmlns:gml="http://www.opengis.net/gml">'
    '<gml:featureMember><ogr:town fid="t.0"><ogr:geometryProperty><gml:Point srsName="EPSG:4326"><gml:coordinates>36.8,-1.3'
    "</gml:coordinates></gml:Point></ogr:geometryProperty><ogr:name>Nairobi</ogr:name></ogr:town></gml:featureMember>"
    "</ogr:FeatureCollection>"
)
URN = "urn:ogc:def:crs:EPSG::4326"


def folder(name: str, *placemarks: str) -> str:
    return f"<Folder><name>{name}</name>{''.join(placemarks)}</Folder>"


def k(*bodies: str) -> bytes:
    return text(kml("".join(bodies)))


CASES = (
    Case("kml: a point", k(NAIROBI), "file 1/1 Point"),
    Case("kml: an area", k(AREA), "file 1/1 Polygon"),
    Case("kml: points and areas", k(NAIROBI, AREA), "file 2/2 Geometry"),
    Case("kml: two folders", k(folder("A", NAIROBI), folder("B", AREA)), "A 1/1 Point; B 1/1 Polygon"),
    Case("kml: two folders of one name", k(folder("A", NAIROBI), folder("A", AREA)), "A 1/1 Point; A (#2) 1/1 Polygon"),
    Case("kml: an empty folder beside a full one", k(folder("A", NAIROBI), folder("B")), "A 1/1 Point"),
    Case("kml: folders in folders", k(folder("A", folder("B", NAIROBI))), "B 1/1 Point"),
    Case("kml: no placemark", k(), "no-features"),
    Case("kml: a placemark without a place", k(NAIROBI, placemark("nowhere", "")), "file 2/1 Point | no-geometry 1"),
    Case("kml: only placemarks without a place", k(placemark("nowhere", "")), "no-geometry"),
    Case("kml: empty coordinates", k(NAIROBI, placemark("nowhere", kml_point(""))), "file 2/1 Point | no-geometry 1"),
    Case("kml: heights", k(placemark("peak", kml_point("36.8,-1.3,1700"))), "file 1/1 Point | z-dropped 1"),
    Case("kml: heights of zero", k(placemark("flat", kml_point("36.8,-1.3,0"))), "file 1/1 Point"),
    Case("kml: spaces within a pair", k(placemark("spaces", kml_point("36.8, -1.3"))), "file 1/1 Point"),
    Case("kml: a ring that is open", k(placemark("open", "<Polygon><outerBoundaryIs><LinearRing><coordinates>0,0 1,0 1,1</coordinates></LinearRing></outerBoundaryIs></Polygon>")), "file 1/1 Polygon | geometry-repaired 1"),
    Case("kml: a multigeometry", k(placemark("m", f"<MultiGeometry>{kml_point('1,2')}{kml_point('3,4')}</MultiGeometry>")), "file 1/1 MultiPoint"),
    Case("kml: a track", text(kml('<Placemark><gx:Track><when>2026-01-01T00:00:00Z</when><when>2026-01-01T00:01:00Z</when><gx:coord>1 2 0</gx:coord><gx:coord>2 3 0</gx:coord></gx:Track></Placemark>').replace("<kml ", '<kml xmlns:gx="http://www.google.com/kml/ext/2.2" ')), "file 1/1 LineString"),
    Case("kml: a picture on the ground", k("<GroundOverlay><Icon><href>a.png</href></Icon><LatLonBox><north>1</north><south>0</south><east>1</east><west>0</west></LatLonBox></GroundOverlay>"), "file 1/1 Polygon"),
    Case("kml: a network link", k("<NetworkLink><Link><href>http://127.0.0.1:1/x.kml</href></Link></NetworkLink>"), "no-features"),
    Case("kml: without a namespace", text(f"<kml><Document>{NAIROBI}</Document></kml>"), "file 1/1 Point"),
    Case("kml: of Google Earth 3", text(f'<kml xmlns="http://earth.google.com/kml/2.0"><Document>{NAIROBI}</Document></kml>'), "file 1/1 Point"),
    Case("kml: a placemark alone", text(f'<kml xmlns="http://www.opengis.net/kml/2.2">{NAIROBI}</kml>'), "file 1/1 Point"),
    Case("kml: a prefix", text(f'<kml:kml xmlns:kml="http://www.opengis.net/kml/2.2"><kml:Document>{NAIROBI.replace("<", "<kml:").replace("<kml:/", "</kml:")}</kml:Document></kml:kml>'), "file 1/1 Point"),
    Case("kml: a comment first", text("<!-- made by hand -->" + kml(NAIROBI, head="")), "file 1/1 Point"),
    Case("kml: white space before the declaration", text("\n " + kml(NAIROBI)), "file 1/1 Point"),
    Case("kml: windows-1251", text(kml(placemark("Москва", kml_point("37.6,55.7")), head='<?xml version="1.0" encoding="windows-1251"?>'), "cp1251"), "file 1/1 Point"),
    Case("kml: windows-1252 that claims UTF-8", text(kml(placemark("São João, café", kml_point("37.6,55.7"))), "cp1252"), "file 1/1 Point | encoding-guessed 0"),
    Case("kml: UTF-16", text(kml(placemark("Москва", kml_point("37.6,55.7")), head='<?xml version="1.0" encoding="UTF-16"?>'), "utf-16"), "file 1/1 Point"),
    Case("kml: an unknown entity", k(placemark("a&nbsp;b", kml_point("1,2"))), "unreadable"),
    Case("kml: an ampersand alone", k(placemark("a & b", kml_point("1,2"))), "unreadable"),
    Case("kml: cut off", k(NAIROBI)[:-20], "unreadable"),
    Case("kml: HTML in a description", k("<Placemark><name>x</name><description><![CDATA[<script>alert(1)</script>]]></description>" + kml_point("1,2") + "</Placemark>"), "file 1/1 Point"),
    Case("kml: schema data", text(kml('<Schema name="s" id="s"><SimpleField type="int" name="n"/></Schema><Placemark><ExtendedData><SchemaData schemaUrl="#s"><SimpleData name="n">7</SimpleData></SchemaData></ExtendedData>' + kml_point("1,2") + "</Placemark>")), "file 1/1 Point"),
    Case("kml: a billion laughs", text(kml(placemark("&c;", kml_point("1,2")), head='<!DOCTYPE kml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>')), "unreadable"),
    Case("kml: gzipped", gzipped(k(NAIROBI)), "file 1/1 Point"),
    Case("kmz: one kml", zipped({"doc.kml": k(NAIROBI), "images/a.png": b"\x89PNG"}), "doc 1/1 Point"),
    Case("kmz: two kmls", zipped({"doc.kml": k(NAIROBI), "other/more.kml": k(AREA)}), "doc 1/1 Point; more 1/1 Polygon"),
    Case("kmz: a kml of styles beside one of places", zipped({"styles.kml": k("<Style id='a'/>"), "doc.kml": k(NAIROBI)}), "doc 1/1 Point"),
    Case("kmz: no kml", zipped({"a.png": b"\x89PNG"}), "unsupported-format"),
    Case("kmz: a kml named .xml", zipped({"doc.xml": k(NAIROBI)}), "doc 1/1 Point"),
    Case("gpx: a waypoint and a track", text(GPX), "waypoints 1/1 Point; tracks 1/1 MultiLineString; track_points 2/2 Point"),
    Case("gpx: nothing", text('<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1"></gpx>'), "no-features"),
    Case("gpx: 1.0", text(GPX.replace("1.1", "1.0").replace("GPX/1/1", "GPX/1/0")), "waypoints 1/1 Point; tracks 1/1 MultiLineString; track_points 2/2 Point"),
    Case("gpx: gzipped", gzipped(text(GPX)), "waypoints 1/1 Point; tracks 1/1 MultiLineString; track_points 2/2 Point"),
    Case("gpx: cut off", text(GPX)[:-30], "unreadable"),
    Case("gml: latitude first, as its srsName says", text(GML.format(srs=URN, pos="-1.3 36.8")), "town 1/1 Point"),
    Case("gml: longitude first by an old srsName", text(GML.format(srs="EPSG:4326", pos="36.8 -1.3")), "town 1/1 Point"),
    Case("gml: in metres", text(GML.format(srs="urn:ogc:def:crs:EPSG::32737", pos="257000 9856000")), "town 1/1 Point"),
    Case("gml: an unknown srsName", text(GML.format(srs="urn:x:unknown", pos="36.8 -1.3")), "town 1/1 Point | crs-assumed 0"),
    Case("gml: version 2", text(GML2), "town 1/1 Point"),
    Case("gml: a schema elsewhere", text(GML.format(srs=URN, pos="-1.3 36.8").replace("xmlns:t=", 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:t http://127.0.0.1:1/t.xsd" xmlns:t=')), "town 1/1 Point"),
    Case("gml: nobody", text('<wfs:FeatureCollection xmlns:wfs="http://www.opengis.net/wfs/2.0" xmlns:gml="http://www.opengis.net/gml/3.2"/>'), "no-features"),
    Case("gml: an exception of the service", text('<ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows"><ows:Exception/></ows:ExceptionReport>'), "unsupported-format"),
    Case("a page of HTML", b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Log in, kml</body></html>", "html-page"),
    Case("a page of XHTML", b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body/></html>', "html-page"),
    Case("an RSS feed", b'<?xml version="1.0"?><rss version="2.0"><channel><title>x</title></channel></rss>', "not-geodata"),
    Case("a picture in SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not-geodata"),
    Case("a virtual file of GDAL", b'<OGRVRTDataSource><OGRVRTLayer name="passwd"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>', "unsupported-format"),
)  # fmt: skip
