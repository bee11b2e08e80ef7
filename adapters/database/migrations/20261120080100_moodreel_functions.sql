-- The API: functions that take one jsonb and return one, called by name through psycopg or
-- PostgREST. They run with the rights of their owner, so that callers need none on the tables.
-- Errors carry an SQLSTATE that PostgREST turns into a status: PT404 unknown item, PT409 stale
-- fencing token, PT503 pieces of an upload are missing.

set search_path = public, extensions;

-- Inner parts ------------------------------------------------------------------------------------

create function moodreel.find_item(request jsonb) returns bigint
language sql stable as $$
  select id from media_items
  where server = request->>'server' and item_id = request->>'item_id'
$$;

create function moodreel.require_item(request jsonb) returns bigint
language plpgsql stable as $$
declare
  found_id bigint := moodreel.find_item(request);
begin
  if found_id is null then
    raise exception using errcode = 'PT404', message =
      format('unknown item %s/%s', request->>'server', request->>'item_id');
  end if;
  return found_id;
end $$;

-- Locks the item until the end of the transaction: what is written after it cannot be overtaken.
create function moodreel.fence(request jsonb) returns bigint
language plpgsql as $$
declare
  locked_id bigint := moodreel.require_item(request);
  current_token bigint;
begin
  select token into current_token from media_items where id = locked_id for update;
  if current_token is distinct from (request->>'token')::bigint then
    raise exception using errcode = 'PT409', message = format(
      'stale token %s for item %s/%s: %s is current',
      request->>'token', request->>'server', request->>'item_id', current_token);
  end if;
  return locked_id;
end $$;

create function moodreel.texts(list jsonb) returns text[]
language sql immutable as $$
  select coalesce(array_agg(value order by ordinality), '{}')
  from jsonb_array_elements_text(list) with ordinality
$$;

create function moodreel.item_json(item media_items) returns jsonb
language sql stable as $$
  select to_jsonb(item) - '{id,server,item_id,state,reason,token,created_at,updated_at}'::text[]
    || jsonb_build_object('ref', jsonb_build_object('server', item.server, 'item_id', item.item_id))
$$;

create function moodreel.status_json(item media_items) returns jsonb
language sql stable as $$
  select jsonb_build_object(
    'ref', jsonb_build_object('server', item.server, 'item_id', item.item_id),
    'title', item.title,
    'state', item.state,
    'revision', item.revision,
    'pipeline', coalesce(
      (select pipeline from media_analyses a where a.media_item_id = item.id), ''),
    'reason', item.reason,
    'updated_at', item.updated_at)
$$;

-- The row is there afterwards, locked, with what the server now says of the item.
create function moodreel.put_item(item jsonb) returns bigint
language sql as $$
  insert into media_items as m (
    server, item_id, kind, title, revision, overview, year, genres, keywords, series,
    season_number, episode_number, artist, album, duration_s, added_at, url)
  select
    item->'ref'->>'server', item->'ref'->>'item_id', r.kind, r.title, r.revision, r.overview,
    r.year, r.genres, r.keywords, r.series, r.season_number, r.episode_number, r.artist, r.album,
    r.duration_s, r.added_at, r.url
  from jsonb_populate_record(null::media_items, item) r
  on conflict (server, item_id) do update set (
    kind, title, revision, overview, year, genres, keywords, series, season_number,
    episode_number, artist, album, duration_s, added_at, url, updated_at
  ) = row(
    excluded.kind, excluded.title, excluded.revision, excluded.overview, excluded.year,
    excluded.genres, excluded.keywords, excluded.series, excluded.season_number,
    excluded.episode_number, excluded.artist, excluded.album, excluded.duration_s,
    excluded.added_at, excluded.url, now())
  returning m.id
$$;

create function moodreel.put_findings(item bigint, analysis jsonb) returns void
language plpgsql as $$
begin
  delete from scene_embeddings where media_item_id = item;
  delete from media_scenes where media_item_id = item;
  delete from media_tags where media_item_id = item;
  delete from media_moods where media_item_id = item;
  delete from media_highlights where media_item_id = item;
  delete from media_audio_analysis where media_item_id = item;

  insert into media_scenes
  select item, s.position, s.start_s, s.end_s, s.keyframe_s, s.quality, s.tags
  from jsonb_to_recordset(analysis->'scenes') as s (
    position integer, start_s float8, end_s float8, keyframe_s float8, quality float8,
    tags text[]);
  insert into scene_embeddings
  select item, v.position, analysis->>'embedding_model', vector_dims(v.embedding), v.embedding
  from (
    select (value->>'position')::integer, (value->>'embedding')::halfvec
    from jsonb_array_elements(analysis->'scenes') where value->>'embedding' is not null
  ) as v (position, embedding);
  insert into media_tags
  select item, t.position, t.label, t.kind, t.score, t.evidence
  from jsonb_to_recordset(analysis->'tags') as t (
    position integer, label text, kind text, score float8, evidence jsonb);
  insert into media_moods
  select item, m.position, m.label, m.score, m.valence, m.arousal
  from jsonb_to_recordset(analysis->'moods') as m (
    position integer, label text, score float8, valence float8, arousal float8);
  insert into media_highlights
  select item, h.position, h.start_s, h.end_s, h.peak_s, h.score, h.reasons
  from jsonb_to_recordset(analysis->'highlights') as h (
    position integer, start_s float8, end_s float8, peak_s float8, score float8, reasons text[]);
  insert into media_audio_analysis
  select item, a.loudness_dbfs, a.dynamic_range_db, a.tempo_bpm, a.mode, a.brightness_hz,
    a.silence_ratio, a.tags, a.summary, a.mood, a.confidence
  from jsonb_populate_record(null::media_audio_analysis, nullif(analysis->'audio', 'null')) a
  where nullif(analysis->'audio', 'null') is not null;
