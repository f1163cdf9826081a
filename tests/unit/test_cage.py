"""The cage: what a process in it can still do, and which walls it says are standing."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys

import pytest

from ckanext.hdxjobs.geopreview import cage, seccomp

CLOSED = """
import json, os, sys
from ckanext.hdxjobs.geopreview import cage
walls = cage.close(
    cage.Cage(folder=sys.argv[1], memory_bytes=2 * 1024**3, cpu_s=20, file_bytes=1000, open_files=64,
              walls=sys.argv[2] == "walls"),
    parent_pid=os.getppid(),
)
def outcome(act):
    try:
        return repr(act())
    except BaseException as error:
        return type(error).__name__
"""


def caged(folder, body, *, walls=True, before=""):
    """What a script prints that goes into the cage first."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", before + CLOSED + body, str(folder), "walls" if walls else "none"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def outcome(folder, act, **kw):
    """What becomes of one expression inside the cage."""
    return caged(folder, f"import socket, subprocess\nprint(json.dumps(outcome(lambda: {act})))", **kw)


@pytest.fixture
def place(tmp_path):
    """The folder that may be written to."""
    folder = tmp_path / "place"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="module")
def stands(tmp_path_factory):
    """Which walls this machine's kernel allows; a test of one that it does not is skipped."""
    said = caged(tmp_path_factory.mktemp("cage"), "print(json.dumps(walls))")

    def require(wall):
        if said[wall] != cage.ON:
            pytest.skip(f"no wall of {wall} on this machine: {said[wall]}")

    return require


def test_no_socket_can_be_made(stands, place):
    stands("calls")
    assert outcome(place, "socket.socket()") == "PermissionError"


def test_no_unix_socket_can_be_made_so_a_database_on_this_machine_is_out_of_reach(stands, place):
    stands("calls")
    assert outcome(place, "socket.socket(socket.AF_UNIX)") == "PermissionError"


@pytest.mark.parametrize("act", ["os.fork()", "subprocess.run(['true'])", "os.execv('/bin/true', ['true'])"])
def test_no_program_and_no_process_can_be_started(stands, place, act):
    stands("calls")
    assert outcome(place, act) == "PermissionError"


def test_a_thread_can_be_started(place):
    body = "import threading\nt = threading.Thread(target=lambda: print(1))\nt.start()\nt.join()"
    assert caged(place, body) == 1


@pytest.mark.parametrize("act", ["os.kill(os.getppid(), 0)", "os.kill(os.getppid(), 9)"])
def test_the_parent_cannot_be_killed(stands, place, act):
    stands("calls")
    assert outcome(place, act) == "PermissionError"


@pytest.mark.parametrize(
    ("act", "refused"),
    [
        ("resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))", "PermissionError"),
        ("ctypes.CDLL(None).tgkill(os.getppid(), os.getppid(), 0)", "-1"),
    ],
)
def test_the_parent_can_neither_be_limited_nor_signalled_by_its_thread(stands, place, act, refused):
    stands("calls")
    body = f"import ctypes, resource\nprint(json.dumps(outcome(lambda: {act})))"
    assert caged(place, body) == refused


def test_the_loopback_of_the_machine_is_out_of_reach(stands, place):
    """By its network of its own: a socket that was there before the filter of system calls stands for any."""
    stands("network")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        before = (
            "import ctypes, socket\n"
            "assert ctypes.CDLL(None).unshare(0x50000000) == 0\n"
            f"with socket.socket() as s: code = s.connect_ex({server.getsockname()})\n"
        )
        assert caged(place, "print(json.dumps(code))", before=before) != 0


def test_no_file_can_be_read_but_those_of_the_job(stands, place, tmp_path):
    stands("files")
    (tmp_path / "secret").write_text("hush")
    (place / "layer.geojson").write_text("{}")
    assert outcome(place, f"open({str(tmp_path / 'secret')!r}).read()") == "PermissionError"
    assert outcome(place, f"open({str(place / 'layer.geojson')!r}).read()") == "'{}'"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc/hostname", "/proc/self/environ", f"/proc/{os.getpid()}/environ"]
)
def test_no_file_of_the_system_that_tells_something_can_be_read(stands, place, path):
    stands("files")
    assert outcome(place, f"open({path!r}).read()") == "PermissionError"


def test_a_link_in_the_folder_leads_nowhere(stands, place, tmp_path):
    stands("files")
    (tmp_path / "secret").write_text("hush")
    (place / "link").symlink_to(tmp_path / "secret")
    assert outcome(place, f"open({str(place / 'link')!r}).read()") == "PermissionError"


def test_nothing_can_be_written_but_in_the_folder(stands, place, tmp_path):
    stands("files")
    assert outcome(place, f"open({str(tmp_path / 'new')!r}, 'w').write('x')") == "PermissionError"
    assert outcome(place, f"open({str(place / 'new')!r}, 'w').write('x')") == "1"


def test_the_parents_environment_is_out_of_reach_also_without_the_wall_of_files(stands, place):
    """A process in a user namespace of its own may not look into those outside."""
    stands("network")
    act = f"open('/proc/{os.getpid()}/environ').read()"
    before = "import ctypes\nassert ctypes.CDLL(None).unshare(0x50000000) == 0\n"
    assert outcome(place, act, walls=False, before=before) == "PermissionError"


