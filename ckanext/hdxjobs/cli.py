"""The shell door: ``ckan hdxjobs ...``.  It records, rings and tidies; it never reads a file itself."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click
import psycopg2
import sqlalchemy as sa
from ckan import model

from ckanext.hdxjobs import config, progress, shell, tilestats
from ckanext.hdxjobs.analytics import job as analytics
from ckanext.hdxjobs.errors import FAILURES, NewerSchema, PreviewError
from ckanext.hdxjobs.geopreview import backlog, check, dataset, db, hooks, mirror, record, survey, sweep
from ckanext.hdxjobs.geopreview.preview import PREVIEW, engine, needs_migration
from ckanext.hdxjobs.messages import ENGLISH

#: What a sweep did, in words.
_SWEPT: dict[type, dict[str, str]] = {
    sweep.Swept: {
        "rung": "queued again",
        "lost": "taken back from dead workers",
        "told": "told their resources",
        "orphans": "without a resource",
        "retired": "maps removed",
        "tables": "old tables dropped",
        "folders": "work folders removed",
        "shared": "given to tile servers",
        "unshared": "taken back from them",
    },
    analytics.Swept: {
        "spooled": "events taken from the spool",
        "rung": "sinks rung for",
        "forgotten": "events too old to keep",
    },
}

# CKAN's blanket takes only functions unless told.
__all__ = ["hdxjobs"]


class _Group(click.Group):
    """Turns the two faults that an administrator can mend into a line that says how."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PreviewError as error:
            raise click.ClickException(db.explained(error)) from error
        except psycopg2.errors.UndefinedTable as error:
            raise click.ClickException(record.MIGRATE) from error
        except sa.exc.ProgrammingError as error:
            if not needs_migration(error):
                raise
            raise click.ClickException(record.MIGRATE) from error


@click.group(cls=_Group, short_help="Map previews and analytics.")
def hdxjobs() -> None:
    """Map previews and analytics of CKAN's resources."""


hdxjobs.add_command(shell.events)
hdxjobs.add_command(tilestats.tiles)


@hdxjobs.command("init-db")
@click.option(
    "--admin-url",
    envvar="HDXJOBS_ADMIN_URL",
    help="PostgreSQL URL of the map database as a role that may create roles and extensions; "
    "default: ckanext.hdxjobs.postgis.url. Also read from HDXJOBS_ADMIN_URL, which other users cannot see.",
)
def init_db(admin_url: str | None) -> None:
    """Make the map database's schema, roles and functions. May be run again at any time."""
    loader_url = config.geo_settings().loader_url
    try:
        db.init(admin_url or loader_url, loader_url=loader_url, tiles_url=config.tile_settings().tiles_url)
    except NewerSchema as error:
        raise click.ClickException(str(error)) from error
    except psycopg2.Error as error:
        hint = "" if admin_url else " (does this take an administrator? Name one by --admin-url)"
        raise click.ClickException(
            f"The map database could not be set up: {str(error).strip()}{hint}"
        ) from error
    click.secho("The map database is ready.", fg="green")


@hdxjobs.command()
@click.argument("names", metavar="[RESOURCE|DATASET]...", nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="All resources of the site whose format may be geodata."
)
@click.option("--failed", is_flag=True, help="All whose preview failed.")
@click.option("--code", help="All with this error, such as too-slow, tried again by themselves or not.")
@click.option("--force", is_flag=True, help="Also those whose file was tried before.")
def submit(names: tuple[str, ...], everything: bool, failed: bool, code: str | None, force: bool) -> None:
    """Ask for the previews of resources or of whole datasets."""
    if sum((bool(names), everything, failed or code is not None)) != 1:
        raise click.UsageError("Name resources or datasets, or use --all, --failed or --code")
    if code is not None and code not in FAILURES:
        raise click.UsageError(f"There is no error {code}; docs/errors.rst lists them")
    asked = left = 0
    if failed or code:
        resource_ids = backlog.failed(code)
        for done in progress.told(backlog.ask_again(resource_ids), total=len(resource_ids)):
            asked += done
    else:
        for resource in progress.told(_all_resources() if everything else _named(names)):
            is_new = hooks.submit(resource, force=force) is not None
            asked, left = asked + is_new, left + (not is_new)
            model.Session.commit()
    click.echo(f"{asked} queued")
    if left:
        click.echo(
            f"{left} left as they are: the same file was asked for before; --force tries again", err=True
        )


@hdxjobs.command()
@click.argument("names", metavar="RESOURCE|DATASET...", nargs=-1, required=True)
def cancel(names: tuple[str, ...]) -> None:
    """Make no previews of what waits or runs.

    A map that was there before stays.  The same file gets a preview again only by submit --force.
    """
    cancelled = 0
    for resource in _named(names):
        cancelled += hooks.cancel(resource)
        model.Session.commit()
    click.echo(f"{cancelled} cancelled")