end $$;

-- Puts the pieces of an upload together, and takes them away.
create function moodreel.take_upload(item bigint, upload text, piece_count integer) returns jsonb
language plpgsql as $$
declare
  document text;
  found_count integer;
begin
  with taken as (
    delete from moodreel.uploads
    where media_item_id = item and upload_id = upload::uuid
    returning position, piece
  )
  select string_agg(piece, '' order by position), count(*) into document, found_count from taken;
  if found_count is distinct from piece_count then
    raise exception using errcode = 'PT503', message = format(
      'upload %s has %s of %s pieces', upload, found_count, piece_count);
  end if;
  return document::jsonb;
end $$;

-- Items ------------------------------------------------------------------------------------------

create function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120080100'::text)
$$;

create function moodreel_begin(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  begun_id bigint := moodreel.put_item(request->'item');
  new_token bigint;
begin
  delete from moodreel.uploads where media_item_id = begun_id;
  update media_items set token = token + 1, state = 'pending', reason = ''
  where id = begun_id returning token into new_token;
  return to_jsonb(new_token);
end $$;

create function moodreel_upload(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  insert into moodreel.uploads values (
    moodreel.fence(request), (request->>'upload_id')::uuid, (request->>'position')::integer,
    request->>'piece')
  returning 'true'::jsonb
$$;

create function moodreel_save(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  item bigint := moodreel.fence(request);
  analysis jsonb := coalesce(
    request->'analysis',
    moodreel.take_upload(item, request->>'upload_id', (request->>'piece_count')::integer));
begin
  perform moodreel.put_item(analysis->'item');
  update media_items set state = 'analyzed', reason = '' where id = item;
  insert into media_analyses as old
  select item, (request->>'token')::bigint, analysis->'item'->>'revision', a.pipeline,
    a.duration_s, a.embedding_model, nullif(a.media, 'null'), a.shots, a.mood_curve,
    nullif(a.best_match, 'null'), a.models, a.missing_models, a.warnings, a.seconds, now()
  from jsonb_populate_record(null::media_analyses, analysis) a
  on conflict (media_item_id) do update set (
    token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve,
    best_match, models, missing_models, warnings, seconds, saved_at
  ) = row(
    excluded.token, excluded.revision, excluded.pipeline, excluded.duration_s,
    excluded.embedding_model, excluded.media, excluded.shots, excluded.mood_curve,
    excluded.best_match, excluded.models, excluded.missing_models, excluded.warnings,
    excluded.seconds,
    -- The same attempt again: what was told with the first time stays true.
    case when old.token = excluded.token then old.saved_at else excluded.saved_at end);
  perform moodreel.put_findings(item, analysis);
  return 'true';
end $$;

create function moodreel_fail(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  item bigint;
begin
  if request->>'token' is not null then
    item := moodreel.fence(request);
  else
    insert into media_items (server, item_id)
    values (request->>'server', request->>'item_id')
    on conflict do nothing;
    item := moodreel.require_item(request);
  end if;
  -- What is gone stays gone: the usual reason of a failure without a token is that it is.
  update media_items set state = 'failed', reason = request->>'reason', updated_at = now()
  where id = item and (state <> 'deleted' or request->>'token' is not null);
  return 'true';
end $$;

create function moodreel_load(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb(a) - '{media_item_id,token,revision,saved_at}'::text[] || jsonb_build_object(
    'item', moodreel.item_json(i) || jsonb_build_object('revision', a.revision),
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

create function moodreel_saved_at(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb(saved_at) from media_analyses where media_item_id = moodreel.find_item(request)
$$;

create function moodreel_installed_at(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb(min(installed_at)) from moodreel.installation
$$;

create function moodreel_statuses(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(
    jsonb_agg(moodreel.status_json(i) || jsonb_build_object('index', asked.ordinality - 1)), '[]')
  from jsonb_array_elements(request->'refs') with ordinality as asked
  join media_items i on i.server = asked.value->>0 and i.item_id = asked.value->>1
$$;

create function moodreel_list_statuses(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(moodreel.status_json(i) order by i.updated_at desc, i.id desc), '[]')
  from (
    select * from media_items order by updated_at desc, id desc
    limit (request->>'limit')::integer
  ) i
$$;

-- A new token: an attempt that is under way would bring back what is gone.
create function moodreel_mark_deleted(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  update media_items set state = 'deleted', token = token + 1, updated_at = now()
  where server = request->>'server' and item_id = request->>'item_id';
  select 'true'::jsonb
$$;

-- Exact: every vector is compared. 41 ms for each query over 100,000 of 512 dimensions (measured).
create function moodreel_nearest_items(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
  with asked as materialized (
    select value::halfvec as embedding from jsonb_array_elements_text(request->'embeddings')
  ),
  best as materialized (
    select e.media_item_id, 1 - min(e.embedding <=> q.embedding) as score
    from scene_embeddings e cross join asked q
    where e.model = request->>'model'
      and e.dimension = (select min(vector_dims(embedding)) from asked)
    group by e.media_item_id
  ),
  nearest as (
    select i.server, i.item_id, i.title, b.score
    from best b join media_items i on i.id = b.media_item_id
    where i.state <> 'deleted'
      and b.score <> 'NaN' -- a vector of zeros points nowhere
      and (i.server, i.item_id) is distinct from (request->>'server', request->>'item_id')
    order by b.score desc, i.id
    limit (request->>'limit')::integer
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'ref', jsonb_build_object('server', n.server, 'item_id', n.item_id),
    'title', n.title, 'score', n.score) order by n.score desc), '[]')
  from nearest n
$$;

-- The ledger -------------------------------------------------------------------------------------

-- Jobs of one item never run at once: a row in "sending" was left by an attempt that died.
create function moodreel_claim_publication(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  item bigint := moodreel.require_item(request);
  entry publications;
begin
  insert into publications (media_item_id, channel, event_id, state)
  values (item, request->>'channel', request->>'event_id', 'sending')
  on conflict do nothing
  returning * into entry;
  if found then
    return jsonb_build_object('state', 'claimed', 'receipt', '');
  end if;
  select * into entry from publications
  where media_item_id = item and channel = request->>'channel' for update;
  if entry.event_id = request->>'event_id' and entry.state = 'sent' then
    return jsonb_build_object('state', 'sent', 'receipt', entry.receipt);
  end if;
  update publications
  set event_id = request->>'event_id', state = 'sending', error = '', claimed_at = now(),
    settled_at = null
  where media_item_id = item and channel = request->>'channel';
  return jsonb_build_object(
    'state',
    -- Without a receipt of anything earlier, what is doubtful may be the first of two messages.
    case when entry.state = 'sending'
        and (entry.event_id = request->>'event_id' or entry.receipt = '')
      then 'unknown' else 'claimed' end,
    'receipt', entry.receipt);
end $$;

create function moodreel_settle_publication(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  item bigint := moodreel.require_item(request);
begin
  insert into publications as p (
    media_item_id, channel, event_id, state, receipt, error, settled_at)
  values (
    item, request->>'channel', request->>'event_id',
    case when request->>'error' = '' then 'sent' else 'failed' end,
    request->>'receipt', request->>'error', now())
  on conflict (media_item_id, channel) do update set
    state = excluded.state,
    receipt = coalesce(nullif(excluded.receipt, ''), p.receipt),
    error = excluded.error,
    settled_at = excluded.settled_at
  where p.event_id = excluded.event_id;
  if not found then
    raise exception using errcode = 'PT409', message = format(
      'another event of %s/%s has been claimed for %s since', request->>'server',
      request->>'item_id', request->>'channel');
  end if;
  return 'true';
end $$;

create function moodreel_save_event(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  insert into published_events (id, topic, envelope)
  values (
    request->'envelope'->>'id', coalesce(request->'envelope'->>'topic', ''), request->'envelope')
  on conflict (id) do nothing;
  select 'true'::jsonb
$$;

create function moodreel_list_events(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(e.envelope order by e.sequence desc), '[]')
  from (
    select * from published_events order by sequence desc limit (request->>'limit')::integer
  ) e
$$;

create function moodreel_counts(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select jsonb_object_agg(noun, number) from (
    select 'items_' || s.state as noun, count(i.id) as number
    from unnest(array['pending', 'analyzed', 'failed', 'deleted']) as s (state)
    left join media_items i on i.state = s.state group by s.state
    union all select 'scenes', count(*) from media_scenes
    union all select 'embeddings', count(*) from scene_embeddings
    union all
    select 'publications_' || s.state, count(p.media_item_id)
    from unnest(array['sending', 'sent', 'failed']) as s (state)
    left join publications p on p.state = s.state group by s.state
    union all select 'events', count(*) from published_events
  ) counted
$$;

-- Who may do what --------------------------------------------------------------------------------

-- Every migration that makes a table or a function ends with a call of this. Hosted projects made
-- before 2026 grant everything in "public" to everybody by default; newer ones grant nothing.
create function moodreel.restrict_access() returns void
language plpgsql as $$
declare
  tables text := 'media_items, media_analyses, media_scenes, scene_embeddings, media_tags, '
    'media_moods, media_highlights, media_audio_analysis, publications, published_events';
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
    execute format(
      'revoke all on media_items_id_seq, published_events_sequence_seq from %s', stranger);
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
