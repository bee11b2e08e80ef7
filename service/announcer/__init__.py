"""Who is told of what, when, and once: between a saved analysis and the channels."""

from service.announcer.announcing import Announcer
from service.announcer.collections import Collector
from service.announcer.ledger import event_id

__all__ = ["Announcer", "Collector", "event_id"]
