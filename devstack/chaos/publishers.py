"""What people do to the site: each works on datasets of their own, in an order that the seed decides."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from devstack.chaos import files
from devstack.chaos.grounds import ORGANIZATION, Grounds

#: The longest pause between two actions.
PAUSE_S = 1.0
DATASETS, RESOURCES = 3, 4
#: Answers that say that what is asked for once more had been done: it is not there, or is there already.
DONE = (requests.codes.not_found, requests.codes.conflict)
#: And from here on that something is broken.
BROKEN = requests.codes.internal_server_error


@dataclass
class Dataset:
    """:ivar resources: ids."""

    name: str
    resources: list[str] = field(default_factory=list)


@dataclass
class Notes:
    """What all publishers wrote down.

    :ivar unwanted: resources whose previews were removed on purpose
    :ivar saved: resource -> the name of the file that it was given last, by a save that succeeded
    :ivar deleted: resources that were deleted, or their datasets
    :ivar refused: requests that were answered by an error or not at all
    :ivar put_off: how many were refused while CKAN's own database was away; they were made again
    :ivar moments: which were to come, and why one did not
    """

    did: Counter[str] = field(default_factory=Counter)
    unwanted: set[str] = field(default_factory=set)
    saved: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    put_off: int = 0
    moments: dict[str, str | None] = field(default_factory=dict)


class Publisher(threading.Thread):
    """Does one thing after the other until it is told to stop."""

    def __init__(self, number: int, seed: int, grounds: Grounds, notes: Notes, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._chance = random.Random(f"{seed} publisher {number}")
        self._number, self._grounds, self._notes, self._over = number, grounds, notes, over
        self._datasets: list[Dataset] = []
        # No sysadmin's: CKAN indexes a save before it commits it, and believes what is indexed if the date is the
        # same, as it is after a save by a sysadmin.  So what was refused to one and is asked again is not done.
        self._token = grounds.editor_token
        self._made = 0

    def run(self) -> None:
        while not self._over.is_set():
            action = self._chance.choices(list(ACTIONS), list(ACTIONS.values()))[0]
            self._do(action)
            self._over.wait(self._chance.uniform(0, PAUSE_S))

    def _do(self, action: str) -> None:
        if len(self._datasets) < DATASETS:
            action = "create a dataset"
        dataset = self._chance.choice(self._datasets) if self._datasets else Dataset("")
        if action in OF_A_RESOURCE and not dataset.resources:
            action = "upload"
        method: Callable[[Dataset], None] = getattr(self, f"_{action.replace(' ', '_')}")
        try:
            method(dataset)
        except (requests.RequestException, ValueError) as error:
            body = getattr(getattr(error, "response", None), "text", "")[:200]
            self._notes.refused.append(f"{action}: {error} {body}".strip())
        self._notes.did[action] += 1

    def _mark(self) -> int:
        """A number for a file that no other file has."""
        self._made += 1
        return self._number * 100_000 + self._made

    def _call(self, action: str, **data: Any) -> Any:
        return self._insist(lambda: self._grounds.call(action, token=self._token, **data))

    def _send(self, action: str, **data: str) -> dict[str, Any]:
        file = files.make(self._mark(), self._chance)
        made: dict[str, Any] = self._insist(
            lambda: self._grounds.send(action, file, token=self._token, **data)
        )
        self._notes.saved[made["id"]] = file.name
        return made

    def _insist(self, ask: Callable[[], Any]) -> Any:
        """Ask again what was refused for want of CKAN's database; nothing else may be refused.

        :returns: None: it had been done, and only the answer was lost
        """
        again = False
        while True:
            began = time.monotonic()
            try:
                return ask()
            except requests.RequestException as error:
                status = error.response.status_code if error.response is not None else None
                if again and status in DONE:
                    return None
                if not self._grounds.was_away(since=began) or (status or BROKEN) < BROKEN:
                    raise
            again = True
            self._notes.put_off += 1
            self._grounds.await_postgres()

    def _create_a_dataset(self, _: Dataset) -> None:
        dataset = Dataset(f"chaos-{self._number}-{self._mark()}")
        private = self._chance.random() < 1 / 4
        self._datasets.append(dataset)
        self._call("package_create", name=dataset.name, owner_org=ORGANIZATION, private=private)

    def _upload(self, dataset: Dataset) -> None:
        if len(dataset.resources) >= RESOURCES:
            self._replace(dataset)
            return
        made = self._send("resource_create", package_id=dataset.name, name="places")
        dataset.resources.append(made["id"])

    def _replace(self, dataset: Dataset) -> None:
        resource_id = self._chance.choice(dataset.resources)
        self._send("resource_patch", id=resource_id)
        self._notes.unwanted.discard(resource_id)

    def _replace_three_times(self, dataset: Dataset) -> None:
        resource_id = self._chance.choice(dataset.resources)
        for _ in range(3):
            self._send("resource_patch", id=resource_id)
        self._notes.unwanted.discard(resource_id)

    def _delete_a_resource(self, dataset: Dataset) -> None:
        resource_id = dataset.resources.pop(self._chance.randrange(len(dataset.resources)))
        self._call("resource_delete", id=resource_id)
        self._notes.deleted.add(resource_id)

    def _delete_a_dataset(self, dataset: Dataset) -> None:
        self._datasets.remove(dataset)
        self._call("package_delete", id=dataset.name)
        self._notes.deleted.update(dataset.resources)

    def _purge_a_dataset(self, dataset: Dataset) -> None:
        self._datasets.remove(dataset)
        self._insist(lambda: self._grounds.call("dataset_purge", id=dataset.name))
        self._notes.deleted.update(dataset.resources)

    def _make_private(self, dataset: Dataset) -> None:
        self._call("package_patch", id=dataset.name, private=True)

    def _make_public(self, dataset: Dataset) -> None:
        self._call("package_patch", id=dataset.name, private=False)

    def _ask_again(self, dataset: Dataset) -> None:
        resource_id = self._chance.choice(dataset.resources)
        self._call("hdx_geopreview_submit", id=resource_id, force=True)
        self._notes.unwanted.discard(resource_id)

    def _remove_a_preview(self, dataset: Dataset) -> None:
        resource_id = self._chance.choice(dataset.resources)
        if resource_id in self._notes.unwanted:
            return
        self._notes.unwanted.add(resource_id)
        self._call("hdx_geopreview_delete", id=resource_id)


#: Action -> how often, compared to the others.
ACTIONS = {
    "upload": 8,
    "replace": 7,
    "replace three times": 3,
    "ask again": 2,
    "remove a preview": 1,
    "make private": 1,
    "make public": 1,
    "delete a resource": 2,
    "delete a dataset": 1,
    "purge a dataset": 1,
}
OF_A_RESOURCE = frozenset(
    {"replace", "replace three times", "ask again", "remove a preview", "delete a resource"}
)
