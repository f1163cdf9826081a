"""A local server in place of Mixpanel, GA4 and a webhook: python -m devstack.fake_sinks --port N

    GET  /                    what arrived, for people
    GET  /stats               counts by service, JSON
    GET  /received/SERVICE    the latest events as they were sent
    GET  /ids/SERVICE         event id -> how often it came
    GET  /dropped/SERVICE     why events were not taken -> how many
    POST /fault/SERVICE       make it fail: {"mode": MODE, ...}, see Fault; {"mode": "ok"} heals it
    POST /reset               forget everything, faults too

The services themselves are at their documented paths: /import and /track
(Mixpanel), /mp/collect and /debug/mp/collect (GA4), /webhook.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from devstack.fakes.faults import Fault, fail, wire
from devstack.fakes.ga4 import Ga4
from devstack.fakes.mixpanel import Mixpanel
from devstack.fakes.service import Request, Response, Service, answer
from devstack.fakes.webhook import Webhook

MAX_BODY_BYTES = 64_000_000
MAX_HEAD_BYTES = 65_536


class FakeSinks:
    """The services, their faults and the connections."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.services: dict[str, Service] = {"mixpanel": Mixpanel(), "ga4": Ga4(), "webhook": Webhook()}
        self.faults = dict.fromkeys(self.services, Fault())
        self.left = dict.fromkeys(self.services, -1)
        self.paths = {path: name for name, each in self.services.items() for path in each.paths}

    # -- connections --------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        try:
            while (request := await read_request(reader, writer)) is not None:
                if not await self._respond(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _respond(self, request: tuple[str, Request], writer: asyncio.StreamWriter) -> bool:
        """Answer; False when the connection is to be closed."""
        method, content = request
        name = self.paths.get(content.path)
        if name is None or method != "POST":
            writer.write(wire(self._control(method, content)))
            await writer.drain()
            return True
        service = self.services[name]
        service.requests += 1
        fault = self._fault_of(name)
        if fault.mode == "ok":
            writer.write(wire(service.respond(content)))
            await writer.drain()
            return True
        return await fail(fault, service, content, writer)

    def _fault_of(self, name: str) -> Fault:
        """The fault for this request, which uses it up."""
        fault = self.faults[name]
        if self.left[name] == 0:
            return Fault()
        if self.left[name] > 0:
            self.left[name] -= 1
        return fault

    # -- what people and tests ask ------------------------------------------

    def _control(self, method: str, request: Request) -> Response:
        what, _, name = request.path.strip("/").partition("/")
        if name and name not in self.services:
            return answer(404, {"error": f"there are: {', '.join(self.services)}"})
        if method == "POST":
            return self._change(what, name, request)
        service = self.services.get(name)
        if what == "stats":
            return answer(200, {each: known.stats() for each, known in self.services.items()})
        if what == "" or service is None:
            return self._page() if what == "" else answer(404, {"error": "GET / says what there is"})
        asked = {"received": list(service.last), "ids": service.ids(), "dropped": dict(service.dropped)}
        asked["fault"] = asdict(self.faults[name])
        return (
            answer(200, asked[what]) if what in asked else answer(404, {"error": "GET / says what there is"})
        )

    def _change(self, what: str, name: str, request: Request) -> Response:
        if what == "reset":
            self.reset()
            return answer(200, {})
        if what != "fault" or not name:
            return answer(404, {"error": "GET / says what there is"})
        try:
            fault = Fault(**json.loads(request.body))
        except (ValueError, TypeError) as exc:
            return answer(400, {"error": str(exc)})
        if fault.mode == "partial" and name != "mixpanel":
            return answer(400, {"error": "only Mixpanel takes a part of a request"})
        self.faults[name], self.left[name] = fault, fault.times
        return answer(200, asdict(fault))

    def _page(self) -> Response:
        lines = ["Fake sinks: what arrived since the start or the last POST /reset", ""]
        for name, service in self.services.items():
            known = service.stats()
            lines.append(
                f"{name}: {known['unique']} events, {known['duplicates']} duplicates, "
                f"{known['requests']} requests, mode {self.faults[name].mode}"
            )
            lines.extend(f"  {count:>8}  {event}" for event, count in known["events"].items())
            lines.extend(f"  {count:>8}  not taken: {why}" for why, count in service.dropped.items())
        lines += ["", *str(__doc__).splitlines()[2:]]
        return Response(200, "\n".join(lines).encode(), {"Content-Type": "text/plain; charset=utf-8"})


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[str, Request] | None:
    """The next request of a connection: its method and what it holds; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in rest if line)
    }
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = int(headers.get("content-length", "0"))
    if length > MAX_BODY_BYTES:
        return None
    body = await reader.readexactly(length) if length else b""
    parts = urlsplit(target)
    return method, Request(parts.path, dict(parse_qsl(parts.query)), headers, body)


async def run(host: str, port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(FakeSinks().serve, host, port, limit=MAX_HEAD_BYTES, backlog=512)
    address: Any = server.sockets[0].getsockname()
    print(f"fake sinks on http://{address[0]}:{address[1]}", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A local server in place of Mixpanel, GA4 and a webhook.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 = a free one, printed on the first line")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
