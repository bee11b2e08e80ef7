"""What becomes of 50,000 bodies that no sender meant: read by every parser."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from service.errors import BadPayloadError
from service.ports import WebhookSender
from tests.support.webhooks import SENDERS, Sent, read_bodies, spoil

COUNT = 50_000
SEED = 4
"""Any will do: it makes a run repeatable."""

Row = dict[str, Any]


def make_bodies() -> list[tuple[bytes, str]]:
    """Spoiled once or twice, and every eighth of bytes by chance alone."""
    chance = random.Random(SEED)
    sent = read_bodies()
    return [_make_body(chance.choice(sent), chance) for _ in range(COUNT)]


def _make_body(sent: Sent, chance: random.Random) -> tuple[bytes, str]:
    if chance.random() < 1 / 8:
        return chance.randbytes(chance.randrange(4096)), sent.content_type
    body = spoil(sent.body, chance)
    return spoil(body, chance) if body and chance.random() < 1 / 2 else body, sent.content_type


def read(sender: WebhookSender, body: bytes, content_type: str) -> str:
    """What a parser makes of a body, in a word."""
    try:
        sender.recognises(body, content_type)
        return "events" if sender.parse_webhook(body, content_type) else "nothing"
    except BadPayloadError:
        return "refused"
    except Exception:  # noqa: BLE001  they are what this looks for
        return "exceptions"


def run() -> list[Row]:
    """Every body to every parser; the baseline is how many readings there were."""
    bodies = make_bodies()
    began_at = time.perf_counter()
    outcomes = Counter(
        read(sender, body, content_type)
        for body, content_type in bodies
        for sender in SENDERS.values()
    )
    seconds = time.perf_counter() - began_at
    readings = outcomes.total()
    return [
        {"name": "webhook bodies, spoiled or by chance", "value": len(bodies), "unit": "bodies"},
        *(
            {
                "name": f"readings that ended in: {outcome}",
                "value": outcomes[outcome],
                "unit": "readings",
                "baseline": f"{readings} readings",
                "ratio": outcomes[outcome] / readings,
            }
            for outcome in ("events", "nothing", "refused", "exceptions")
        ),
        {"name": "reading them with all parsers", "value": seconds, "unit": "s"},
        {"name": "one reading", "value": seconds / readings * 1e6, "unit": "us"},
    ]