def test_a_file_has_an_end(place):
    body = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "file = open(sys.argv[1] + '/big', 'wb', buffering=0)\n"
        "print(json.dumps([outcome(lambda: file.write(b'x' * 2000)), outcome(lambda: file.write(b'x'))]))"
    )
    assert caged(place, body, walls=False) == ["1000", "OSError"]


def test_memory_has_an_end(place):
    assert outcome(place, "bytearray(3 * 1024**3)", walls=False) == "MemoryError"


def test_open_files_have_an_end(place):
    assert outcome(place, "[os.open('/dev/null', 0) for _ in range(100)]", walls=False) == "OSError"


def test_the_limit_of_cpu_time_is_told_by_a_signal_of_its_own(place):
    body = CLOSED.replace("cpu_s=20", "cpu_s=1") + "while True: pass"
    done = subprocess.run([sys.executable, "-I", "-c", body, str(place), "none"], timeout=60, check=False)
    assert done.returncode == -signal.SIGXCPU


def test_switched_off_limits_stay(place):
    walls = caged(place, "print(json.dumps(walls))", walls=False)
    assert set(walls.values()) == {cage.OFF}


def test_a_kernel_that_gives_no_namespaces_is_told_and_sockets_are_off_all_the_same(stands, place):
    """As in a container: the process still goes into the cage, without a network of its own."""
    stands("network")
    stands("calls")
    refusing = (
        "import ctypes, os\n"
        "uid, libc = os.getuid(), ctypes.CDLL(None)\n"
        "assert libc.unshare(0x10000000) == 0\n"
        "open('/proc/self/uid_map', 'w').write(f'0 {uid} 1')\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
        "open('/proc/sys/user/max_net_namespaces', 'w').write('0')\n"
    )
    said = caged(place, "print(json.dumps([walls, cage.is_offline(walls)]))", before=refusing)
    assert said[0]["network"].startswith("not possible here: ")
    assert (said[0]["calls"], said[1]) == (cage.ON, True)


@pytest.mark.parametrize(
    ("network", "calls", "offline"),
    [
        (cage.ON, cage.ON, True),
        (cage.ON, cage.OFF, True),
        (cage.OFF, cage.ON, True),
        (cage.OFF, cage.OFF, False),
    ],
)
def test_a_process_is_offline_without_a_network_or_without_sockets(network, calls, offline):
    assert cage.is_offline({"network": network, "calls": calls}) is offline


ALLOWED, REFUSED, UNKNOWN, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
X86_64, AARCH64 = 0xC000003E, 0xC00000B7


OWN_PID = 4321


def verdict(machine, number, *, architecture=None, argument=0, may_execute=False):
    """What the kernel would do with a call: the filter's steps, one by one."""
    code = seccomp._code(seccomp._MACHINES[machine], may_execute=may_execute, pid=OWN_PID)
    steps = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    words = {0: number, 4: architecture or seccomp._MACHINES[machine].architecture, 16: argument}
    value = at = 0
    while True:
        what, yes, no, operand = steps[at]
        if what == 0x06:
            return operand
        if what == 0x20:
            value, jump = words[operand], 0
        else:
            hit = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[what]
            jump = yes if hit else no
        at += 1 + jump


CALLS = {
    "socket": (41, 198),
    "connect": (42, 203),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "kill": (62, 129),
    "rt_tgsigqueueinfo": (297, 240),
    "unshare": (272, 97),
    "io_uring_setup": (425, 425),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_forbidden_call_is_refused_on_both_processors(call, machine):
    assert verdict(machine, CALLS[call][machine == "aarch64"]) == REFUSED


@pytest.mark.parametrize(("machine", "read", "clone"), [("x86_64", 0, 56), ("aarch64", 63, 220)])
def test_reading_and_threads_are_allowed_on_both_processors_and_processes_are_not(machine, read, clone):
    assert verdict(machine, read) == ALLOWED
    assert verdict(machine, clone, argument=0x3D0F00) == ALLOWED
    assert verdict(machine, clone, argument=signal.SIGCHLD) == REFUSED
    assert verdict(machine, 435) == UNKNOWN


@pytest.mark.parametrize(
    ("machine", "number"), [("x86_64", 234), ("x86_64", 302), ("aarch64", 131), ("aarch64", 261)]
)
def test_a_process_may_signal_and_limit_itself_and_nobody_else(machine, number):
    assert verdict(machine, number, argument=OWN_PID) == ALLOWED
    assert verdict(machine, number, argument=0) == ALLOWED
    assert verdict(machine, number, argument=1) == REFUSED


@pytest.mark.parametrize(("machine", "execve"), [("x86_64", 59), ("aarch64", 221)])
def test_a_program_that_is_to_follow_can_be_started(machine, execve):
    assert verdict(machine, execve, may_execute=True) == ALLOWED


def test_the_calls_of_another_processor_kill():
    assert verdict("x86_64", 0, architecture=AARCH64) == KILLED
    assert verdict("aarch64", 63, architecture=X86_64) == KILLED


def test_the_second_set_of_numbers_of_x86_is_refused():
    assert verdict("x86_64", 0x40000000 + 41) == REFUSED


def test_ordinary_calls_go_on(stands, place):
    stands("calls")
    assert outcome(place, "(os.getpid() > 0, os.listdir(sys.argv[1]))") == "(True, [])"
