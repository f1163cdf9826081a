"""Texts of any encoding become UTF-8."""

from __future__ import annotations

import makers
import pytest

from ckanext.hdxjobs.geopreview.charset import UTF8, Charset, of_dbf
from ckanext.hdxjobs.geopreview.texts import as_utf8, put_type_first

NAMES = {
    "CP1256": "القاهرة الإسكندرية المحافظة صنعاء الخرطوم المدينة القديمة",
    "CP1251": "Москва Новосибирск Київ область Санкт-Петербург Екатеринбург",
    "KOI8-R": "Москва Новосибирск область Санкт-Петербург Екатеринбург",
    "CP866": "Москва Новосибирск область Санкт-Петербург Екатеринбург",
    "GB18030": "北京市 上海市 广东省 重庆市 的地图 人口 面积",
    "BIG5": "臺北市 高雄市 新北市 臺中市 桃園市 人口 面積 縣市",
    "CP1252": "Côte d'Ivoire São Tomé Curaçao Málaga Genève Åland Bogotá",
    "CP1250": "Łódź Kraków Wrocław Częstochowa Białystok České Budějovice",
    "CP1253": "Αθήνα Θεσσαλονίκη Πάτρα Ηράκλειο Λάρισα Βόλος Ιωάννινα",
    "CP1254": "İstanbul Diyarbakır Şanlıurfa Eskişehir Kırşehir Muğla Iğdır Çanakkale Ağrı Aydın Balıkesir Kütahya Niğde Uşak Tekirdağ",
}


def table(names):
    return "name,lat,lon\n" + "".join(f"{name},1.5,2.5\n" for name in names.split())


def converted(tmp_path, raw, **kw):
    path = tmp_path / "x"
    path.write_bytes(raw)
    found = as_utf8(path, **kw)
    assert [other.name for other in tmp_path.iterdir()] == ["x"]
    return found, path.read_bytes()


@pytest.mark.parametrize("encoding", NAMES)
def test_the_encoding_of_a_table_is_guessed(tmp_path, encoding):
    text = table(NAMES[encoding])
    found, raw = converted(tmp_path, text.encode(encoding))
    assert (found, raw.decode()) == (Charset(encoding, guessed=True), text)


@pytest.mark.parametrize("encoding", NAMES)
def test_the_encoding_of_a_dbf_is_guessed_as_well(tmp_path, encoding):
    path = tmp_path / "x.dbf"
    path.write_bytes(makers.dbf([name.encode(encoding) for name in NAMES[encoding].split()]))
    assert of_dbf(path) == Charset(encoding, guessed=True)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_encodings_are_seen_with_and_without_a_mark(tmp_path, codec):
    text = '{"name": "Київ 🗺"}'
    found, raw = converted(tmp_path, text.encode(codec))
    assert (found, raw.decode()) == (Charset(codec[:6].upper()), text)


@pytest.mark.parametrize(
    "raw",
    [
        b"plain",
        "Київ".encode(),
        b"\xef\xbb\xbfname",
        b"a\0b",
        "Київ".encode() * 20 + b"\xd0",
        b'{"emoji": "\xed\xa0\xbd\xed\xb7\xba"}',
        "a\ufffdb".encode(),
        b"",
    ],
)
def test_what_is_utf8_stays_as_it_is(tmp_path, raw):
    assert converted(tmp_path, raw) == (UTF8, raw)


def test_a_character_on_the_edge_of_two_chunks_is_whole(tmp_path):
    raw = b"x" * (1024**2 - 1) + "Київ".encode()
    assert converted(tmp_path, raw) == (UTF8, raw)


def test_a_mark_is_taken_off_where_readers_do_not_know_it(tmp_path):
    assert converted(tmp_path, b"\xef\xbb\xbf{}", may_have_mark=False) == (UTF8, b"{}")