@hdxjobs.command()
@click.argument("resource_id", metavar="[RESOURCE]", required=False)
def status(resource_id: str | None) -> None:
    """Tell how one preview stands (as JSON), or how many are in which state."""
    if resource_id:
        click.echo(json.dumps(record.told(_row(resource_id), ENGLISH), indent=2, ensure_ascii=False))
        return
    counts = backlog.counts()
    waited_s = backlog.queue(silent_s=sweep.SILENT_S).oldest_s
    for state, count in counts.items():
        click.echo(f"{state.value:12} {count}")
    if waited_s is not None:
        click.echo(f"The oldest has waited {timedelta(seconds=int(waited_s))}")


@hdxjobs.command("check")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check_(as_json: bool) -> None:
    """Tell whether databases, queues, workers, disks and the reader are in order; exit code 1 if not.

    Run it on the machine of a worker: there the reader and its sandbox matter.
    """
    settings = config.geo_settings()
    wanted = check.Wanted(settings.sandbox, settings.reader, settings.reader_memory_bytes)
    findings = survey.run() + check.run(wanted)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok' if finding.ok else 'FAULT':6} {finding.part:20} {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


@hdxjobs.command("sweep")
@click.option("--every", "every_s", type=click.IntRange(min=1), help="Go on, a round each so many seconds.")
def sweep_(every_s: int | None) -> None:
    """Queue what waits unqueued, take back what dead workers held, drop what is not wanted.

    Of previews and of events.

    Run it each minute by cron or a timer, or let it run on with --every.
    """
    if every_s is None:
        events = analytics.sweep()
        _report(sweep.run())
        _report(events)
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        for round_ in (analytics.sweep, sweep.run):
            try:
                _report(round_(), quiet=True)
            except PreviewError as error:
                click.echo(f"This round was cut short. {db.explained(error)}", err=True)
            except (sa.exc.SQLAlchemyError, psycopg2.Error, OSError) as error:
                click.echo(f"This round was cut short. {_first_line(error)}", err=True)
            finally:
                model.Session.remove()
        stop.wait(every_s)


@hdxjobs.command()
@click.argument("resource_ids", metavar="[RESOURCE]...", nargs=-1)
def resync(resource_ids: tuple[str, ...]) -> None:
    """Write the copies in the resources' extras and in the search index anew."""
    if not resource_ids:
        with engine().connect() as connection:
            resource_ids = tuple(connection.execute(sa.select(PREVIEW.c.resource_id)).scalars())
    else:
        resource_ids = tuple(_row(resource_id)["resource_id"] for resource_id in resource_ids)
    for resource_id in progress.told(resource_ids, total=len(resource_ids)):
        mirror.refresh(resource_id, reindex=True)
        model.Session.remove()
    click.echo(f"{len(resource_ids)} looked at")


@hdxjobs.command("purge-orphans")
@click.option("--dry-run", is_flag=True, help="Only list them.")
def purge_orphans(dry_run: bool) -> None:
    """Drop tables of the map database whose resource is gone or has no preview any more."""
    count = 0
    for resource_id in progress.told(sweep.purge_orphans(dry_run=dry_run)):
        click.echo(resource_id)
        count += 1
    click.echo(f"{count} {'would be ' if dry_run else ''}purged", err=True)


def _report(swept: sweep.Swept | analytics.Swept, *, quiet: bool = False) -> None:
    counts = asdict(swept)
    if any(counts.values()) or not quiet:
        words = _SWEPT[type(swept)]
        click.echo(", ".join(f"{words[what]}: {count}" for what, count in counts.items()))


def _first_line(error: Exception) -> str:
    """What a database or the system says, without the statement."""
    said = str(getattr(error, "orig", error)).strip()
    return said.partition("\n")[0] or type(error).__name__


def _row(resource_id: str) -> record.Row:
    row = record.find(resource_id)
    if row is None:
        raise click.ClickException(f"There is no preview of a resource {resource_id}")
    return row


def _named(names: Iterable[str]) -> Iterable[Any]:
    for name in names:
        resource = dataset.resource(name)
        package = None if resource else model.Package.get(name)
        if resource:
            yield resource
        elif package:
            yield from filter(hooks.is_candidate, dataset.resources_of(package.id))
        else:
            raise click.ClickException(f"There is no resource or dataset {name}")


def _all_resources() -> Iterable[Any]:
    package = model.package_table
    with engine().connect() as connection:
        package_ids = (
            connection.execute(sa.select(package.c.id).where(package.c.state != "deleted")).scalars().all()
        )
    for package_id in package_ids:
        yield from filter(hooks.is_candidate, dataset.resources_of(package_id))
