"""python -m devstack VERB: what ./dev starts once there is a Python to run it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from devstack import (
    ckan,
    environment,
    lint,
    packages,
    peers,
    postgres,
    processes,
    redis,
    reference,
    seed,
    solr,
    stack,
    suites,
    translations,
)
from devstack.fakes import client
from devstack.paths import CKAN_INI, ROOT, make_folders
from devstack.steps import StepError, say, step

Arguments = list[str]


def run(_: Arguments) -> int:
    """Set up, start, fill and show."""
    stack.up()
    pages = seed.upload()
    lines = [("site", ckan.SITE_URL), *(("map", page) for page in pages)]
    lines += [("events", f"{client.URL}  what arrived at the fake Mixpanel, GA4 and webhook")]
    lines += [("log in", environment.login())]
    lines += [("token", "./dev env prints CKAN_ADMIN_TOKEN and the other addresses"), ("stop", "./dev down")]
    print("\n" + "\n".join(f"  {name:<8}{text}" for name, text in lines), flush=True)
    return 0


def up(_: Arguments) -> int:
    stack.up()
    return 0


def down(_: Arguments) -> int:
    stack.down()
    return 0


def restart(names: Arguments) -> int:
    """Restart programs, or the site's if none is named."""
    wanted = names or [program.name for program in stack.site()]
    for program in stack.programs():
        if program.name in wanted:
            with step(program.name) as it:
                processes.stop(program.name)
                it.note(processes.start(program))
                processes.wait(program)
    return 0


def status(_: Arguments) -> int:
    """A line a program; exit code 1 unless all run."""
    states = processes.states()
    if not states:
        print("nothing runs; ./dev up starts it")
        return 1
    for program in stack.programs():
        info = states.get(program.name, {"statename": "UNKNOWN", "description": ""})
        port = str(program.port or "")
        print(f"{program.name:<17} {port:<6} {info['statename']:<9} {info['description']}")
    return 0 if all(info["statename"] == "RUNNING" for info in states.values()) else 1


def reset(arguments: Arguments) -> int:
    """Stop everything and delete the data."""
    if "--yes" not in arguments:
        if not sys.stdin.isatty():
            say("./dev reset deletes all data of this checkout's stack: say ./dev reset --yes")
            return 2
        if input("Delete databases, uploads and indexes of this checkout? [y/N] ").strip().lower() != "y":
            return 1
    stack.down()
    with step("Deleting databases, uploads and indexes"):
        for part in (postgres, redis, solr, ckan):
            part.remove()
    return 0


def logs(names: Arguments) -> int:
    known = [program.name for program in stack.programs()]
    unknown = [name for name in names if name not in [*known, "setup", "supervisord"]]
    if unknown:
        say(f"no log named {', '.join(unknown)}; there are: {', '.join([*known, 'setup', 'supervisord'])}")
        return 2
    return processes.follow(names or known)


def env(_: Arguments) -> int:
    for key, value in environment.values().items():
        print(f"{key}={value}")
    return 0


def test(arguments: Arguments) -> int:
    """Suites first, then what pytest gets."""
    names = []
    while arguments and arguments[0] in suites.NAMES:
        names.append(arguments.pop(0))
    return 0 if suites.run(names, arguments) else 1


def check(_: Arguments) -> int:
    return 0 if lint.run() else 1


def bench(names: Arguments) -> int:
    """Measure, and write the numbers into benchmarks/."""
    known = sorted(path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py"))
    if len(names) != 1 or names[0] not in known:
        say(f"./dev bench NAME; there are: {', '.join(known)}")
        return 2
    stack.install()
    stack.start_servers()
    return subprocess.call([sys.executable, "-m", f"benchmarks.bench_{names[0]}"], cwd=ROOT)


def chaos(arguments: Arguments) -> int:
    """Break processes and servers under a site at work, and check that nothing is lost."""
    from devstack.chaos import drill  # noqa: PLC0415 - loads parts of the extension

    stack.install()
    stack.start_servers()
    return drill.main(arguments)


def soak(arguments: Arguments) -> int:
    """Load thousands of small resources and watch what grows."""
    from benchmarks import soak as soaking  # noqa: PLC0415 - loads parts of the extension

    stack.install()
    stack.start_servers()
    return soaking.main(arguments)


def build_peers(_: Arguments) -> int:
    """Build the tile servers of others that tests and benchmarks run beside ours."""
    return 0 if peers.build() else 1


def docs(_: Arguments) -> int:
    """Write the pages of docs/ that are made from the code."""
    reference.write()
    return 0


def i18n(_: Arguments) -> int:
    with step("Texts to translate") as it:
        it.note(f"{translations.extract()} in {translations.CATALOGUE.relative_to(ROOT)}")
    return 0


def screenshot(_: Arguments) -> int:
    """Take the README's picture anew."""
    from devstack import screenshots  # noqa: PLC0415 - loads a browser driver

    stack.up()
    pages = seed.upload()
    with step("The README's picture") as it:
        packages.ensure_browser()
        it.note(str(screenshots.take(pages).relative_to(ROOT)))
    return 0


def ckan_command(arguments: Arguments) -> int:
    """ckan -c .dev/ckan.ini …"""
    if not CKAN_INI.exists():
        say("there is no site yet: ./dev up makes it")
        return 1
    return subprocess.call(ckan.command(*arguments))


VERBS: dict[str, Callable[[Arguments], int]] = {
    "run": run,
    "up": up,
    "down": down,
    "restart": restart,
    "status": status,
    "reset": reset,
    "logs": logs,
    "env": env,
    "ckan": ckan_command,
    "test": test,
    "lint": check,
    "bench": bench,
    "chaos": chaos,
    "soak": soak,
    "peers": build_peers,
    "docs": docs,
    "i18n": i18n,
    "screenshot": screenshot,
}


def main() -> int:
    verb, *arguments = sys.argv[1:]
    if verb not in VERBS:
        say(f"./dev has no verb {verb}; ./dev help lists them")
        return 2
    make_folders()
    environment.isolate()
    try:
        return VERBS[verb](arguments)
    except StepError as failure:
        say(f"{failure.why}\n{failure.advice}".strip())
        return 1


if __name__ == "__main__":
    sys.exit(main())
