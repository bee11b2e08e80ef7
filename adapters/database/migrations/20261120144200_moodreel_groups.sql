-- Messages that tell of several items at once, items that are known again after they were renamed,
-- up to when a server's changes are known, what is said in an item, and what was written to the
-- tags of a server.

set search_path = public, extensions;

alter table media_items
  add column library text not null default '',
  add column series_id text not null default '',
  add column fingerprint text not null default '';
comment on column media_items.library is 'Name of the library that holds it.';
comment on column media_items.series_id is
  'The server''s id of an episode''s series, or of a song''s album.';
comment on column media_items.fingerprint is
  'Of the content of this revision: the same for a renamed file. Empty where it is not known.';

alter table media_analyses add column fingerprint text not null default '';
comment on column media_analyses.fingerprint is 'Of the content that was analysed.';
create index media_analyses_fingerprint on media_analyses (fingerprint) where fingerprint <> '';

create table publication_groups (
  id bigint generated always as identity primary key,
  channel text not null,
  name text not null,
  generation integer not null,
  key text not null generated always as (name || '#' || generation::text) stored,
  state text not null default 'gathering'
    check (state in ('gathering', 'sending', 'sent', 'failed')),
  event_id text not null default '',
  receipt text not null default '',
  error text not null default '',
  created_at timestamptz not null default now(),
  claimed_at timestamptz,
  settled_at timestamptz,
  told_at timestamptz,
  unique (channel, name, generation),
  unique (channel, key)
);
comment on table publication_groups is
  'Messages that tell of several items: the ledger of what each channel was told of a group last.';
comment on column publication_groups.name is 'What its items have in common, such as a season.';
comment on column publication_groups.generation is
  'What comes long after a group''s last message is told in another one.';
comment on column publication_groups.event_id is 'Of the contents that were told, or are being.';
comment on column publication_groups.receipt is
  'What the channel returned: the message that is amended when more comes.';
comment on column publication_groups.told_at is 'When its message named another item last.';

create table gathered_publications (
  group_id bigint not null references publication_groups on delete cascade,
  media_item_id bigint not null references media_items on delete cascade,
  position bigint generated always as identity,
  event_id text not null,
  joined_at timestamptz not null default clock_timestamp(),
  gathered_at timestamptz not null default clock_timestamp(),
  primary key (group_id, media_item_id)
);
comment on table gathered_publications is 'Which items a group''s message is about.';
comment on column gathered_publications.joined_at is 'When the item came into it.';
comment on column gathered_publications.gathered_at is 'When the present news of the item did.';
create index gathered_publications_item on gathered_publications (media_item_id);

create table reconciliations (
  server text primary key,
  reconciled_at timestamptz not null
);
comment on table reconciliations is 'When each media server was asked last what changed.';
comment on column reconciliations.reconciled_at is 'Its changes are known up to then.';

create table media_transcripts (
  media_item_id bigint not null references media_items on delete cascade,
  position integer not null,
  start_s double precision not null,
  end_s double precision not null,
  text text not null,
  primary key (media_item_id, position)
);
comment on table media_transcripts is 'What is said or sung, by a subtitle track or lyrics.';

create table tag_edits (
  media_item_id bigint primary key references media_items on delete cascade,
  added text[] not null,
  noted_at timestamptz not null default now()
);
comment on table tag_edits is 'Tags that were written to the media servers: what may be undone.';
comment on column tag_edits.added is 'Those that the item did not have before.';

alter table publication_groups enable row level security;
alter table gathered_publications enable row level security;
alter table reconciliations enable row level security;
alter table media_transcripts enable row level security;
alter table tag_edits enable row level security;

-- Inner parts ------------------------------------------------------------------------------------

create function moodreel.ref_json(item media_items) returns jsonb
language sql immutable as $$
  select jsonb_build_object('server', item.server, 'item_id', item.item_id)
$$;

