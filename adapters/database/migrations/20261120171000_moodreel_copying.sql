-- What was found can be copied to another database, and what nobody needs any more can be deleted.
--
-- Copying knows five kinds of things: items (with all that hangs on them), groups of publications,
-- events, reconciliations, and the time of the installation. A thing has a key that is the same in
-- every database, and parts; each part has an age and a digest of its rows. What the other side has
-- in the same or a later state is left alone, part by part.

set search_path = public, extensions;

alter table moodreel.uploads add column created_at timestamptz not null default now();

-- Care that is taken now and then, by whoever comes first.
create table moodreel.upkeep (
  name text primary key,
  claimed_at timestamptz not null
);
alter table moodreel.upkeep enable row level security;

create index media_items_deleted on media_items (updated_at) where state = 'deleted';

-- Inner parts: what is copied ----------------------------------------------------------------------

-- Numbers that a database gives by itself stay behind: rows are known by their keys.
create function moodreel.copied_item(item media_items) returns jsonb
language sql stable as $$
  select to_jsonb(item) - 'id'
$$;

-- Everything that comes and goes with an analysis, but its vectors; null where there is nothing.
create function moodreel.copied_findings(item bigint) returns jsonb
language sql stable as $$
  select jsonb_build_object(
    'media_analyses', coalesce((
      select jsonb_agg(to_jsonb(a) - 'media_item_id')
      from media_analyses a where a.media_item_id = item), '[]'),
    'media_scenes', coalesce((
      select jsonb_agg(to_jsonb(s) - 'media_item_id' order by s.position)
      from media_scenes s where s.media_item_id = item), '[]'),
    'media_tags', coalesce((
      select jsonb_agg(to_jsonb(t) - 'media_item_id' order by t.position)
      from media_tags t where t.media_item_id = item), '[]'),
    'media_moods', coalesce((
      select jsonb_agg(to_jsonb(m) - 'media_item_id' order by m.position)
      from media_moods m where m.media_item_id = item), '[]'),
    'media_highlights', coalesce((
      select jsonb_agg(to_jsonb(h) - 'media_item_id' order by h.position)
      from media_highlights h where h.media_item_id = item), '[]'),
    'media_audio_analysis', coalesce((
      select jsonb_agg(to_jsonb(s) - 'media_item_id')
      from media_audio_analysis s where s.media_item_id = item), '[]'),
    'media_transcripts', coalesce((
      select jsonb_agg(to_jsonb(t) - 'media_item_id' order by t.position)
      from media_transcripts t where t.media_item_id = item), '[]'))
  where exists (select from media_analyses where media_item_id = item)
    or exists (select from media_transcripts where media_item_id = item)
$$;

create function moodreel.copied_vectors(item bigint) returns jsonb
language sql stable as $$
  select coalesce(
    jsonb_agg(to_jsonb(e) - 'media_item_id' order by e.position, e.kind collate "C"), '[]')
  from scene_embeddings e where e.media_item_id = item
$$;

create function moodreel.copied_publications(item bigint)
returns table (channel text, at timestamptz, document jsonb)
language sql stable as $$
  select p.channel, greatest(p.claimed_at, p.settled_at), to_jsonb(p) - 'media_item_id'
  from publications p where p.media_item_id = item
$$;

-- Members in the order in which they came; their numbers stay behind.
create function moodreel.copied_group(entry publication_groups) returns jsonb
language sql stable as $$
  select to_jsonb(entry) - '{id,key}'::text[] || jsonb_build_object('members', coalesce((
    select jsonb_agg(
      to_jsonb(m) - '{group_id,media_item_id,position}'::text[]
        || jsonb_build_object('ref', moodreel.ref_json(i))
      order by m.position)
    from gathered_publications m join media_items i on i.id = m.media_item_id
    where m.group_id = entry.id), '[]'))
$$;

create function moodreel.copied_group_age(document jsonb) returns timestamptz
language sql immutable as $$
  select max(moment::timestamptz) from (
    select document->>name from unnest('{created_at,claimed_at,settled_at,told_at}'::text[]) name
    union all
    select greatest(member->>'joined_at', member->>'gathered_at')
    from jsonb_array_elements(document->'members') member
  ) moments (moment)
$$;

