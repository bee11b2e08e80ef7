# ruff: noqa: INP001  a script on its own
"""Makes the passwords and keys of the compose file's databases: ``make_keys.py DIRECTORY GATE``.

In GATE are those that PostgREST needs, which sees no others. What is there stays as it is, so that
it may run at each start. Needs Python and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import sys
from pathlib import Path

HOST = "database:5432/moodreel"
"""The service and the database of docker-compose.jellyfin-ai.yml."""
FOR_ALL_WITH_THE_VOLUME = 0o444
"""Each container that mounts them reads as a user of its own; on the host the engine keeps its
volumes where only root comes."""


def main(directory: Path, gate: Path) -> None:
    """Make what is missing."""
    owner = _keep(directory / "database_password", secrets.token_hex(24))
    authenticator = _keep(directory / "authenticator_password", secrets.token_hex(24))
    jwt_secret = _keep(gate / "jwt_secret", secrets.token_hex(32))
    _keep(directory / "database_url", f"postgresql://moodreel:{owner}@{HOST}")
    _keep(gate / "authenticator_url", f"postgresql://authenticator:{authenticator}@{HOST}")
    _keep(directory / "service_role_key", sign({"role": "service_role"}, jwt_secret))


def sign(claims: dict[str, str], secret: str) -> str:
    """A JSON Web Token by HMAC-SHA256 (RFC 7519), such as Supabase's keys are."""
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    content = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    signature = hmac.new(secret.encode(), content.encode(), hashlib.sha256).digest()
    return f"{content}.{_encode(signature)}"


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _keep(path: Path, value: str) -> str:
    """Write a value unless there is one; a crash leaves all of it or nothing."""
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.write_text(value)
        draft.chmod(FOR_ALL_WITH_THE_VOLUME)
        draft.replace(path)
    return path.read_text()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
