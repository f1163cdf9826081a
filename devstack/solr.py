"""Solr: the jars come from Maven, the schema from the installed CKAN."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from devstack.paths import DEV, HERE, PORTS, SHARED, VENV, write
from devstack.steps import StepError, run

PARTS = HERE / "solr_server"
FOLDER = DEV / "solr"
JARS = SHARED / "solr" / "lib"
HOME = FOLDER / "home"
CONFIGSET = HOME / "configsets" / "ckan" / "conf"
STAMP = JARS / ".complete"

CORE = "ckan"
TEST_CORES = ("ckan_test", "ckan_test_2")


def command() -> str:
    """What the process manager starts: Java runs the single source file as it is."""
    arguments = [
        "java",
        "-Xmx512m",
        "-Dlog4j2.formatMsgNoLookups=true",
        f"-Dlog4j.configurationFile={PARTS / 'log4j2.xml'}",
        "-cp",
        f"{JARS}/*",
        str(PARTS / "SolrServer.java"),
        str(HOME),
        str(PORTS.solr),
    ]
    return shlex.join(arguments)


def _pom_sum() -> str:
    return hashlib.sha256((PARTS / "pom.xml").read_bytes()).hexdigest()


def jars_are_here() -> bool:
    """Whether all the jars of the pom have been copied."""
    return STAMP.exists() and STAMP.read_text() == _pom_sum()


def fetch_jars() -> None:
    """Copy Solr's jars into .dev/ with Maven, for every CKAN."""
    shutil.rmtree(JARS, ignore_errors=True)
    run(
        [
            *("mvn", "--batch-mode", "--quiet", "--file", PARTS / "pom.xml"),
            *("dependency:copy-dependencies", f"-DoutputDirectory={JARS}", "-DincludeScope=runtime"),
        ],
        advice="see that Maven reaches its repository (settings.xml, proxy), then run the same command again",
    )
    STAMP.write_text(_pom_sum())


def core_files() -> tuple[Path, ...]:
    """Each makes its folder a core."""
    return tuple(HOME / core / "core.properties" for core in (CORE, *TEST_CORES))


def prepare() -> None:
    """Write Solr's home: cores that share one configuration with CKAN's schema."""
    spec = find_spec("ckan")
    if spec is None or spec.origin is None:
        raise StepError(
            f"CKAN is not installed in {VENV}", advice="remove that folder and run the command again"
        )
    schema = Path(spec.origin).parent / "config" / "solr" / "schema.xml"
    write(CONFIGSET / "schema.xml", schema.read_text())
    write(CONFIGSET / "solrconfig.xml", (PARTS / "solrconfig.xml").read_text())
    for words in ("protwords.txt", "synonyms.txt"):
        write(CONFIGSET / words, "")
    write(HOME / "solr.xml", "<solr/>\n")
    for file in core_files():
        write(file, f"name={file.parent.name}\nconfigSet=ckan\n")


def url(core: str) -> str:
    """The URL of a core."""
    return f"http://127.0.0.1:{PORTS.solr}/solr/{core}"


def answers() -> bool:
    """Whether all cores are loaded and answer a search."""
    try:
        for core in (CORE, *TEST_CORES):
            with urllib.request.urlopen(f"{url(core)}/select?q=*:*&rows=0&wt=json", timeout=5) as reply:
                json.load(reply)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True


def remove() -> None:
    """Delete the indexes; the jars stay."""
    shutil.rmtree(HOME, ignore_errors=True)
