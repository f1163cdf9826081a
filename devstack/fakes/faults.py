"""How the fake services fail when they are told to."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from devstack.fakes.mixpanel import Mixpanel
from devstack.fakes.service import Request, Response, Service

MODES = ("ok", "429", "503", "hang", "reset", "slow", "partial", "413", "401", "garbage")
GARBAGE = b"<!doctype html><title>Welcome to the guest network</title>\xff\xfe<p>Please log in."


@dataclass(frozen=True)
class Fault:
    """How a service fails.

    :ivar mode: one of ``MODES``
    :ivar times: how many requests fail before it heals; -1 = until told otherwise
    :ivar taken: the events of a failing request are stored all the same
    :ivar retry_after_s: for 429 and 503; below 0 = no such header
    :ivar as_date: the header holds a date instead of seconds
    :ivar seconds: how long "hang" holds the connection, and "slow" takes to answer
    :ivar every: "partial" refuses each event whose number is a multiple of this
    :ivar max_bytes: what "413" still takes, uncompressed
    """

    mode: str = "ok"
    times: int = -1
    taken: bool = False
    retry_after_s: float = 1.0
    as_date: bool = False
    seconds: float = 3600.0
    every: int = 3
    max_bytes: int = 20_000

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of: {', '.join(MODES)}")


def wire(response: Response) -> bytes:
    """The answer's bytes."""
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    headers: Mapping[str, str] = {"Date": formatdate(usegmt=True), **response.headers}
    lines += [f"{key}: {value}" for key, value in headers.items()]
    if response.status != 204:
        lines.append(f"Content-Length: {len(response.body)}")
        if "Content-Type" not in headers:
            lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + response.body


async def fail(fault: Fault, service: Service, request: Request, writer: asyncio.StreamWriter) -> bool:
    """Answer as the fault says; False when the connection is to be closed."""
    if fault.mode == "slow":
        await drip(wire(service.respond(request)), fault.seconds, writer)
        return True
    if fault.mode == "413" and len(request.plain_body()) <= fault.max_bytes:
        writer.write(wire(service.respond(request)))
        await writer.drain()
        return True
    if fault.mode == "partial" and isinstance(service, Mixpanel):
        writer.write(wire(refuse_some(fault, service, request)))
        await writer.drain()
        return True
    if fault.taken:
        service.respond(request)
    if fault.mode == "hang":
        await asyncio.sleep(fault.seconds)
        return False
    if fault.mode == "reset":
        reset(writer)
        return False
    writer.write(wire(broken(fault)))
    await writer.drain()
    return True


def broken(fault: Fault) -> Response:
    """The answer of a service that did not take the request."""
    if fault.mode == "garbage":
        return Response(200, GARBAGE, {"Content-Type": "text/html"})
    headers = {}
    if fault.mode in {"429", "503"} and fault.retry_after_s >= 0:
        headers["Retry-After"] = f"{fault.retry_after_s:g}"
        if fault.as_date:
            # Both dates of one moment, or whoever compares them finds what passed between them.
            now = int(time.time())
            headers["Date"] = formatdate(now, usegmt=True)
            headers["Retry-After"] = formatdate(now + fault.retry_after_s, usegmt=True)
    said = {"code": int(fault.mode), "error": HTTPStatus(int(fault.mode)).phrase}
    return Response(int(fault.mode), json.dumps(said).encode(), headers)


def refuse_some(fault: Fault, service: Mixpanel, request: Request) -> Response:
    """Mixpanel's partial success: some events are named as wrong, all others are stored."""
    events = json.loads(request.plain_body())
    failed = [
        {
            "index": index,
            "insert_id": event["properties"]["$insert_id"],
            "field": "properties.fake",
            "message": "refused because the fake was told to",
        }
        for index, event in enumerate(events)
        if index % fault.every == 0
    ]
    good = [event for index, event in enumerate(events) if index % fault.every]
    if good:
        rest = Request(
            request.path,
            request.query,
            {**request.headers, "content-encoding": ""},
            json.dumps(good).encode(),
        )
        service.respond(rest)
    return service.partial(len(good), failed)


async def drip(content: bytes, seconds: float, writer: asyncio.StreamWriter) -> None:
    """Send the bytes in ten pieces over some seconds."""
    step = max(1, len(content) // 10)
    for start in range(0, len(content), step):
        await asyncio.sleep(seconds / 10)
        writer.write(content[start : start + step])
        await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST: closing without lingering."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