-- A part as a list says it: name, age, digest, and rows by table.
create function moodreel.part(name text, at timestamptz, document jsonb, counted jsonb)
returns jsonb language sql stable as $$
  select jsonb_build_array(name, at, md5(document::text), counted)
$$;

create function moodreel.item_parts(item media_items) returns jsonb
language sql stable as $$
  select jsonb_agg(part) from (
    -- Attempts are counted by each database for itself.
    select moodreel.part('item', item.updated_at, moodreel.copied_item(item) - 'token',
      '{"media_items": 1}')
    union all
    select moodreel.part(
      'findings', coalesce((select saved_at from media_analyses where media_item_id = item.id),
        'epoch'),
      jsonb_build_array(found.document, (
        select jsonb_agg(jsonb_build_array(model, kind, number) order by model, kind) from (
          select model collate "C" as model, kind collate "C" as kind, count(*) as number
          from scene_embeddings where media_item_id = item.id group by 1, 2) vectors)),
      (select jsonb_object_agg(key, jsonb_array_length(value)) from jsonb_each(found.document))
        || jsonb_build_object('scene_embeddings', (
          select count(*) from scene_embeddings where media_item_id = item.id)))
    from moodreel.copied_findings(item.id) as found (document)
    where found.document is not null
    union all
    select moodreel.part('publication ' || p.channel, p.at, p.document, '{"publications": 1}')
    from moodreel.copied_publications(item.id) p
    union all
    select moodreel.part('tags', t.noted_at, to_jsonb(t) - 'media_item_id', '{"tag_edits": 1}')
    from tag_edits t where t.media_item_id = item.id
  ) parts (part)
$$;

create function moodreel.group_parts(entry publication_groups) returns jsonb
language sql stable as $$
  select jsonb_build_array(moodreel.part('group', moodreel.copied_group_age(document), document,
    jsonb_build_object('publication_groups', 1,
      'gathered_publications', jsonb_array_length(document->'members'))))
  from moodreel.copied_group(entry) as copied (document)
$$;

-- Inner parts: what is put -------------------------------------------------------------------------

-- Rows of a table in place of those that an item has there. By the table's own row type, so that
-- columns of later migrations come along.
create function moodreel.put_rows(target regclass, item bigint, entries jsonb) returns void
language plpgsql as $$
begin
  execute format('delete from %s where media_item_id = $1', target) using item;
  execute format(
    'insert into %1$s select r.* from jsonb_array_elements($2) as entry, '
    'jsonb_populate_record(null::%1$s, entry || jsonb_build_object(''media_item_id'', $1)) r',
    target) using item, entries;
end $$;

-- What an item is called and how far it has come, unless the row here is newer.
create function moodreel.put_copied_item(item bigint, document jsonb) returns void
language plpgsql as $$
declare
  columns text := (
    select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
    where attrelid = 'media_items'::regclass and attnum > 0 and not attisdropped
      and attname not in ('id', 'server', 'item_id', 'token'));
begin
  execute format(
    'update media_items m set (%1$s) = '
    '(select %1$s from jsonb_populate_record(null::media_items, $2)) '
    'where m.id = $1 and m.updated_at <= ($2->>''updated_at'')::timestamptz', columns)
  using item, document;
  -- An attempt that was under way there must not be mistaken for one of here.
  update media_items set token = greatest(token, (document->>'token')::bigint) where id = item;
end $$;

create function moodreel.put_copied_findings(item bigint, document jsonb) returns void
language plpgsql as $$
declare
  analysis jsonb := document->'media_analyses'->0;
  saved timestamptz := coalesce((analysis->>'saved_at')::timestamptz, 'epoch');
  name text;
begin
  if exists (select from media_analyses where media_item_id = item and saved_at > saved) then
    return;
  end if;
  delete from media_analyses where media_item_id = item;
  -- In the order in which they refer to each other.
  foreach name in array '{media_analyses,media_scenes,scene_embeddings,media_tags,media_moods,
    media_highlights,media_audio_analysis,media_transcripts}'::text[]
  loop
    perform moodreel.put_rows(format('public.%I', name)::regclass, item, document->name);
  end loop;
end $$;