@pytest.mark.parametrize("encoding", ["windows-1251", "windows-1252", "windows-1256", "gb18030", "shift_jis"])
def test_xml_is_rewritten_with_its_declaration(tmp_path, encoding):
    name = {"windows-1251": "Київ", "windows-1252": "São", "windows-1256": "صنعاء"}.get(encoding, "北京")
    text = f'<?xml version="1.0" encoding="{encoding}"?><kml>{name}</kml>'
    found, raw = converted(tmp_path, text.encode(encoding), is_xml=True)
    assert not found.guessed
    assert found != UTF8
    assert raw.decode() == f'<?xml version="1.0" encoding="UTF-8"?><kml>{name}</kml>'


@pytest.mark.parametrize("declared", ["windows-1251", "utf-16", "ISO-8859-1"])
def test_a_wrong_declaration_is_put_right(tmp_path, declared):
    text = f"<?xml version='1.0' encoding='{declared}'?><kml>Київ</kml>"
    found, raw = converted(tmp_path, text.encode(), is_xml=True)
    assert found == UTF8
    assert raw.decode() == "<?xml version='1.0' encoding=\"UTF-8\"?><kml>Київ</kml>"


@pytest.mark.parametrize(
    "declaration", ["", '<?xml version="1.0" encoding="utf-8"?>', '<?xml version="1.0"?>']
)
def test_xml_that_is_not_the_utf8_it_claims_is_guessed(tmp_path, declaration):
    text = f"{declaration}<kml>{NAMES['CP1251']}</kml>"
    found, raw = converted(tmp_path, text.encode("cp1251"), is_xml=True)
    assert found == Charset("CP1251", guessed=True)
    assert NAMES["CP1251"] in raw.decode()


@pytest.mark.parametrize("declared", ["zip", "punycode", "undefined", "klingon", "utf-7"])
def test_a_declaration_of_nonsense_is_passed_over(tmp_path, declared):
    text = f'<?xml version="1.0" encoding="{declared}"?><kml>{NAMES["CP1251"]}</kml>'
    found, _ = converted(tmp_path, text.encode("cp1251"), is_xml=True)
    assert found == Charset("CP1251", guessed=True)


def test_latin_1_is_read_as_the_windows_page_that_it_mostly_is(tmp_path):
    text = '<?xml version="1.0" encoding="ISO-8859-1"?><kml>“São”</kml>'
    found, raw = converted(tmp_path, text.encode("cp1252"), is_xml=True)
    assert found == Charset("ISO-8859-1")
    assert "“São”" in raw.decode()


def test_a_broken_character_in_xml_is_replaced_because_parsers_stop_there(tmp_path):
    raw = b"<kml>" + "Київ".encode() * 20 + b"\xd0</kml>"
    found, new = converted(tmp_path, raw, is_xml=True)
    assert found == UTF8
    assert new == raw.replace(b"\xd0</", "\ufffd</".encode())


@pytest.mark.parametrize("text", ["<kml>Zo\u00eb</kml>", "name,lat\nA,1\nZo\u00eb"])
def test_one_letter_at_the_end_of_a_word_is_no_half_of_another(tmp_path, text):
    """Its byte begins a character of three in UTF-8."""
    found, raw = converted(tmp_path, text.encode("cp1252"), is_xml=text.startswith("<"))
    assert (found, raw.decode()) == (Charset("CP1252", guessed=True), text)


@pytest.mark.parametrize("declared", ["windows-874", "x-cp874"])
def test_code_pages_by_their_names_in_windows_are_known(tmp_path, declared):
    text = f'<?xml version="1.0" encoding="{declared}"?><kml>กรุงเทพ</kml>'
    found, raw = converted(tmp_path, text.encode("cp874"), is_xml=True)
    assert found == Charset("CP874")
    assert "กรุงเทพ" in raw.decode()


def test_an_unknown_word_in_the_declaration_of_a_utf8_text_is_put_right(tmp_path):
    text = '<?xml version="1.0" encoding="unicode"?><kml>Київ</kml>'
    _, raw = converted(tmp_path, text.encode(), is_xml=True)
    assert raw.decode() == text.replace("unicode", "UTF-8")


def test_a_type_is_put_first_and_all_else_stays(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b'\x1e{"a":1,"type":"Feature"}')
    put_type_first(path, "Feature")
    assert path.read_bytes() == b'\x1e{"type":"Feature","a":1,"type":"Feature"}'
    assert [other.name for other in tmp_path.iterdir()] == ["x"]
