"""Which addresses are public, through every disguise."""

from __future__ import annotations

import ipaddress

import pytest

from ckanext.hdxjobs.errors import FetchError
from ckanext.hdxjobs.geopreview.guard import Gate, is_public

PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "3fff::1", "5f00::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1",
          "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_the_public_internet_are_refused(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [address for address in PUBLIC if not address.startswith("::ffff")])
def test_public_addresses_are_allowed(address):
    assert is_public(ipaddress.ip_address(address))


def test_a_mapped_address_is_judged_by_what_it_maps():
    assert is_public(ipaddress.ip_address("::ffff:8.8.8.8"))


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "https://[::1]/", "http://169.254.169.254/latest/meta-data", "http://example.org:22/", "file:///etc/passwd",
     "http:///x", "", "example.org", "http://example.org:99999/", "http://[fe80::1%25eth0]/", "http://127.1/", "http://0x7f.1/",
     "http://2130706433/", "http://１２７.0.0.1/", "http://127。0。0。1/", "http://localhost/", "http://a.localhost./", "http://0/",
     "http://example.org:0/", "http://168.63.129.16/"],
)  # fmt: skip
def test_links_into_the_house_are_blocked_before_any_name_is_resolved(url):
    with pytest.raises(FetchError) as caught:
        Gate().check(url)
    assert caught.value.code == "link-blocked"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "https://example.org/",
        "http://example.org:443/",
        "https://user:p@example.org/",
    ],
)
def test_links_to_the_web_pass(url):
    assert Gate().check(url).hostname == "example.org"


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2606:4700:4700::1111]", "x1.org", "1.example", "0xbeef.example", "münchen.example"]
)
def test_public_addresses_and_names_with_digits_pass(host):
    assert Gate().check(f"http://{host}/x")


def test_a_gate_for_a_server_of_the_sites_own_opens_for_that_server_alone():
    gate = Gate().with_server_of("http://ckan:5000/upload")
    assert gate.exempts("ckan", 5000)
    assert not gate.exempts("ckan", 80)
    assert not gate.exempts("db", 5000)


def test_a_gate_does_not_open_for_what_is_no_url():
    assert Gate().with_server_of("http://ckan:port/") == Gate()


@pytest.mark.parametrize(
    ("entry", "host", "port", "expected"),
    [
        ("files.internal", "files.internal", 8080, True),
        ("files.internal", "FILES.internal.", 80, True),
        ("files.internal:8080", "files.internal", 8080, True),
        ("files.internal:8080", "files.internal", 80, False),
        ("internal", "files.internal", 80, False),
        ("[::1]:8080", "::1", 8080, True),
        ("10.0.0.7", "10.0.0.7", 80, True),
    ],
)
def test_hosts_that_the_site_allows_are_exempt(entry, host, port, expected):
    assert Gate(frozenset({entry})).exempts(host, port) is expected