create function moodreel.put_copied_publication(item bigint, document jsonb) returns void
language plpgsql as $$
begin
  delete from publications p
  where p.media_item_id = item and p.channel = document->>'channel'
    and greatest(p.claimed_at, p.settled_at) <= greatest(
      (document->>'claimed_at')::timestamptz, (document->>'settled_at')::timestamptz);
  insert into publications
  select r.* from jsonb_populate_record(
    null::publications, document || jsonb_build_object('media_item_id', item)) r
  on conflict do nothing;
end $$;

create function moodreel.put_copied_tags(item bigint, document jsonb) returns void
language plpgsql as $$
begin
  delete from tag_edits
  where media_item_id = item and noted_at <= (document->>'noted_at')::timestamptz;
  insert into tag_edits
  select r.* from jsonb_populate_record(
    null::tag_edits, document || jsonb_build_object('media_item_id', item)) r
  on conflict do nothing;
end $$;

-- The row is there afterwards, locked. One that is made for it is older than any other, and what
-- hangs on it may be put in several steps.
create function moodreel.open_copied_item(ref jsonb) returns bigint
language sql as $$
  insert into media_items (server, item_id, updated_at)
  values (ref->>'server', ref->>'item_id', 'epoch')
  on conflict do nothing;
  select id from media_items
  where server = ref->>'server' and item_id = ref->>'item_id' for update
$$;

create function moodreel.put_item_parts(entry jsonb) returns void
language plpgsql as $$
declare
  item bigint := moodreel.open_copied_item(entry->'ref');
  name text;
  document jsonb;
begin
  for name, document in
    select key, value from jsonb_each(entry->'parts') order by key = 'item' desc
  loop
    case split_part(name, ' ', 1)
      when 'item' then perform moodreel.put_copied_item(item, document);
      when 'findings' then perform moodreel.put_copied_findings(item, document);
      when 'publication' then perform moodreel.put_copied_publication(item, document);
      when 'tags' then perform moodreel.put_copied_tags(item, document);
    end case;
  end loop;
  -- Described here meanwhile, and not yet analysed: it is by now, if the content is the same.
  update media_items i set state = 'analyzed'
  where i.id = item and i.state = 'pending'
    and i.updated_at > (entry->'parts'->'item'->>'updated_at')::timestamptz
    and exists (
      select from media_analyses a where a.media_item_id = i.id and a.revision = i.revision);
end $$;

create function moodreel.put_group(document jsonb) returns void
language plpgsql as $$
declare
  present publication_groups;
begin
  perform moodreel.lock_group(document->>'channel', document->>'name');
  select * into present from publication_groups
  where channel = document->>'channel' and name = document->>'name'
    and generation = (document->>'generation')::integer for update;
  if present.id is not null
    and moodreel.copied_group_age(moodreel.copied_group(present))
      > moodreel.copied_group_age(document)
  then
    return;
  end if;
  delete from publication_groups where id = present.id;
  insert into publication_groups (channel, name, generation, state, event_id, receipt, error,
    created_at, claimed_at, settled_at, told_at)
  select channel, name, generation, state, event_id, receipt, error, created_at, claimed_at,
    settled_at, told_at
  from jsonb_populate_record(null::publication_groups, document)
  returning * into present;
  insert into gathered_publications (group_id, media_item_id, event_id, joined_at, gathered_at)
  select present.id, i.id, member->>'event_id', (member->>'joined_at')::timestamptz,
    (member->>'gathered_at')::timestamptz
  from jsonb_array_elements(document->'members') with ordinality as listed (member, place)
  join media_items i on i.server = member->'ref'->>'server'
    and i.item_id = member->'ref'->>'item_id'
  order by place;
end $$;

-- Copying ------------------------------------------------------------------------------------------

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120171000'::text)
$$;

-- Things of a kind: those that have one of these keys, or a page of all. For each its place in the
-- order, its key and its parts.
create function moodreel.list_items(keys jsonb, after bigint, size integer)
returns table (place jsonb, key jsonb, parts jsonb)
language sql stable as $$
  select jsonb_build_array(i.id), jsonb_build_array(i.server, i.item_id), moodreel.item_parts(i)
  from media_items i
  where i.id in (
    select m.id from jsonb_array_elements(keys) as asked
    join media_items m on m.server = asked->>0 and m.item_id = asked->>1
    union all (
      select m.id from media_items m where keys is null and m.id > after order by m.id limit size))
