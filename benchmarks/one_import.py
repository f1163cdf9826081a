"""One import, as a worker makes it, in a process of its own: python -m benchmarks.one_import FILE LOADER_URL [RESOURCE].

Prints one line of JSON: seconds of each step, and the most memory that worker and parser took.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ckanext.hdxjobs.geopreview import detect, fetch, layers, prepare, publish
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.reader import Limits, Readers
from ckanext.hdxjobs.geopreview.values import Amount, Source

CHUNK_BYTES = 1024**2
NO_LIMIT = 10**12
CAPS = Amount(NO_LIMIT, NO_LIMIT, NO_LIMIT)


def main(path: Path, dsn: str, resource_id: str) -> None:
    seconds: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - began

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    with tempfile.TemporaryDirectory() as name, Readers(Limits(3600, 8 * 1024**3)) as readers:
        folder = Path(name)
        with step("fetch"):
            source = Source(resource_id, 1, path.name, "", open_upload=chunks)
            download = fetch.fetch(
                source, folder=folder, max_bytes=NO_LIMIT, connect_timeout_s=5, read_timeout_s=5,
                deadline_s=600, hosts_allowed=frozenset(), proxy=None, progress=lambda _: None,
            )  # fmt: skip
        with step("detect"):
            found, _ = detect.detect(
                download,
                folder=folder,
                max_unpacked_bytes=NO_LIMIT,
                max_layers=50,
                formats=frozenset(FORMATS),
                readers=readers,
            )
        with step("load"):
            tables, _ = layers.load_all(
                found, dsn=dsn, caps=CAPS, max_columns=1500, readers=readers, progress=lambda _: None
            )
    with step("publish"):
        tile_sets = publish.publish(tables, resource_id=resource_id, generation=1, dsn=dsn)
    with step("prepare"):
        prepare.prepare(tile_sets, dsn=dsn)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "features": sum(table.row_count for table in tables),
                "layers": [table.layer.layer_id for table in tables],
                "worker_mb": _peak_mb(),
                "parser_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
            }
        )
    )


def _peak_mb() -> float:
    """The most memory of this process; getrusage would count what its parent had when it was started (proc(5))."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else f"bench-{time.time_ns()}")
