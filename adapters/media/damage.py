"""Where a medium could not be decoded, and how to say so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Damage:
    """Counts the parts of one stream that were left out because they could not be decoded."""

    what: str
    """``picture`` or ``sound``."""
    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    is_cut_off: bool = False

    def note(self, time_s: float) -> None:
        """One more part, near that time."""
        near_s = max(0.0, time_s)
        self.first_s = min(self.first_s, near_s) if self.count else near_s
        self.last_s = max(self.last_s, near_s)
        self.count += 1

    def cut_off(self, time_s: float) -> None:
        """Nothing can be read from there on."""
        self.is_cut_off = True
        self.last_s = max(self.last_s, time_s)

    def warnings(self) -> list[str]:
        found = []
        if self.count:
            where = f"near {self.first_s:.1f} s"
            if self.last_s - self.first_s >= 0.1:  # noqa: PLR2004  the precision that is printed
                where = f"between {self.first_s:.1f} s and {self.last_s:.1f} s"
            left_out = "a part was" if self.count == 1 else f"{self.count} parts were"
            found.append(f"the {self.what} is damaged {where}: {left_out} left out")
        if self.is_cut_off:
            found.append(f"the {self.what} cannot be read beyond {self.last_s:.1f} s")
        return found
