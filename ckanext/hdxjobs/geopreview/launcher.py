"""Goes into the cage and then makes room for the system's ogr2ogr.

Started by ``translate`` as ``python -I -m ckanext.hdxjobs.geopreview.launcher``, with one line of JSON on
standard input: the cage, and the program with its arguments.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

from ckanext.hdxjobs.geopreview import cage

#: Exit status: the process could not be cut off from the network, and that is required.
NO_SANDBOX = 113


def main() -> NoReturn:
    """Be locked up, then become the program."""
    setup: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    walls = cage.close(cage.Cage(**setup["cage"]), parent_pid=setup["parent_pid"])
    if setup["required"] and not cage.is_offline(walls):
        os._exit(NO_SANDBOX)
    program, *_ = arguments = setup["arguments"]
    os.execve(program, arguments, os.environ)  # noqa: S606 (no shell; the arguments are ours)


if __name__ == "__main__":
    main()