-- A worker that was started before this migration says nothing of what is new in it.
create or replace function moodreel.put_item(item jsonb) returns bigint
language sql as $$
  insert into media_items as m (
    server, item_id, kind, title, revision, overview, year, genres, keywords, series,
    season_number, episode_number, artist, album, duration_s, added_at, url, library, series_id,
    fingerprint)
  select
    item->'ref'->>'server', item->'ref'->>'item_id', r.kind, r.title, r.revision, r.overview,
    r.year, r.genres, r.keywords, r.series, r.season_number, r.episode_number, r.artist, r.album,
    r.duration_s, r.added_at, r.url, coalesce(r.library, ''), coalesce(r.series_id, ''),
    coalesce(r.fingerprint, '')
  from jsonb_populate_record(null::media_items, item) r
  on conflict (server, item_id) do update set (
    kind, title, revision, overview, year, genres, keywords, series, season_number,
    episode_number, artist, album, duration_s, added_at, url, library, series_id, fingerprint,
    updated_at
  ) = row(
    excluded.kind, excluded.title, excluded.revision, excluded.overview, excluded.year,
    excluded.genres, excluded.keywords, excluded.series, excluded.season_number,
    excluded.episode_number, excluded.artist, excluded.album, excluded.duration_s,
    -- What is scanned anew, or comes back from a backup, is not new.
    case when excluded.revision = m.revision
      then least(m.added_at, excluded.added_at) else excluded.added_at end,
    excluded.url, excluded.library, excluded.series_id,
    -- Known once, it need not be read again for the same content.
    case when excluded.fingerprint = '' and excluded.revision = m.revision
      then m.fingerprint else excluded.fingerprint end,
    now())
  returning m.id
$$;

-- Each once, where it comes first.
create function moodreel.distinct_texts(texts text[]) returns text[]
language sql immutable as $$
  select coalesce(array_agg(name order by place), '{}') from (
    select name, min(place) as place
    from unnest(texts) with ordinality as listed (name, place) group by name
  ) firsts
$$;

create function moodreel.add_tag_edit(item bigint, added text[]) returns void
language sql as $$
  insert into tag_edits as t (media_item_id, added)
  select item, moodreel.distinct_texts(add_tag_edit.added) where add_tag_edit.added <> '{}'
  on conflict (media_item_id) do update set
    added = moodreel.distinct_texts(t.added || excluded.added), noted_at = excluded.noted_at
$$;

-- What an item has that another one, of the same content, has not; then there is only one.
create function moodreel.merge_item(kept bigint, other bigint) returns void
language plpgsql as $$
begin
  update publications p set media_item_id = kept
  where media_item_id = other and not exists (
    select from publications k where k.media_item_id = kept and k.channel = p.channel);
  update gathered_publications g set media_item_id = kept
  where media_item_id = other and not exists (
    select from gathered_publications k where k.media_item_id = kept and k.group_id = g.group_id);
  update media_transcripts set media_item_id = kept
  where media_item_id = other
    and not exists (select from media_transcripts where media_item_id = kept);
  perform moodreel.add_tag_edit(kept, t.added) from tag_edits t where t.media_item_id = other;
  delete from media_items where id = other;
end $$;

create or replace function moodreel.status_json(item media_items) returns jsonb
language sql stable as $$
  select jsonb_build_object(
    'ref', moodreel.ref_json(item),
    'title', item.title,
    'state', item.state,
    'revision', item.revision,
    'pipeline', coalesce(
      (select pipeline from media_analyses a where a.media_item_id = item.id), ''),
    'reason', item.reason,
    'added_at', item.added_at,
    'updated_at', item.updated_at)
$$;

create function moodreel.lock_group(channel text, name text) returns void
language sql as $$
  select pg_advisory_xact_lock(
    hashtextextended(format('moodreel group %s %s', channel, name), 0))
$$;

create function moodreel.find_group(request jsonb) returns publication_groups
language plpgsql as $$
declare
  found_group publication_groups;
begin
  select * into found_group from publication_groups
  where channel = request->>'channel' and key = request->>'group' for update;
  if not found then
    raise exception using errcode = 'PT404', message =
      format('nothing is gathered for %s in %s', request->>'channel', request->>'group');
  end if;
  return found_group;
end $$;

-- Items ------------------------------------------------------------------------------------------

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120144200'::text)
$$;

