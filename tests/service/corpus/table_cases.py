"""CSV, TSV and XLSX, with and without places."""

from __future__ import annotations

from corpus.build import Case, gzipped, text, zipped

TOWNS = "name,lat,lon\nNairobi,-1.3,36.8\nThika,-1.0,37.1\n"
WKT = 'name,wkt\nA,"POINT (1 2)"\nB,"POLYGON ((0 0, 1 0, 1 1, 0 0))"\n'

CASES = (
    Case("csv: latitude and longitude", text(TOWNS), "file 2/2 Point"),
    Case("csv: semicolons and decimal commas", text("name;latitude;longitude\nA;-1,3;36,8\nB;-1,0;37,1\n"), "file 2/2 Point"),
    Case("csv: tabs", text(TOWNS.replace(",", "\t")), "file 2/2 Point"),
    Case("csv: pipes", text(TOWNS.replace(",", "|")), "file 2/2 Point"),
    Case("csv: x and y", text(TOWNS.replace("lat,lon", "y,x")), "file 2/2 Point | crs-assumed 0"),
    Case("csv: French names", text("nom,Latitude (degrés),Longitude (degrés)\nA,1,2\n"), "file 1/1 Point"),
    Case("csv: Arabic names", text("الاسم,خط العرض,خط الطول\nا,1,2\n"), "file 1/1 Point"),
    Case("csv: one column for both", text('name,location\nA,"-1.3, 36.8"\nB,"-1.0, 37.1"\n'), "file 2/2 Point"),
    Case("csv: WKT", text(WKT), "file 2/2 Geometry | crs-assumed 0"),
    Case("csv: HXL tags", text("Place,North,East\n#loc+name,#geo+lat,#geo+lon\nA,-1.3,36.8\n"), "file 2/1 Point | no-geometry 1"),
    Case("csv: a row without a place", text(TOWNS + "Nowhere,,\n"), "file 3/2 Point | no-geometry 1"),
    Case("csv: only rows without a place", text("name,lat,lon\nA,,\nB,,\n"), "no-geometry"),
    Case("csv: a row beyond the Earth", text(TOWNS + "Far,95,36\n"), "file 3/2 Point | out-of-range 1"),
    Case("csv: a row at zero", text(TOWNS + "Nobody knows,0,0\n"), "file 3/3 Point | at-zero 1"),
    Case("csv: latitude and longitude swapped", text("name,lat,lon\nSydney,151.2,-33.9\nBrisbane,153.0,-27.5\n"), "file 2/2 Point | coordinates-swapped 0"),
    Case("csv: minus signs of a typesetter", text("name,lat,lon\nNairobi,−1.3,36.8\n"), "file 1/1 Point"),
    Case("csv: words for a number", text(TOWNS + "Words,north,east\n"), "file 3/2 Point | no-geometry 1"),
    Case("csv: no places", text("a,b\n1,2\n3,4\n"), "no-coordinates"),
    Case("csv: a header alone", text("name,lat,lon\n"), "no-features"),
    Case("csv: a byte order mark", text(TOWNS, "utf-8-sig"), "file 2/2 Point"),
    Case("csv: windows-1256", text("name,lat,lon\nالقاهرة الكبرى,30,31\n", "cp1256"), "file 1/1 Point | encoding-guessed 0"),
    Case("csv: windows-1251", text("название,lat,lon\nМосква и область,55.7,37.6\n", "cp1251"), "file 1/1 Point | encoding-guessed 0"),
    Case("csv: UTF-16", text(TOWNS, "utf-16"), "file 2/2 Point"),
    Case("csv: rows too short and too long", text("name,lat,lon\nA,1,2\nB,1\nC,1,2,3,4\n"), "file 3/2 Point | no-geometry 1"),
    Case("csv: a cell of many lines", text('name,lat,lon\n"A\nB",1,2\n'), "file 1/1 Point"),
    Case("csv: quotes that never close", text('name,lat,lon\n"A,1,2\nB,1,2\n'), "no-features"),
    Case("csv: names twice", text("name,name,lat,lon\na,b,1,2\n"), "file 1/1 Point"),
    Case("csv: a name left empty", text("name,,lat,lon\na,b,1,2\n"), "file 1/1 Point"),
    Case("csv: carriage returns alone", text(TOWNS.replace("\n", "\r")), "file 2/2 Point"),
    Case("csv: degrees, minutes and seconds", text("name,lat,lon\nA,\"1°17'31\"\"S\",\"36°49'0\"\"E\"\n"), "file 1/1 Point"),
    Case("csv: gzipped", gzipped(text(TOWNS)), "file 2/2 Point"),
    Case("csv: in a zip", zipped({"towns.csv": text(TOWNS)}), "towns 2/2 Point"),
    Case("csv: two in a zip, one without places", zipped({"towns.csv": text(TOWNS), "codes.csv": text("a,b\n1,2\n")}), "towns 2/2 Point | layers-skipped 1"),
    Case("csv: easting and northing", text("name,easting,northing\nA,257000,9856000\n"), "unknown-crs"),
    Case("tsv: towns", text(TOWNS.replace(",", "\t")), "towns 2/2 Point", "towns.tsv"),
    Case("a text in words", b"Dear all,\n\nplease find attached the map, as agreed.\n\nBest wishes\n", "not-geodata"),
    Case("a log", b"2026-01-01 INFO start\n2026-01-01 INFO stop\n", "not-geodata"),
)  # fmt: skip
