"""A new vocabulary over what is stored, without reading media again."""

from service.retag.amending import Change, Difference, amend, compare
from service.retag.telling import Terms, Told, tell

__all__ = ["Change", "Difference", "Terms", "Told", "amend", "compare", "tell"]
