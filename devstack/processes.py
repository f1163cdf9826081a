"""The process manager (supervisor): starts the servers, starts them again, keeps their logs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import xmlrpc.client
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from devstack.paths import CKAN_INI, DEV, LOGS, PORTS, ROOT, RUN, VENV, outside, supervisor_socket, write
from devstack.steps import StepError, run, tail, wait_for

SETTINGS = DEV / "supervisord.conf"
# Marks our processes, so that those a killed manager left behind can be found.
MARK = "HDXJOBS_STACK"
# Files in a program's sources that it reads when it starts.
KINDS = {".py", ".yaml", ".sql", ".ini", ".conf", ".xml", ".java", ".html", ".yml", ".mo", ".properties"}


@dataclass(frozen=True)
class Program:
    """A server of the stack.

    :ivar command: command line, quoted as for a shell
    :ivar ready: says whether it does its work
    :ivar port: its port, or None if it has none
    :ivar sources: files whose change asks for a restart
    :ivar patience_s: seconds until it must be ready
    """

    name: str
    command: str
    ready: Callable[[], bool] | None = None
    port: int | None = None
    sources: tuple[Path, ...] = ()
    patience_s: float = 240
    user: str | None = None
    stop_signal: str = "TERM"
    settle_s: int = 1
    folder: Path = ROOT

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    def section(self) -> str:
        """Its part of the manager's configuration."""
        lines = {
            "command": self.command.replace("%", "%%"),
            "directory": str(self.folder),
            "environment": f'CKAN_INI="{CKAN_INI}"',
            "autostart": "false",
            "autorestart": "true",
            "startsecs": str(self.settle_s),
            "startretries": "3",
            "stopsignal": self.stop_signal,
            "stopwaitsecs": "30",
            "stopasgroup": "false",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(self.log),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "1",
        }
        if self.user:
            lines["user"] = self.user
        return f"[program:{self.name}]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


def configuration(programs: Iterable[Program]) -> str:
    """The manager's configuration file."""
    own = "user = root\n" if os.geteuid() == 0 else ""
    return (
        f"[unix_http_server]\nfile = {supervisor_socket()}\nchmod = 0700\n\n"
        f"[supervisord]\nlogfile = {LOGS / 'supervisord.log'}\nlogfile_maxbytes = 5MB\n"
        f"logfile_backups = 1\npidfile = {RUN / 'supervisord.pid'}\n"
        f"childlogdir = {LOGS}\ndirectory = {ROOT}\n{own}\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n"
        f"[supervisorctl]\nserverurl = unix://{supervisor_socket()}\n\n"
        + "\n".join(program.section() for program in programs)
    )


def _manager() -> Any:
    transport = SupervisorTransport(None, None, serverurl=f"unix://{supervisor_socket()}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def running() -> bool:
    """Whether the process manager runs."""
    try:
        return bool(_manager().getState()["statename"] == "RUNNING")
    except (OSError, xmlrpc.client.Error):
        return False


def start_manager(programs: Iterable[Program]) -> None:
    """Start the manager, or make a running one take the present configuration."""
    write(SETTINGS, configuration(programs))
    if running():
        run([VENV / "bin" / "supervisorctl", "-c", SETTINGS, "update"])
        return
    end_strays()
    supervisor_socket().unlink(missing_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CKAN_")}
    environment |= {MARK: str(DEV), "PYTHONUNBUFFERED": "1"}
    run([VENV / "bin" / "supervisord", "-c", SETTINGS], env=environment)
    if not wait_for(running, seconds=15):
        log = LOGS / "supervisord.log"
        raise StepError(tail(log) or "the process manager does not answer", log=log)


def states() -> dict[str, dict[str, Any]]:
    """What the manager says of each program: statename, description, pid, start (Unix time)."""
    if not running():
        return {}
    return {info["name"]: info for info in _manager().getAllProcessInfo()}


def is_stale(program: Program, started: float) -> bool:
    newest = 0.0
    for source in program.sources:
        files = [source] if source.is_file() else source.rglob("*")
        newest = max([newest, *(file.stat().st_mtime for file in files if file.suffix in KINDS)])
    return int(newest) > started  # which the manager tells in whole seconds


def start(program: Program) -> str:
    """Start a program, or restart it if its code or settings are newer; does not wait.

    :returns: what was done, for the step's line
    """
    info = states()[program.name]
    if info["statename"] in {"RUNNING", "STARTING"}:
        if not is_stale(program, info["start"]):
            return "was running"
        stop(program.name)
        done = "restarted with the new code"
    else:
        done = "started"
        if program.port and _taken(program.port):
            raise StepError(
                f"port {program.port} is in use by another program",
                advice=f"end that program, or choose other ports: HDXJOBS_DEV_PORT={PORTS.base + 100} ./dev run",
            )
    with suppress(xmlrpc.client.Fault):  # already starting by itself
        _manager().startProcess(program.name, False)
    return done + (f" on {program.port}" if program.port else "")


def wait(program: Program) -> None:
    """Wait until a program is ready.

    :raises StepError: with the last lines of its log
    """

    def settled() -> bool:
        state = states()[program.name]["statename"]
        if state in {"FATAL", "EXITED"}:
            raise StepError(_reason(program), log=program.log)
        return state == "RUNNING" and (program.ready is None or program.ready())

    if not wait_for(settled, seconds=program.patience_s):
        raise StepError(
            f"not ready after {program.patience_s:.0f} seconds; its log ends:\n{tail(program.log)}",
            log=program.log,
        )


def _reason(program: Program) -> str:
    return f"it ended right after its start; its log ends:\n{tail(program.log)}"


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(name: str) -> None:
    """Stop a program and wait until it is gone."""
    with suppress(xmlrpc.client.Fault):  # not running
        _manager().stopProcess(name)


def stop_all(order: Iterable[str]) -> None:
    """Stop the programs in that order, then the manager; works with nothing running too."""
    if running():
        for name in order:
            stop(name)
        _manager().shutdown()
        wait_for(lambda: not running(), seconds=30)
    end_strays()


def strays() -> list[int]:
    """Processes of this checkout's stack that still run, with or without a manager."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone, or of another user
            if _is_ours(process):
                found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]


def _is_ours(process: Path) -> bool:
    """By the mark in its environment; two servers write over theirs and are known by name and folder."""
    if f"{MARK}={DEV}".encode() in (process / "environ").read_bytes().split(b"\0"):
        return True
    if (process / "comm").read_text().strip() not in {"redis-server", "postgres"}:
        return False
    folder = (process / "cwd").resolve()
    return folder.is_relative_to(DEV) or folder.is_relative_to(outside())


def end_strays() -> None:
    """End what a killed manager left behind: politely, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in strays():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait_for(lambda: not strays(), seconds=10):
            return


def follow(names: Iterable[str]) -> int:
    """Show the logs as they grow, until interrupted."""
    files = [str(LOGS / f"{name}.log") for name in names]
    with suppress(KeyboardInterrupt):
        return subprocess.call(["tail", "-n", "50", "-F", *files])
    return 0
