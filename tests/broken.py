"""Readers that break, put in the place of the real ones: each in its own way, before or amid the features."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

#: How a reader breaks; it is in the cage by then, and has the ``setup`` that the parent sent.
BREAKS = {
    "a segmentation fault": "signal.raise_signal(signal.SIGSEGV)",
    "an abort": "os.abort()",
    "an exit": "os._exit(3)",
    "no memory": "bytearray(10**12)",
    "garbage": "os.write(1, b'x' * 5000); os.write(setup['report_fd'], b'not json'); os._exit(0)",
    "a full disk": "open(os.path.dirname(setup['path']) + '/big', 'wb').write(b'x' * 10**8)",
    "a fork bomb": "[os.fork() for _ in iter(int, 1)]",
    "no processor time left": "signal.raise_signal(signal.SIGXCPU)",
    "a hang": "os.write(hangs, b'x'); time.sleep(600)",
}

#: What that is told as.
CODES = {
    "no memory": "too-much-memory",
    "no processor time left": "too-slow",
    "a hang": "too-slow",
}

_SCRIPT = """
import os, runpy, signal, sys, time
module = sys.argv[3]
with open({tried!r}, "a") as file:
    file.write(module.rpartition(".")[2] + "\\n")
hangs = os.open({hangs!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.argv = sys.argv[3:]
if module in {broken!r} and module.endswith("parser"):
    from ckanext.hdxjobs.geopreview import parser
    lock_down, load_gdal = parser.lock_down, parser.load_gdal
    setup = {{}}
    def locked(said):
        setup.update(said)
        return lock_down(said)
    def loaded(driver, encoding):
        if driver in {drivers!r}:
            {act}
        gdal = load_gdal(driver, encoding)
        if driver not in {amid!r}:
            return gdal
        from ckanext.hdxjobs.geopreview import parsing
        def ahead(batches):
            yield next(batches)
            {act}
        parsing._ahead = ahead
        return gdal
    parser.lock_down, parser.load_gdal = locked, loaded
    parser.main()
elif module in {broken!r}:
    from ckanext.hdxjobs.geopreview import launcher
    setup = {{}}
    def execve(*_):
        {act}
    os.execve = execve
    launcher.main()
else:
    runpy.run_module(module, run_name="__main__")
"""


def install(
    folder: Path,
    monkeypatch: Any,
    how: str,
    *,
    drivers: tuple[str, ...],
    amid: tuple[str, ...] = (),
    modules: tuple[str, ...] = ("parser",),
) -> Path:
    """Let readers break from now on.

    :param drivers: those of GDAL's whose reader breaks before it reads anything
    :param amid: those whose reader breaks after the first batch of features
    :param modules: "parser" for pyogrio, "launcher" for ogr2ogr
    :returns: a file with the name of each module that was started, one a line
    """
    tried = folder / "tried"
    tried.touch()
    script = folder / "broken_reader.py"
    script.write_text(
        _SCRIPT.format(
            tried=str(tried),
            hangs=str(folder / "hangs"),
            broken=tuple(f"ckanext.hdxjobs.geopreview.{name}" for name in modules),
            drivers=drivers,
            amid=amid,
            act=BREAKS[how],
        )
    )
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    if how == "a hang":
        _hurry(folder, monkeypatch)
    return tried


def _hurry(folder: Path, monkeypatch: Any) -> None:
    """Let a reader's time be up as soon as it hangs, and not before: however busy the machine is, the other has its."""
    hangs, ended = folder / "hangs", list[threading.Timer]()

    class Clock(threading.Timer):
        def run(self) -> None:
            while not self.finished.wait(0.02):
                if hangs.exists() and hangs.stat().st_size > len(ended):
                    ended.append(self)
                    self.function()
                    break

    monkeypatch.setattr(threading, "Timer", Clock)