$$;

create function moodreel.list_groups(keys jsonb, after bigint, size integer)
returns table (place jsonb, key jsonb, parts jsonb)
language sql stable as $$
  select jsonb_build_array(g.id), jsonb_build_array(g.channel, g.name, g.generation),
    moodreel.group_parts(g)
  from publication_groups g
  where g.id in (
    select m.id from jsonb_array_elements(keys) as asked
    join publication_groups m on m.channel = asked->>0 and m.name = asked->>1
      and m.generation = (asked->>2)::integer
    union all (
      select m.id from publication_groups m
      where keys is null and m.id > after order by m.id limit size))
$$;

create function moodreel.list_events(keys jsonb, after bigint, size integer)
returns table (place jsonb, key jsonb, parts jsonb)
language sql stable as $$
  select jsonb_build_array(e.sequence), jsonb_build_array(e.id), jsonb_build_array(moodreel.part(
    'event', e.created_at, to_jsonb(e) - 'sequence', '{"published_events": 1}'))
  from published_events e
  where e.sequence in (
    select m.sequence from jsonb_array_elements(keys) as asked
    join published_events m on m.id = asked->>0
    union all (
      select m.sequence from published_events m
      where keys is null and m.sequence > after order by m.sequence limit size))
$$;

create function moodreel.list_reconciliations(keys jsonb, after text, size integer)
returns table (place jsonb, key jsonb, parts jsonb)
language sql stable as $$
  select jsonb_build_array(r.server), jsonb_build_array(r.server),
    jsonb_build_array(moodreel.part(
      'reconciliation', r.reconciled_at, to_jsonb(r), '{"reconciliations": 1}'))
  from reconciliations r
  where r.server in (
    select asked->>0 from jsonb_array_elements(keys) as asked
    union all (
      select m.server from reconciliations m
      where keys is null and m.server > after order by m.server limit size))
$$;

