"""A minute and a half of faults against real processes; ``./dev chaos --minutes 10`` looks longer."""

from __future__ import annotations

import subprocess
import sys

from devstack.paths import ROOT

#: Actions and faults are the same in each run; the moments at which they meet are not.
SEED = 7


def test_nothing_is_lost_while_processes_and_servers_are_broken() -> None:
    command = [sys.executable, "-m", "devstack", "chaos", "--minutes", "1.5", "--seed", str(SEED)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=7200,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout
