"""Whom the service may talk to: what its settings name, and what that brings with it."""

from __future__ import annotations

from collections.abc import Iterator

from service import outbound


def guard_outbound() -> None:
    """Hold this process to the configured hosts, for good: for the command alone."""
    outbound.install(_list_hosts)


def _list_hosts() -> Iterator[str]:
    """Asked before the first connection: a command that opens none loads nothing for it."""
    from service.wiring.hosts import list_hosts  # noqa: PLC0415

    return list_hosts()
