"""Makes docs/reference/tables.md from a migrated database.

Run ``python -m tests.support.tables_reference`` when a migration has changed what it says.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from tests.support.postgres import FAST, fresh_database, reachable_directory

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "tables.md"

HEAD = """# Tables

What Moodreel keeps, in the schema `public` of its database: for reports, for Supabase Studio, and
for programs of your own. They may be read with the role `service_role`; what writes are Moodreel's
functions. Times are seconds from the start of the medium, scores are 0 to 1, and rows of an item
are in the order of `position`. Captions, summaries and errors are text from models and files: show
them, trust nothing in them.

Vectors of one `model` and one `kind` compare with each other. The scenes that are most like one:

```sql
set search_path = public, extensions;
select i.title, s.start_s, 1 - (e.embedding <=> one.embedding) as cosine
from scene_embeddings one
join scene_embeddings e on e.model = one.model and e.kind = one.kind
join media_scenes s on s.media_item_id = e.media_item_id and s.position = e.position
join media_items i on i.id = e.media_item_id
where one.media_item_id = 1 and one.position = 0 and one.kind = 'scene'
order by e.embedding <=> one.embedding
limit 10;
```

Made from the database by `python -m tests.support.tables_reference`.
"""

QUERY = """
select c.relname, coalesce(obj_description(c.oid), ''), a.attname,
  format_type(a.atttypid, a.atttypmod), coalesce(col_description(c.oid, a.attnum), '')
from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
  and a.attnum > 0 and not a.attisdropped
order by c.relkind, c.relname, a.attnum
"""


def render(dsn: str) -> str:
    """The page, from a migrated database."""
    with psycopg.connect(dsn) as connection:
        connection.execute("set search_path = public, extensions")
        rows = connection.execute(QUERY).fetchall()
    lines = [HEAD]
    table = ""
    for name, about, column, kind, comment in rows:
        if name != table:
            lines += [f"\n## {name}\n", *([f"{about}\n"] if about else [])]
            lines += ["| column | type | |", "|---|---|---|"]
            table = name
        lines.append(f"| `{column}` | {kind} | {comment} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    with reachable_directory() as directory:
        server = EmbeddedPostgres(directory, parameters=FAST)
        with fresh_database(server.start()) as dsn:
            asyncio.run(migrate.apply(dsn))
            PAGE.write_text(render(dsn))
        server.stop()


if __name__ == "__main__":
    main()