-- Of an analysis under its token; of anything else without one.
create or replace function moodreel_upload(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  insert into moodreel.uploads values (
    case when request->>'token' is null
      then moodreel.require_item(request) else moodreel.fence(request) end,
    (request->>'upload_id')::uuid, (request->>'position')::integer, request->>'piece')
  returning 'true'::jsonb
$$;

create or replace function moodreel_save(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  item bigint := moodreel.fence(request);
  analysis jsonb := coalesce(
    request->'analysis',
    moodreel.take_upload(item, request->>'upload_id', (request->>'piece_count')::integer));
begin
  -- Of a worker that was started before this migration: its job is done again by a newer one.
  if not analysis ? 'vectors' then
    raise exception using errcode = 'PT503', message =
      'the database was migrated while this worker ran: restart it with the version of the schema';
  end if;
  perform moodreel.put_item(analysis->'item');
  update media_items set state = 'analyzed', reason = '' where id = item;
  insert into media_analyses as old (
    media_item_id, token, revision, fingerprint, pipeline, duration_s, embedding_model,
    sound_embedding_model, media, shots, mood_curve, picture, comfort, best_match, models,
    missing_models, warnings, seconds, saved_at)
  select item, (request->>'token')::bigint, analysis->'item'->>'revision',
    (select fingerprint from media_items where id = item), a.pipeline, a.duration_s,
    a.embedding_model, a.sound_embedding_model, nullif(a.media, 'null'), a.shots,
    a.mood_curve, nullif(a.picture, 'null'), a.comfort, nullif(a.best_match, 'null'), a.models,
    a.missing_models, a.warnings, a.seconds, now()
  -- Without the vectors, of which there are megabytes.
  from jsonb_populate_record(null::media_analyses, analysis - '{vectors,scenes}'::text[]) a
  on conflict (media_item_id) do update set (
    token, revision, fingerprint, pipeline, duration_s, embedding_model, sound_embedding_model,
    media, shots, mood_curve, picture, comfort, best_match, models, missing_models, warnings,
    seconds, saved_at
  ) = row(
    excluded.token, excluded.revision, excluded.fingerprint, excluded.pipeline,
    excluded.duration_s, excluded.embedding_model, excluded.sound_embedding_model,
    excluded.media, excluded.shots, excluded.mood_curve, excluded.picture, excluded.comfort,
    excluded.best_match, excluded.models, excluded.missing_models, excluded.warnings,
    excluded.seconds,
    -- The same attempt again: what was told with the first time stays true.
    case when old.token = excluded.token then old.saved_at else excluded.saved_at end);
  perform moodreel.put_findings(item, analysis);
  return 'true';
end $$;

create or replace function moodreel_load(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb(a) - '{media_item_id,token,revision,fingerprint,saved_at}'::text[]
    || jsonb_build_object(
    'item', moodreel.item_json(i)
      || jsonb_build_object('revision', a.revision, 'fingerprint', a.fingerprint),
    'scenes', coalesce((
      select jsonb_agg(to_jsonb(s) - '{media_item_id,position}'::text[] order by s.position)
      from media_scenes s where s.media_item_id = i.id), '[]'),
    'tags', coalesce((
      select jsonb_agg(to_jsonb(t) - '{media_item_id,position}'::text[] order by t.position)
      from media_tags t where t.media_item_id = i.id), '[]'),
    'moods', coalesce((
      select jsonb_agg(to_jsonb(m) - '{media_item_id,position}'::text[] order by m.position)
      from media_moods m where m.media_item_id = i.id), '[]'),
    'highlights', coalesce((
      select jsonb_agg(to_jsonb(h) - '{media_item_id,position}'::text[] order by h.position)
      from media_highlights h where h.media_item_id = i.id), '[]'),
    'audio', (
      select to_jsonb(s) - 'media_item_id'
      from media_audio_analysis s where s.media_item_id = i.id))
  from media_items i join media_analyses a on a.media_item_id = i.id
  where i.id = moodreel.find_item(request)
$$;

-- Deleted ones, too: a server that renames an item may say first that it is gone.
create function moodreel_find_twins(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(moodreel.ref_json(i) order by a.saved_at desc, i.id desc), '[]')
  from media_analyses a join media_items i on i.id = a.media_item_id
  where a.fingerprint = request->>'fingerprint' and a.fingerprint <> ''
    and (i.server, i.item_id) is distinct from (request->>'server', request->>'item_id')
$$;

-- The row that has the analysis takes the new name, and so all that hangs on it moves at once. A
-- new token: an attempt that is under way would save other findings of the same content.
create function moodreel_adopt(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  item jsonb := request->'item';
  former bigint;
  present bigint;
  kept bigint;
  content text;
  new_token bigint;
begin
  -- In one order: two of these cannot wait for each other.
  perform from media_items
  where (server, item_id) in (
    (request->>'server', request->>'item_id'), (item->'ref'->>'server', item->'ref'->>'item_id'))
  order by id for update;
  former := moodreel.find_item(request);
  present := moodreel.find_item(item->'ref');
  -- The former's analysis; else the item's own, if it adopted it before.
  select a.media_item_id, coalesce(nullif(item->>'fingerprint', ''), a.fingerprint)
  into kept, content
  from media_analyses a
  where a.media_item_id = former or a.media_item_id = present and (
    a.revision = item->>'revision' or a.fingerprint = nullif(item->>'fingerprint', ''))
  order by a.media_item_id is distinct from former limit 1;
  if kept is null then
    raise exception using errcode = 'PT404', message = format(
      'no analysis of %s/%s to adopt', request->>'server', request->>'item_id');
  end if;
  select max(token) + 1 into new_token from media_items where id in (former, present);
  perform moodreel.merge_item(kept, id)
  from media_items where id in (former, present) and id <> kept;
  delete from moodreel.uploads where media_item_id = kept;
  update media_items
  set server = item->'ref'->>'server', item_id = item->'ref'->>'item_id', token = new_token,
    state = 'analyzed', reason = ''
  where id = kept;
  -- It was there since the former was added.
  perform moodreel.put_item(item || jsonb_build_object('fingerprint', content, 'added_at', (
    select least(m.added_at, (item->>'added_at')::timestamptz)
    from media_items m where m.id = kept)));
  update media_analyses set revision = item->>'revision', fingerprint = content
  where media_item_id = kept;
  -- What was told of it, or is to be, is known by the item's name. Its server has made a new item,
  -- though, that bears no tags of ours yet.
  update publications set event_id = request->>'event_id'
  where media_item_id = kept and event_id = nullif(request->>'former_event_id', '')
    and channel <> 'library';
  update gathered_publications set event_id = request->>'event_id'
  where media_item_id = kept and event_id = nullif(request->>'former_event_id', '');
  return 'true';
end $$;

create function moodreel_list_refs(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_array(i.item_id) order by i.item_id), '[]')
  from (
    select item_id from media_items
    where server = request->>'server' and item_id > request->>'after' and state <> 'deleted'
    order by item_id limit (request->>'limit')::integer
  ) i
$$;

create function moodreel_reconciled_at(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb(reconciled_at) from reconciliations where server = request->>'server'
$$;

-- Whatever was noted before: asking again for what is known does no harm.
create function moodreel_note_reconciled(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  insert into reconciliations values (request->>'server', (request->>'at')::timestamptz)
  on conflict (server) do update set reconciled_at = excluded.reconciled_at
  returning 'true'::jsonb
$$;

create function moodreel_save_transcript(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  item bigint := moodreel.require_item(request);
  lines jsonb;
begin
  perform from media_items where id = item for update; -- one after the other
  lines := coalesce(
    request->'lines',
    moodreel.take_upload(item, request->>'upload_id', (request->>'piece_count')::integer));
  delete from media_transcripts where media_item_id = item;
  insert into media_transcripts (media_item_id, position, start_s, end_s, text)
  select item, place - 1, (line->>0)::float8, (line->>1)::float8, line->>2
  from jsonb_array_elements(lines) with ordinality as listed (line, place);
  return 'true';
end $$;

create function moodreel_load_transcript(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(
    jsonb_agg(to_jsonb(t) - '{media_item_id,position}'::text[] order by t.position), '[]')
  from media_transcripts t where t.media_item_id = moodreel.find_item(request)
$$;

create function moodreel_note_tag_edit(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
begin
  perform moodreel.add_tag_edit(
    moodreel.require_item(request), moodreel.texts(request->'added'));
  return 'true';
end $$;

create function moodreel_list_tag_edits(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(
    jsonb_agg(jsonb_build_array(e.item_id, to_jsonb(e.added)) order by e.item_id), '[]')
  from (
    select i.item_id, t.added from tag_edits t join media_items i on i.id = t.media_item_id
    where i.server = request->>'server' and i.item_id > request->>'after'
    order by i.item_id limit (request->>'limit')::integer
  ) e
$$;

create function moodreel_load_tag_edit(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce((
    select to_jsonb(t.added) from tag_edits t where t.media_item_id = moodreel.find_item(request)
  ), '[]')
$$;

-- All of an item's, or those that the request names.
create function moodreel_forget_tag_edit(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  update tag_edits set added = array(
    select name from unnest(added) with ordinality as listed (name, place)
    where not name = any(moodreel.texts(request->'tags')) order by place)
  where media_item_id = moodreel.find_item(request) and request ? 'tags';
  delete from tag_edits
  where media_item_id = moodreel.find_item(request) and (added = '{}' or not request ? 'tags');
  select 'true'::jsonb
$$;

-- The ledger of groups ---------------------------------------------------------------------------

create function moodreel_gather_publication(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  item bigint := moodreel.require_item(request);
  goal publication_groups;
begin
  perform moodreel.lock_group(request->>'channel', request->>'name');
  -- An item that a message names already is amended there, however old the message is, and
  -- whatever its season is called by now.
  select g.* into goal from publication_groups g
  join gathered_publications m on m.group_id = g.id and m.media_item_id = item
  where g.channel = request->>'channel'
    and (g.name = request->>'name' or g.state <> 'gathering')
  order by g.state = 'gathering', g.id desc limit 1
  for update of g;
  if goal.id is null then
    -- What was told by itself is amended there.
    if exists (
      select from publications p
      where p.media_item_id = item and p.channel = request->>'channel'
        and (p.state <> 'failed' or p.receipt <> ''))
    then
      return to_jsonb(''::text);
    end if;
    delete from gathered_publications m using publication_groups g
    where m.media_item_id = item and g.id = m.group_id and g.channel = request->>'channel';
    -- Others come into the latest, unless that one is over, or nobody knows whether it was told:
    -- it cannot be amended.
    select g.* into goal from publication_groups g
    where g.channel = request->>'channel' and g.name = request->>'name'
    order by g.generation desc limit 1
    for update;
    if goal.id is null
      or extract(epoch from clock_timestamp() - goal.told_at) > (request->>'open_for_s')::float8
      or goal.state = 'sending' and goal.receipt = ''
        and goal.claimed_at < clock_timestamp() - interval '10 minutes'
    then
      insert into publication_groups (channel, name, generation)
      values (request->>'channel', request->>'name', coalesce(goal.generation, 0) + 1)
      returning * into goal;
    end if;
  end if;
  insert into gathered_publications as m (group_id, media_item_id, event_id)
  values (goal.id, item, request->>'event_id')
  on conflict (group_id, media_item_id) do update set
    event_id = excluded.event_id, gathered_at = excluded.gathered_at
  where m.event_id <> excluded.event_id;
  return to_jsonb(goal.key);
end $$;

-- What joined after the claim of a message in doubt was not told with it: it comes into another.
-- Returns the key of that one, as long as nobody claimed it; empty where there is none.
create function moodreel_split_group(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  doubtful publication_groups;
  goal publication_groups;
begin
  -- Before the row, as whoever gathers does it.
  perform moodreel.lock_group(g.channel, g.name) from publication_groups g
  where g.channel = request->>'channel' and g.key = request->>'group';
  doubtful := moodreel.find_group(request);
  select * into goal from publication_groups g
  where g.channel = doubtful.channel and g.name = doubtful.name
    and g.generation > doubtful.generation
  order by g.generation desc limit 1;
  if doubtful.state = 'sending' and doubtful.receipt = '' and exists (
    select from gathered_publications m
    where m.group_id = doubtful.id and m.joined_at > doubtful.claimed_at)
  then
    if goal.state is distinct from 'gathering' then
      insert into publication_groups (channel, name, generation)
      values (doubtful.channel, doubtful.name,
        coalesce(goal.generation, doubtful.generation) + 1)
      returning * into goal;
    end if;
    update gathered_publications m set group_id = goal.id
    where m.group_id = doubtful.id and m.joined_at > doubtful.claimed_at;
  end if;
  return to_jsonb(case when goal.state = 'gathering' and exists (
    select from gathered_publications m where m.group_id = goal.id) then goal.key else '' end);
end $$;

create function moodreel_list_gathered(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(
    jsonb_build_object('ref', moodreel.ref_json(i), 'event_id', m.event_id)
    order by m.position), '[]')
  from publication_groups g
  join gathered_publications m on m.group_id = g.id
  join media_items i on i.id = m.media_item_id
  where g.channel = request->>'channel' and g.key = request->>'group'
$$;

-- As moodreel_claim_publication.
create function moodreel_claim_group(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  entry publication_groups := moodreel.find_group(request);
begin
  if entry.event_id = request->>'event_id' and entry.state = 'sent' then
    return jsonb_build_object('state', 'sent', 'receipt', entry.receipt);
  end if;
  update publication_groups
  set event_id = request->>'event_id', state = 'sending', error = '', settled_at = null,
    -- Since then it is in doubt: asking again does not renew that.
    claimed_at = case when entry.state = 'sending' and entry.receipt = ''
      then entry.claimed_at else clock_timestamp() end
  where id = entry.id;
  return jsonb_build_object(
    'state',
    case when entry.state = 'sending'
        and (entry.event_id = request->>'event_id' or entry.receipt = '')
      then 'unknown' else 'claimed' end,
    'receipt', entry.receipt);
end $$;

-- What was gathered before the claim was told, or not, and the ledger of each item says so, too.
-- The receipt stays with the group: a message of one item alone must not replace the group's.
create function moodreel_settle_group(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  entry publication_groups := moodreel.find_group(request);
begin
  if entry.state <> 'gathering' and entry.event_id <> request->>'event_id' then
    raise exception using errcode = 'PT409', message = format(
      'other contents of %s have been claimed for %s since', request->>'group',
      request->>'channel');
  end if;
  update publication_groups
  set event_id = request->>'event_id',
    state = case when request->>'error' = '' then 'sent' else 'failed' end,
    receipt = coalesce(nullif(request->>'receipt', ''), receipt),
    error = request->>'error',
    settled_at = now(),
    -- An amended message that names nobody new lets nobody else in.
    told_at = case when request->>'error' = '' and (entry.told_at is null or exists (
        select from gathered_publications m
        where m.group_id = entry.id and m.joined_at > entry.told_at))
      then clock_timestamp() else told_at end
  where id = entry.id
  returning * into entry;
  insert into publications as p (media_item_id, channel, event_id, state, error, settled_at)
  select m.media_item_id, entry.channel, m.event_id, entry.state, entry.error, now()
  from gathered_publications m
  where m.group_id = entry.id and m.gathered_at <= coalesce(entry.claimed_at, clock_timestamp())
  order by m.media_item_id
  on conflict (media_item_id, channel) do update set
    event_id = excluded.event_id, state = excluded.state, error = excluded.error,
    settled_at = excluded.settled_at
  -- What was told is not untold, and what is being told by itself is settled by whoever tells it.
  where p.state <> case when p.event_id = excluded.event_id then 'sent' else 'sending' end;
  return 'true';
end $$;

create or replace function moodreel_counts(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select jsonb_object_agg(noun, number) from (
    select 'items_' || s.state as noun, count(i.id) as number
    from unnest(array['pending', 'analyzed', 'failed', 'deleted']) as s (state)
    left join media_items i on i.state = s.state group by s.state
    union all select 'scenes', count(*) from media_scenes
    -- Scenes that can be found by what is seen, and by what is heard.
    union all select 'embeddings', count(*) from scene_embeddings where kind = 'scene'
    union all select 'sound_embeddings', count(*) from scene_embeddings where kind = 'sound'
    union all
    select 'publications_' || s.state, count(p.media_item_id)
    from unnest(array['sending', 'sent', 'failed']) as s (state)
    left join publications p on p.state = s.state group by s.state
    union all
    select 'groups_' || s.state, count(g.id)
    from unnest(array['gathering', 'sending', 'sent', 'failed']) as s (state)
    left join publication_groups g on g.state = s.state group by s.state
    union all select 'transcripts', count(distinct media_item_id) from media_transcripts
    union all select 'tag_edits', count(*) from tag_edits
    union all select 'events', count(*) from published_events
  ) counted
$$;

-- Who may do what --------------------------------------------------------------------------------

create or replace function moodreel.restrict_access() returns void
language plpgsql as $$
declare
  tables text := 'media_items, media_analyses, media_scenes, scene_embeddings, media_tags, '
    'media_moods, media_highlights, media_audio_analysis, publications, published_events, '
    'scene_clip_metadata, publication_groups, gathered_publications, reconciliations, '
    'media_transcripts, tag_edits';
  sequences text := 'media_items_id_seq, published_events_sequence_seq, '
    'publication_groups_id_seq, gathered_publications_position_seq';
  functions text := (
    select string_agg(oid::regprocedure::text, ', ') from pg_proc
    where pronamespace = 'public'::regnamespace and proname like 'moodreel\_%');
  stranger text;
begin
  for stranger in
    select 'public' union all
    select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role')
  loop
    execute format('revoke all on %s from %s', tables, stranger);
    execute format('revoke all on %s from %s', sequences, stranger);
    execute format('revoke all on function %s from %s', functions, stranger);
    execute format('revoke all on schema moodreel from %s', stranger);
    execute format('revoke all on all tables in schema moodreel from %s', stranger);
    execute format('revoke all on all functions in schema moodreel from %s', stranger);
  end loop;
  if to_regrole('service_role') is not null then
    grant usage on schema public to service_role;
    execute format('grant select on %s to service_role', tables);
    execute format('grant execute on function %s to service_role', functions);
  end if;
end $$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