create function moodreel_copy_list(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set timezone = 'UTC' set statement_timeout = '60s' as $$
declare
  keys jsonb := request->'keys';
  after text := request->'after'->>0;
  size integer := (request->>'limit')::integer;
  listed jsonb;
begin
  case request->>'kind'
    when 'items' then
      select jsonb_agg(jsonb_build_array(place, key, parts) order by place) into listed
      from moodreel.list_items(keys, coalesce(after, '0')::bigint, size);
    when 'groups' then
      select jsonb_agg(jsonb_build_array(place, key, parts) order by place) into listed
      from moodreel.list_groups(keys, coalesce(after, '0')::bigint, size);
    when 'events' then
      select jsonb_agg(jsonb_build_array(place, key, parts) order by place) into listed
      from moodreel.list_events(keys, coalesce(after, '0')::bigint, size);
    when 'reconciliations' then
      select jsonb_agg(jsonb_build_array(place, key, parts) order by place->>0) into listed
      from moodreel.list_reconciliations(keys, coalesce(after, ''), size);
  end case;
  return coalesce(listed, '[]');
end $$;

-- The wanted parts of things, as moodreel_copy_put takes them.
create function moodreel_copy_take(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set timezone = 'UTC' set statement_timeout = '60s' as $$
declare
  keys jsonb := request->'keys';
  taken jsonb;
begin
  case request->>'kind'
    when 'items' then
      select jsonb_agg(jsonb_build_object('ref', moodreel.ref_json(i), 'parts', (
        select jsonb_object_agg(part.name, part.document) from (
          select 'item', moodreel.copied_item(i)
          union all
          select 'findings', moodreel.copied_findings(i.id)
            || jsonb_build_object('scene_embeddings', moodreel.copied_vectors(i.id))
          where asked.value->2 ? 'findings'
          union all
          select 'publication ' || p.channel, p.document
          from moodreel.copied_publications(i.id) p
          union all
          select 'tags', to_jsonb(t) - 'media_item_id' from tag_edits t
          where t.media_item_id = i.id
        ) as part (name, document)
        where asked.value->2 ? part.name and part.document is not null)) order by asked.ordinality)
      into taken
      from jsonb_array_elements(keys) with ordinality as asked
      join media_items i on i.server = asked.value->>0 and i.item_id = asked.value->>1;
    when 'groups' then
      select jsonb_agg(moodreel.copied_group(g) order by asked.ordinality) into taken
      from jsonb_array_elements(keys) with ordinality as asked
      join publication_groups g on g.channel = asked.value->>0 and g.name = asked.value->>1
        and g.generation = (asked.value->>2)::integer;
    when 'events' then
      select jsonb_agg(to_jsonb(e) - 'sequence' order by asked.ordinality) into taken
      from jsonb_array_elements(keys) with ordinality as asked
      join published_events e on e.id = asked.value->>0;
    when 'reconciliations' then
      select jsonb_agg(to_jsonb(r) order by asked.ordinality) into taken
      from jsonb_array_elements(keys) with ordinality as asked
      join reconciliations r on r.server = asked.value->>0;
  end case;
  return coalesce(taken, '[]');
end $$;

-- What is newer here stays; what is put twice is there once. An item that is too large for one
-- request is opened first, uploaded in pieces, and put by its upload.
create function moodreel_copy_put(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  entries jsonb := coalesce(request->'entries', moodreel.take_upload(
    moodreel.require_item(request), request->>'upload_id', (request->>'piece_count')::integer));
begin
  case request->>'kind'
    when 'items' then
      -- In one order, so that two of these cannot wait for each other.
      perform moodreel.put_item_parts(entry) from (
        select entry from jsonb_array_elements(entries) as entry
        order by entry->'ref'->>'server', entry->'ref'->>'item_id') sorted;
    when 'groups' then
      perform moodreel.put_group(entry) from jsonb_array_elements(entries) as entry;
    when 'events' then
      insert into published_events (id, topic, envelope, created_at)
      select r.id, r.topic, r.envelope, r.created_at
      from jsonb_array_elements(entries) with ordinality as listed (entry, place),
        jsonb_populate_record(null::published_events, entry) r
      order by place
      on conflict (id) do nothing;
    when 'reconciliations' then
      insert into reconciliations as known
      select r.* from jsonb_populate_recordset(null::reconciliations, entries) r
      on conflict (server) do update set reconciled_at = excluded.reconciled_at
      where known.reconciled_at < excluded.reconciled_at;
    when 'installation' then
      -- What was no news there is none here.
      update moodreel.installation
      set installed_at = least(installed_at, (entries->>0)::timestamptz);
  end case;
  return 'true';
end $$;

-- Pruning ------------------------------------------------------------------------------------------

-- Whether it is time for some care, and nobody else has taken it: then whoever asks does.
create function moodreel_claim_upkeep(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  with claimed as (
    insert into moodreel.upkeep as u (name, claimed_at) values (request->>'name', now())
    on conflict (name) do update set claimed_at = excluded.claimed_at
    where u.claimed_at <= now() - make_interval(secs => (request->>'every_s')::float8)
    returning true)
  select to_jsonb(exists (select from claimed))
$$;

-- Items that were marked deleted before a moment and still have findings.
create function moodreel.fallen_items(before timestamptz, size integer) returns setof bigint
language sql stable as $$
  select i.id from media_items i
  where i.state = 'deleted' and i.updated_at < before and (
    exists (select from media_analyses a where a.media_item_id = i.id)
    or exists (select from media_transcripts t where t.media_item_id = i.id))
  order by i.updated_at limit size
$$;

create function moodreel.findings_bytes(items bigint[]) returns bigint
language sql stable as $$
  select coalesce(sum(bytes), 0)::bigint from (
    select pg_column_size(t.*) from media_analyses t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_scenes t where media_item_id = any(items)
    union all select pg_column_size(t.*) from scene_embeddings t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_tags t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_moods t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_highlights t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_audio_analysis t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_transcripts t where media_item_id = any(items)
  ) sizes (bytes)
$$;

-- Counts what may go, or deletes a batch of it: {what, before, model, limit, dry_run} returns
-- {"count": things, "bytes": about so many}. A thing is an item, an event, an upload, a vector or a
-- group, as "what" says. Rows that somebody else holds are left for the next time.
create function moodreel_prune(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  before timestamptz := (request->>'before')::timestamptz;
  size integer := (request->>'limit')::integer;
  dry boolean := coalesce((request->>'dry_run')::boolean, false);
  found_ids bigint[];
  things bigint;
  bytes bigint;
begin
  case request->>'what'
    when 'findings' then
      found_ids := array(select moodreel.fallen_items(before, size));
      if not dry then
        -- One that came back a moment ago is no longer among them.
        found_ids := array(
          select id from media_items where id = any(found_ids) and state = 'deleted'
          for update skip locked);
      end if;
      things := cardinality(found_ids);
      bytes := moodreel.findings_bytes(found_ids);
      if not dry then
        delete from media_analyses where media_item_id = any(found_ids);
        delete from media_transcripts where media_item_id = any(found_ids);
      end if;
    when 'ledgers' then
      found_ids := array(
        select id from media_items where state = 'deleted' and updated_at < before
        order by updated_at limit size);
      if not dry then
        found_ids := array(
          select id from media_items where id = any(found_ids) and state = 'deleted'
          for update skip locked);
      end if;
      select count(*), coalesce(sum(pg_column_size(i.*)), 0) + moodreel.findings_bytes(found_ids)
      into things, bytes from media_items i where id = any(found_ids);
      if not dry then
        delete from media_items where id = any(found_ids);
      end if;
    when 'events' then
      found_ids := array(
        select sequence from published_events where created_at < before
        order by sequence limit size);
      select count(*), coalesce(sum(pg_column_size(e.*)), 0) into things, bytes
      from published_events e where sequence = any(found_ids);
      if not dry then
        delete from published_events where sequence = any(found_ids);
      end if;
    when 'uploads' then
      select count(distinct upload_id), coalesce(sum(length(piece)), 0) into things, bytes
      from moodreel.uploads where created_at < before;
      if not dry then
        delete from moodreel.uploads where created_at < before;
        -- What a copy opened and never put.
        delete from media_items
        where state = 'pending' and updated_at = 'epoch' and created_at < before;
        size := null; -- all at once: they are few
      end if;
    when 'groups' then
      found_ids := array(
        select g.id from publication_groups g
        where g.created_at < before and not exists (
          select from gathered_publications m where m.group_id = g.id)
        order by g.id limit size);
      if not dry then
        found_ids := array(
          select g.id from publication_groups g where g.id = any(found_ids)
          for update skip locked);
        -- Whoever joined before we held it is seen by another statement only.
        found_ids := array(
          select id from unnest(found_ids) as id where not exists (
            select from gathered_publications m where m.group_id = id));
      end if;
      select count(*), coalesce(sum(pg_column_size(g.*)), 0) into things, bytes
      from publication_groups g where g.id = any(found_ids);
      if not dry then
        delete from publication_groups where id = any(found_ids);
      end if;
    when 'vectors' then
      found_ids := array(
        select distinct media_item_id from scene_embeddings where model = request->>'model'
        order by media_item_id limit size);
      if not dry then
        found_ids := array(
          select id from media_items where id = any(found_ids) for update skip locked);
      end if;
      select count(*), coalesce(sum(pg_column_size(e.*)), 0) into things, bytes
      from scene_embeddings e
      where media_item_id = any(found_ids) and model = request->>'model';
      if not dry then
        delete from scene_embeddings
        where media_item_id = any(found_ids) and model = request->>'model';
        update media_analyses set
          embedding_model = case when embedding_model = request->>'model'
            then '' else embedding_model end,
          sound_embedding_model = case when sound_embedding_model = request->>'model'
            then '' else sound_embedding_model end
        where media_item_id = any(found_ids);
      end if;
  end case;
  return jsonb_build_object('count', things, 'bytes', bytes,
    'is_more', size is not null and cardinality(found_ids) > 0);
end $$;

-- Vectors by model, and what is in doubt and therefore kept: for whoever decides what to prune.
create function moodreel_holdings(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
  select jsonb_build_object(
    'vectors', coalesce((
      select jsonb_object_agg(model, number) from (
        select model, count(*) as number from scene_embeddings group by model) counted), '{}'),
    'doubtful', (
      select count(*) from publications
      where state = 'sending' and claimed_at < now() - interval '1 hour')
      + (select count(*) from publication_groups
        where state = 'sending' and claimed_at < now() - interval '1 hour'))
$$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
