"""Every event this extension tracks: one class each.  ``docs/events.rst`` is made from this module.

A class's docstring says when it fires; what a property means stands once, in
``glossary.py``.
Flags that only some portals have are not here: an extension adds them (``IHdxJobsAnalytics``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ckanext.hdxjobs.analytics.events import Event, prop


@dataclass(frozen=True, kw_only=True)
class AboutDataset(Event):
    """Events about a dataset; looked up by its id when the event is stored."""

    dataset_name: str | None = None
    dataset_id: str | None = None
    dataset_availability: str | None = None
    org_name: str | None = None
    org_id: str | None = None
    group_names: tuple[str, ...] | None = None
    group_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class AboutResource(AboutDataset):
    """Events about a resource; looked up by its id when the event is stored."""

    resource_name: str | None = None
    resource_id: str | None = None
    file_format: str | None = None


@dataclass(frozen=True, kw_only=True)
class AboutMember(Event):
    """Events about who belongs to an organization; they never say who it is."""

    org_name: str | None = None
    org_id: str | None = None
    add_method: str | None = None
    capacity: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResourceDownload(AboutResource):
    """A file was fetched: an uploaded one by its download address (once, whatever ranges or checks
    follow), a linked one by a click on the link.  Crawlers and prefetching do not count.
    """

    name: ClassVar[str] = "resource download"
    from_browser: ClassVar[bool] = True

    page_title: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetCreate(AboutDataset):
    """A dataset was saved for the first time, in whichever way; a draft counts when it is finished."""

    name: ClassVar[str] = "dataset create"

    org_name: str | None = prop("org_name")
    org_id: str | None = prop("org_id")
    is_private: bool | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetUpdate(AboutDataset):
    """A dataset's own fields, tags or groups changed; resources have events of their own."""

    name: ClassVar[str] = "dataset update"

    is_private: bool | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetDelete(AboutDataset):
    """A dataset was deleted, or purged without having been deleted before."""

    name: ClassVar[str] = "dataset delete"


@dataclass(frozen=True, kw_only=True)
class ResourceCreate(AboutResource):
    """A resource was added to a dataset."""

    name: ClassVar[str] = "resource create"


@dataclass(frozen=True, kw_only=True)
class ResourceUpdate(AboutResource):
    """A resource was changed; moving it to another place of its dataset does not count."""

    name: ClassVar[str] = "resource update"


@dataclass(frozen=True, kw_only=True)
class ResourceDelete(AboutResource):
    """A resource was taken out of its dataset."""

    name: ClassVar[str] = "resource delete"


@dataclass(frozen=True, kw_only=True)
class OrganizationCreate(Event):
    """An organization was created."""

    name: ClassVar[str] = "org create"

    org_name: str | None = None
    org_id: str | None = None
    org_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class MemberAdd(AboutMember):
    """Somebody became a member of an organization."""

    name: ClassVar[str] = "member add"


@dataclass(frozen=True, kw_only=True)
class MemberChange(AboutMember):
    """A member got another role."""

    name: ClassVar[str] = "member change"


@dataclass(frozen=True, kw_only=True)
class MemberRemove(AboutMember):
    """Somebody is no longer a member of an organization."""

    name: ClassVar[str] = "member remove"


@dataclass(frozen=True, kw_only=True)
class FirstLogin(Event):
    """A user logged in who never had before."""

    name: ClassVar[str] = "first login"


@dataclass(frozen=True, kw_only=True)
class ApiCall(Event):
    """A program called an action over HTTP: no crawler, and not this site's own pages."""

    name: ClassVar[str] = "robot api call"

    action_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Action(Event):
    """An action named in the setting ``analytics.actions`` succeeded that has no event of its own."""

    name: ClassVar[str] = "action"

    action_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class PreviewReady(AboutResource):
    """A file became a map."""

    name: ClassVar[str] = "preview ready"

    layers: int | None = None
    features: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class PreviewFailed(AboutResource):
    """A file could not become a map, and will not be tried again by itself."""

    name: ClassVar[str] = "preview failed"

    error_code: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class SiteStatistics(Event):
    """The site counted itself: ``ckan hdxjobs events stats``, for cron."""

    name: ClassVar[str] = "hdx stats"

    datasets_total: int | None = None
    datasets_private: int | None = None
    resources_total: int | None = None
    orgs_total: int | None = None
    orgs_with_datasets: int | None = None
    orgs_updating_data_in_past_year: int | None = None
    users_total: int | None = None
    previews_ready: int | None = None
    previews_failed: int | None = None


@dataclass(frozen=True, kw_only=True)
class PageView(AboutResource):
    """A page was shown that is no error page."""

    name: ClassVar[str] = "page view"
    from_browser: ClassVar[bool] = True

    page_title: str | None = None


@dataclass(frozen=True, kw_only=True)
class Search(Event):
    """A list of datasets was shown for a search term or a filter."""

    name: ClassVar[str] = "search"
    from_browser: ClassVar[bool] = True

    page_title: str | None = None
    number_of_results: int | None = None
    result_type: str | None = None
    search_box_location: str | None = None
    search_term: str | None = None
    tag_filters: tuple[str, ...] | None = None
    format_filters: tuple[str, ...] | None = None
    org_filters: tuple[str, ...] | None = None
    group_filters: tuple[str, ...] | None = None
    license_filters: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LinkClick(AboutResource):
    """A link to another site was clicked that is not a resource's file."""

    name: ClassVar[str] = "link click"
    from_browser: ClassVar[bool] = True

    page_title: str | None = None
    link_type: str | None = None
    link_label: str | None = None
    destination_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Share(AboutDataset):
    """A page was shared by one of its share links."""

    name: ClassVar[str] = "share"
    from_browser: ClassVar[bool] = True

    page_title: str | None = None
    shared_item: str | None = None
    share_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class PreviewViewed(AboutResource):
    """A map came into view in the visitor's window."""

    name: ClassVar[str] = "preview viewed"
    from_browser: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class MapInteraction(AboutResource):
    """A visitor used a map: once for each kind of use on a page."""

    name: ClassVar[str] = "map interaction"
    from_browser: ClassVar[bool] = True

    interaction_type: str | None = None


#: The events by name, in the order in which this module tells them.
EVENTS: dict[str, type[Event]] = {
    kind.name: kind
    for kind in globals().values()
    if isinstance(kind, type) and issubclass(kind, Event) and "name" in vars(kind)
}
