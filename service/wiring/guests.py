"""Links on cards, and the page that they lead to."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain import Finding, Severity
from service.feedback import Feedback
from service.ports import Store
from service.settings import ServiceSettings
from service.web.guests import Guests, GuestSettings
from service.web.links import PATH, Links, reaches_people
from service.web.rates import Proxies
from service.web.session import ApiSettings, api_key


def open_links(settings: ServiceSettings) -> Links | None:
    """What makes links; None where people could not follow them, or none are wanted.

    They are signed by a key that is derived of the API's: where several machines share the work,
    give all of them the same ``MOODREEL_API_KEY``.

    Raises:
        ConfigurationError: The key cannot be kept, or a setting is wrong.
    """
    if not GuestSettings.read().feedback_links or not reaches_people(settings.public_url):
        return None
    return Links(api_key(settings, ApiSettings.read()), settings.public_url)


def open_guests(links: Links | None, feedback: Feedback, store: Store) -> Guests | None:
    """The page, where there are links to it."""
    if links is None:
        return None
    proxies = Proxies(ApiSettings.read().trusted_proxies)
    return Guests(links=links, feedback=feedback, store=store, proxies=proxies)


def check_links(settings: ServiceSettings) -> Sequence[Finding]:
    """Whether cards carry links, where a public address is set at all."""
    base = settings.public_url.rstrip("/")
    if not base:
        return []
    if not GuestSettings.read().feedback_links:
        message = "cards carry no links: MOODREEL_FEEDBACK_LINKS is off"
    elif not reaches_people(base):
        message = f"cards carry no links: nobody outside of this network knows the name in {base}"
    else:
        message = f"cards ask whether they are right, and lead to {base}{PATH}"
    return [Finding(subject="feedback", severity=Severity.OK, message=message)]
