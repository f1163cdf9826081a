"""What processes have counted of tiles, added up in Redis and read back by layer and zoom.

Redis keeps a hash a layer and day, with fields ``<zoom>:<what>``; beside it two sorted sets, of the slowest and
of the largest tiles; and a sorted set of the layers that were asked for that day.  Days are UTC.  A last hash counts all
tiles for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

import redis
from ckan.lib.jobs import add_queue_name_prefix

from ckanext.hdxjobs import queues
from ckanext.hdxjobs.geopreview.tally import BOUNDS_MS, Counts, Pair, Place, together

log = logging.getLogger(__name__)

#: Days that counts are kept.
KEEP_DAYS = 30

#: The slowest and the largest tiles of a layer and day that are kept, beside the first of each zoom.
PEAKS = 10

_SOURCE, _BUCKET, _MS, _BYTES = "s", "h", "ms", "b"

#: In the place of a zoom, where all are counted together.
_ALL = -1


def write(client: redis.Redis, counts: Mapping[Pair, Counts]) -> None:
    """Add to today's counts.

    :raises redis.ResponseError: Redis refuses them all
    :raises redis.RedisError: it fell silent; it may have them or not
    """
    day = _today()
    layers = sorted({layer_id for layer_id, _ in counts})
    with client.pipeline(transaction=True) as asked:
        _count(asked, _total_key(), _ALL, together(counts.values()))
        for (layer_id, zoom), one in counts.items():
            _add(asked, layer_id, zoom, one, day)
        for layer_id in layers:
            for key in (_key(day, layer_id), _slow_key(day, layer_id), _large_key(day, layer_id)):
                asked.expire(key, timedelta(days=KEEP_DAYS))
        asked.expire(_key(day), timedelta(days=KEEP_DAYS))
        # A command that fails among others is among the results; what is raised hinders all of them.
        refused = [result for result in asked.execute(raise_on_error=False) if isinstance(result, Exception)]
    if refused:
        log.warning("Redis took the counts of tiles only in part: %s", refused[0])
        return
    _prune(client, [key for one in layers for key in (_slow_key(day, one), _large_key(day, one))])


def _add(asked: Any, layer_id: str, zoom: int, counts: Counts, day: date) -> None:
    key = _key(day, layer_id)
    asked.zincrby(_key(day), counts.asked, layer_id)
    _count(asked, key, zoom, counts)
    for peak, name in ((counts.peak_ms, _slow_key), (counts.peak_bytes, _large_key)):
        if peak[1] is not None:
            asked.zadd(name(day, layer_id), {"/".join(map(str, peak[1])): peak[0]}, gt=True)


def _count(asked: Any, key: str, zoom: int, counts: Counts) -> None:
    for source, count in counts.by_source.items():
        asked.hincrby(key, f"{zoom}:{_SOURCE}:{source}", count)
    for bucket, count in enumerate(counts.histogram):
        if count:
            asked.hincrby(key, f"{zoom}:{_BUCKET}:{bucket}", count)
    asked.hincrbyfloat(key, f"{zoom}:{_MS}", counts.ms)
    asked.hincrby(key, f"{zoom}:{_BYTES}", counts.sent_bytes)


def _prune(client: redis.Redis, keys: Sequence[str]) -> None:
    """Leave the first ones, and the first of each zoom."""
    with client.pipeline(transaction=False) as asked:
        for key in keys:
            asked.zrevrange(key, 0, -1)
        found = asked.execute()
    with client.pipeline(transaction=False) as asked:
        for key, members in zip(keys, found, strict=True):
            seen: set[bytes] = set()
            for rank, member in enumerate(members):
                zoom = member.partition(b"/")[0]
                if rank >= PEAKS and zoom in seen:
                    asked.zrem(key, member)
                seen.add(zoom)
        asked.execute()


def layers(days: int) -> dict[str, int]:
    """How many tiles were asked for of each layer in the last days, today included; the most first.

    :raises redis.RedisError: Redis does not answer
    """
    with queues.connection().pipeline(transaction=False) as asked:
        for day in _days(days):
            asked.zrange(_key(day), 0, -1, withscores=True)
        found = asked.execute()
    totals: dict[str, int] = {}
    for members in found:
        for layer_id, count in members:
            totals[layer_id.decode()] = totals.get(layer_id.decode(), 0) + int(count)
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def read(layer_ids: Iterable[str], days: int) -> dict[str, dict[int, Counts]]:
    """What was counted of these layers in the last days, by zoom; none for a layer nobody asked for.

    :raises redis.RedisError: Redis does not answer
    """
    wanted = [(layer_id, day) for layer_id in layer_ids for day in _days(days)]
    with queues.connection().pipeline(transaction=False) as asked:
        for layer_id, day in wanted:
            asked.hgetall(_key(day, layer_id))
            asked.zrange(_slow_key(day, layer_id), 0, -1, withscores=True)
            asked.zrange(_large_key(day, layer_id), 0, -1, withscores=True)
        found = iter(asked.execute())
    result: dict[str, dict[int, Counts]] = {}
    for layer_id, _ in wanted:
        zooms = result.setdefault(layer_id, {})
        for zoom, counts in _parsed(next(found), next(found), next(found)).items():
            zooms.setdefault(zoom, Counts()).merge(counts)
    return result


def total() -> Counts:
    """All tiles of the site since Redis was last empty; without the slowest and the largest.

    :raises redis.RedisError: Redis does not answer
    """
    fields: Any = queues.connection().hgetall(_total_key())
    return _parsed(fields, (), ()).get(_ALL, Counts())


def slowest(layer_id: str, days: int) -> list[tuple[Place, float]]:
    """The slowest tiles of a layer in the last days, with their ms; the slowest first.

    :raises redis.RedisError: Redis does not answer
    """
    with queues.connection().pipeline(transaction=False) as asked:
        for day in _days(days):
            asked.zrange(_slow_key(day, layer_id), 0, -1, withscores=True)
        found = asked.execute()
    worst: dict[Place, float] = {}
    for members in found:
        for member, ms in members:
            worst[_place(member)] = max(ms, worst.get(_place(member), 0.0))
    return sorted(worst.items(), key=lambda item: -item[1])[:PEAKS]


def _parsed(
    fields: Mapping[bytes, bytes], slow: Sequence[tuple[bytes, float]], large: Sequence[tuple[bytes, float]]
) -> dict[int, Counts]:
    """A layer's day, by zoom."""
    zooms: dict[int, Counts] = {}
    for field, value in fields.items():
        zoom, kind, *which = field.decode().split(":")
        counts = zooms.setdefault(int(zoom), Counts())
        if kind == _SOURCE:
            counts.by_source[which[0]] = int(value)
        elif kind == _BUCKET and int(which[0]) <= len(BOUNDS_MS):
            counts.histogram[int(which[0])] = int(value)
        elif kind == _MS:
            counts.ms = float(value)
        elif kind == _BYTES:
            counts.sent_bytes = int(value)
    for member, ms in slow:
        place = _place(member)
        counts = zooms.setdefault(place[0], Counts())
        counts.peak_ms = max(counts.peak_ms, (ms, place), key=lambda peak: peak[0])
    for member, size in large:
        place = _place(member)
        counts = zooms.setdefault(place[0], Counts())
        counts.peak_bytes = max(counts.peak_bytes, (int(size), place), key=lambda peak: peak[0])
    return zooms


def _place(member: bytes) -> Place:
    z, x, y = map(int, member.split(b"/"))
    return z, x, y


def _today() -> date:
    return datetime.now(timezone.utc).date()


def _days(days: int) -> list[date]:
    return [_today() - timedelta(days=ago) for ago in range(days)]


def _key(day: date, layer_id: str = "") -> str:
    return str(add_queue_name_prefix(f"hdxjobs:tiles:{day.isoformat()}" + f":{layer_id}" * bool(layer_id)))


def _total_key() -> str:
    return str(add_queue_name_prefix("hdxjobs:tiles:total"))


def _slow_key(day: date, layer_id: str) -> str:
    return _key(day, layer_id) + ":slow"


def _large_key(day: date, layer_id: str) -> str:
    return _key(day, layer_id) + ":large"
