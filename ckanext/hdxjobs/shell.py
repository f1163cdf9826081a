"""``ckan hdxjobs events ...``: the outbox for operators.  It also delivers, where no worker runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click
import psycopg2

from ckanext.hdxjobs import config, queues
from ckanext.hdxjobs.analytics import capture, catalogue, health, hooks, job, sinks
from ckanext.hdxjobs.analytics.outbox import Outbox
from ckanext.hdxjobs.analytics.sinks import SinkError

_SINK = click.option("--sink", help="Only events for this sink.")


@contextmanager
def _outbox() -> Iterator[Outbox]:
    outbox = Outbox(config.ckan_dsn())
    try:
        yield outbox
    except psycopg2.Error as error:
        raise click.ClickException(f"The outbox cannot be used: {capture.describe(error)}") from error
    finally:
        outbox.close()


def _sinks(outbox: Outbox, *asked: str | None) -> list[str]:
    """The sinks that are asked for, or else all of the settings.

    :raises click.ClickException: one is neither in the settings nor does anything wait for it
    """
    configured = config.analytics_settings().sinks
    names = [name for name in asked if name]
    known = [one.name for one in health.overview(outbox, configured)]
    for name in names:
        if name not in known:
            raise click.ClickException(f"There is no sink named {name}; there are: {', '.join(known)}")
    return names or list(configured)


@click.group(short_help="The outbox of events.")
def events() -> None:
    """The events that wait to be delivered, and those that a sink refused."""


@events.command("list")
@_SINK
@click.option("--name", help='Only events of this name, such as "resource download".')
@click.option("--dead", is_flag=True, help="Only dead letters.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
def list_(sink: str | None, name: str | None, dead: bool, limit: int) -> None:
    """Show how each sink fares, and the oldest events in the outbox."""
    with _outbox() as outbox:
        _sinks(outbox, sink)
        for one in health.overview(outbox, config.analytics_settings().sinks):
            click.secho(_health_line(one), bold=True)
            for trouble in filter(None, (one.alarm, one.last_error)):
                click.echo(f"    {trouble}")
        for row in outbox.search(sink=sink, name=name, dead=dead or None, limit=limit):
            reason = f"  dead: {row['last_error']}" if row["dead_at"] else ""
            click.echo(
                f"{row['occurred_at'].isoformat()}  {row['sink']:10} {row['event_id']}  {row['name']}{reason}"
            )


def _health_line(one: health.Health) -> str:
    oldest = f", the oldest {one.oldest_s:.0f} s old" if one.oldest_s is not None else ""
    return (
        f"{one.name}: {one.state}; {one.backlog} waiting{oldest}; {one.dead} dead; "
        f"{one.delivered_last_hour} delivered in the last hour"
    )


@events.command()
@_SINK
@click.option("--id", "event_id", type=click.UUID, help="Only this event.")
def retry(sink: str | None, event_id: Any) -> None:
    """Send dead letters again, and try sinks that rest at once."""
    with _outbox() as outbox:
        resting = _sinks(outbox, sink)
        revived = outbox.change("revive", sink=sink, event_id=str(event_id) if event_id else None)
        outbox.change("unpause", sink=sink)
    for name in resting:
        # While a sink rests its bell is hushed: without this it would wait for the sweep.
        queues.heard(capture.bell_key(name))
    capture.ring(set(resting))
    click.echo(f"{revived} dead letters are sent again")


@events.command()
@_SINK
@click.option("--waiting", is_flag=True, help="Also events that wait to be delivered: they are lost.")
@click.option(
    "--older-days", type=click.IntRange(min=0), default=0, help="Only those older than so many days."
)
@click.confirmation_option(prompt="Delete events for good?")
def purge(sink: str | None, waiting: bool, older_days: int) -> None:
    """Delete dead letters, or with --waiting all events."""
    with _outbox() as outbox:
        _sinks(outbox, sink)
        purged = outbox.change("purge", sink=sink, waiting=waiting, older_days=older_days)
    click.echo(f"{purged} events deleted")


@events.command()
@_SINK
@click.option("--dead", is_flag=True, help="Only dead letters.")
@click.option(
    "--output", type=click.File("w", encoding="utf-8"), default="-", help="A file; default: the screen."
)
def export(sink: str | None, dead: bool, output: TextIO) -> None:
    """Write events as JSON lines; they stay in the outbox."""
    count = 0
    with _outbox() as outbox:
        _sinks(outbox, sink)
        for row in outbox.each(sink=sink, dead=dead or None):
            output.write(json.dumps(row, default=str, ensure_ascii=False) + "\n")
            count += 1
    click.echo(f"{count} events", err=True)


@events.command()
@click.argument("names", metavar="[SINK]...", nargs=-1)
def check(names: tuple[str, ...]) -> None:
    """Try the options of sinks, by default of all in the settings; none gets an event.

    ga4 has a validator of Google's judge a sample; it does not look at the API secret.
    """
    failed = False
    for name in names or config.analytics_settings().sinks:
        try:
            complaints = _complaints(name)
        except SinkError as error:
            complaints = [str(error)]
        for complaint in complaints:
            click.secho(f"{name}: {complaint}", fg="red")
        if not complaints:
            click.secho(f"{name}: ok", fg="green")
        failed = failed or bool(complaints)
    sys.exit(1 if failed else 0)


def _complaints(name: str) -> list[str]:
    sink = job.make_sink(name)
    try:
        return list(sink.check()) if isinstance(sink, sinks.Checkable) else []
    finally:
        sink.close()


@events.command()
@click.argument("names", metavar="[SINK]...", nargs=-1)
def deliver(names: tuple[str, ...]) -> None:
    """Deliver what is due now, in this process; workers do so by themselves."""
    with _outbox() as outbox:
        wanted = _sinks(outbox, *names)
    for name in wanted:
        try:
            outcome = job.deliver(name)
        except psycopg2.Error as error:
            raise click.ClickException(f"The outbox cannot be used: {capture.describe(error)}") from error
        rest = f"; rests for {outcome.paused_s:.0f} s" if outcome.paused_s is not None else ""
        click.echo(f"{name}: {outcome.delivered} delivered, {outcome.refused} refused{rest}")


@events.command()
def stats() -> None:
    """Track how much the site holds (event "hdx stats"); for cron."""
    with _outbox() as outbox:
        counted = outbox.rows("site_statistics")[0]
    hooks.track(catalogue.SiteStatistics(**counted))
    click.echo(json.dumps(counted))
