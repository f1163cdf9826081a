"""Sample datasets, uploaded as a publisher would: through CKAN's API."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from devstack import ckan
from devstack.paths import HERE, LOGS
from devstack.steps import StepError, step

SAMPLES = HERE / "samples"
ORGANIZATION = "hdxjobs-samples"
PATIENCE_S = 120
WAITING = {"queued", "running", "retrying"}


@dataclass(frozen=True)
class Sample:
    """A dataset with one file."""

    name: str
    title: str
    notes: str
    file: str
    format: str


FILES = (
    Sample(
        "sample-cities",
        "Cities of the world",
        "Points: 243 cities, from Natural Earth (public domain).",
        "cities.geojson",
        "GeoJSON",
    ),
    Sample(
        "sample-rivers",
        "Great rivers of Africa",
        "Lines: eight rivers, drawn by hand.",
        "rivers.kml",
        "KML",
    ),
    Sample(
        "sample-lake-chad",
        "Lake Chad basin",
        "Two layers in one file: countries and towns.",
        "lake-chad-basin.kmz",
        "KMZ",
    ),
    Sample(
        "sample-africa",
        "Countries of Africa",
        "Polygons in an equal-area projection, from Natural Earth (public domain).",
        "africa-countries.shp.zip",
        "SHP",
    ),
)


def upload() -> list[str]:
    """Upload the samples that are not there yet and wait for their maps; returns the pages."""
    token = ckan.administrator_token()
    with step("Sample datasets") as it:
        resources = [_ensure(sample, token) for sample in FILES]
        it.note(f"{sum(fresh for _, fresh in resources)} uploaded, {len(resources)} in all")
    with step("Their maps") as it:
        layers = sum(_wait(resource, token) for resource, _ in resources)
        it.note(f"{layers} layers ready")
    return [
        f"{ckan.SITE_URL}/dataset/{sample.name}/resource/{resource['id']}"
        for sample, (resource, _) in zip(FILES, resources, strict=True)
    ]


def _ensure(sample: Sample, token: str) -> tuple[dict[str, Any], bool]:
    """The sample's resource, and whether it had to be uploaded."""
    file = SAMPLES / sample.file
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    dataset = _dataset(sample, token)
    for resource in dataset["resources"]:
        if resource.get("hash") == digest:
            return resource, False
    fields = {
        "package_id": dataset["id"],
        "name": sample.title,
        "description": sample.notes,
        "format": sample.format,
        "hash": digest,
    }
    return _send("resource_create", fields, file, token), True


def _dataset(sample: Sample, token: str) -> dict[str, Any]:
    found: dict[str, Any]
    try:
        found = ckan.call("package_show", token=token, id=sample.name)
    except StepError:
        found = ckan.call(
            "package_create",
            token=token,
            name=sample.name,
            title=sample.title,
            notes=sample.notes,
            owner_org=_organization(token),
        )
    return found


def _organization(token: str) -> str:
    try:
        return str(ckan.call("organization_show", token=token, id=ORGANIZATION)["id"])
    except StepError:
        made = ckan.call("organization_create", token=token, name=ORGANIZATION, title="Samples")
        return str(made["id"])


def _send(action: str, fields: dict[str, str], file: Path, token: str) -> dict[str, Any]:
    """Call an action with a file, as a form with parts."""
    try:
        with file.open("rb") as content:
            reply = requests.post(
                f"{ckan.SITE_URL}/api/3/action/{action}",
                data=fields,
                files={"upload": (file.name, content)},
                headers={"Authorization": token},
                timeout=120,
            )
        result: dict[str, Any] = reply.json()["result"]
    except (requests.RequestException, ValueError, KeyError) as exc:
        raise StepError(f"{file.name} could not be uploaded: {exc}", log=LOGS / "ckan.log") from exc
    return result


def _wait(resource: dict[str, Any], token: str) -> int:
    """Wait until the resource's map is ready; returns how many layers it has.

    A preview that an earlier run left failed is asked for once more.
    """
    deadline = time.monotonic() + PATIENCE_S
    asked_again = False
    while time.monotonic() < deadline:
        preview = ckan.call("hdx_geopreview_status", token=token, id=resource["id"])
        if preview["state"] == "ready":
            return len(preview["layers"])
        if preview["state"] not in WAITING and asked_again:
            break
        if preview["state"] not in WAITING:
            ckan.call("hdx_geopreview_submit", token=token, id=resource["id"], force=True)
            asked_again = True
        time.sleep(0.3)
    raise StepError(
        f"{resource['name']} has no map: state {preview['state']}, {preview.get('message') or 'no message'}\n"
        f"{json.dumps(preview.get('error'))}",
        log=LOGS / "worker-geo.log",
        advice="./dev status tells whether the worker runs, ./dev logs worker-geo what it says",
    )
