-- What is kept of each scene grows: its best frames, a caption, how its vectors came to be, and a
-- vector each for the scene, for its best frame alone and for what is heard in it. And what the
-- eye and the ear say of the whole item.

set search_path = public, extensions;

alter table media_scenes
  add column frames jsonb not null default '[]',
  add column caption text not null default '',
  add column encoding jsonb;
comment on table media_scenes is 'Neighbouring shots that belong together.';
comment on column media_scenes.quality is 'Of the best frame: sharpness and exposure, 0 to 1.';
comment on column media_scenes.frames is 'The best frames with their quality, the best first.';
comment on column media_scenes.caption is 'What a language model sees in the best frame.';
comment on column media_scenes.encoding is
  'How its vectors came to be: model, dimension, device, frames, milliseconds, error.';

alter table scene_embeddings
  add column kind text not null default 'scene' check (kind in ('scene', 'keyframe', 'sound'));
alter table scene_embeddings alter column kind drop default;
alter table scene_embeddings drop constraint scene_embeddings_pkey;
alter table scene_embeddings add primary key (media_item_id, position, kind);
drop index scene_embeddings_model;
create index scene_embeddings_model on scene_embeddings (model, dimension, kind);
comment on table scene_embeddings is
  'Unit vectors of each scene. Only vectors of one model compare; kinds are searched apart.';
comment on column scene_embeddings.kind is
  'scene: the mean of its best frames; keyframe: the best frame alone; sound: what is heard.';

alter table media_highlights add column caption text not null default '';
comment on table media_highlights is 'Stretches worth jumping to, the best first.';
comment on column media_highlights.reasons is 'What was seen, heard or measured at its peak.';
comment on column media_highlights.caption is 'What a language model sees at its peak.';

alter table media_audio_analysis
  add column loudness_lufs double precision,
  add column loudness_range_lu double precision,
  add column key text not null default '',
  add column flatness double precision not null default 0,
  add column onset_rate_hz double precision not null default 0;
comment on table media_audio_analysis is 'What the ear says of the whole item.';
comment on column media_audio_analysis.loudness_dbfs is 'Mean RMS level; full scale is 0.';
comment on column media_audio_analysis.dynamic_range_db is
  'Between the 10th and the 95th percentile of short-time levels.';
comment on column media_audio_analysis.mode is 'major, minor, or empty where there is no key.';
comment on column media_audio_analysis.brightness_hz is 'Mean spectral centroid.';
comment on column media_audio_analysis.silence_ratio is 'Share of the time that is silent.';
comment on column media_audio_analysis.mood is 'The captioner''s word for the mood.';
comment on column media_audio_analysis.confidence is 'The captioner''s own, 0 to 1.';
comment on column media_audio_analysis.loudness_lufs is
  'Integrated loudness (ITU-R BS.1770, EBU R 128); null for silence.';
comment on column media_audio_analysis.loudness_range_lu is 'EBU Tech 3342.';
comment on column media_audio_analysis.key is 'The tonic; empty where there is no key.';
comment on column media_audio_analysis.flatness is '0 a tone, 1 white noise.';
comment on column media_audio_analysis.onset_rate_hz is 'Sounds that begin, a second.';

alter table media_analyses
  add column sound_embedding_model text not null default '',
  add column picture jsonb,
  add column comfort jsonb not null default '[]';
comment on column media_analyses.picture is 'Light, colour, palette and movement of the whole.';
comment on column media_analyses.comfort is 'Stretches that may hurt: flashing, sudden loudness.';

comment on column media_analyses.sound_embedding_model is
  'Whose sound vectors the scenes have; the same name as embedding_model means the same space.';
comment on column media_analyses.embedding_model is
  'Whose picture vectors the scenes have; empty without a model.';

comment on table media_tags is 'What is in an item, the surest first.';
comment on table media_moods is 'How an item feels, the surest first.';
comment on column media_moods.valence is '-1 unpleasant to 1 pleasant (Russell 1980).';
comment on column media_moods.arousal is '-1 calm to 1 excited.';

-- For Supabase Studio and reports: one row for each scene that a picture model has looked at. It
-- reads with the rights of whoever asks, so that what closes the tables closes it, too.
create view scene_clip_metadata with (security_invoker = on) as
  select
    i.server,
    i.item_id,
    i.title,
    s.position,
    s.start_s,
    s.end_s,
    s.keyframe_s,
    s.encoding->>'model' as model_name,
    (s.encoding->>'dimension')::integer as embed_dim,
    true as normalized,
    s.encoding->>'device' as device,
    s.quality as frame_quality,
    (s.encoding->>'frame_count')::integer as frame_count,
    (s.encoding->>'inference_ms')::double precision as inference_time_ms,
    a.saved_at as created_at,
    nullif(s.encoding->>'error', '') as error,
    exists (
      select from scene_embeddings e
      where e.media_item_id = s.media_item_id and e.position = s.position and e.kind = 'scene'
    ) as has_embedding
  from media_scenes s
  join media_analyses a on a.media_item_id = s.media_item_id
  join media_items i on i.id = s.media_item_id
  where s.encoding is not null;
comment on view scene_clip_metadata is
  'How each scene''s picture vectors came to be, and why one has none.';
comment on column scene_clip_metadata.model_name is 'The picture model.';
comment on column scene_clip_metadata.embed_dim is 'The length of its vectors.';
comment on column scene_clip_metadata.normalized is 'Always: vectors have length 1.';
comment on column scene_clip_metadata.device is 'cpu, cuda, openvino, ...';
comment on column scene_clip_metadata.frame_quality is 'Of the best frame, 0 to 1.';
comment on column scene_clip_metadata.frame_count is 'Frames of the scene that were encoded.';
comment on column scene_clip_metadata.inference_time_ms is 'Of all of them.';
comment on column scene_clip_metadata.error is 'Why frames of it have no vector.';

-- Inner parts ------------------------------------------------------------------------------------

create or replace function moodreel.put_findings(item bigint, analysis jsonb) returns void
language plpgsql as $$
begin
  delete from scene_embeddings where media_item_id = item;
  delete from media_scenes where media_item_id = item;
  delete from media_tags where media_item_id = item;
  delete from media_moods where media_item_id = item;
  delete from media_highlights where media_item_id = item;
  delete from media_audio_analysis where media_item_id = item;

  insert into media_scenes (
    media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  select item, s.position, s.start_s, s.end_s, s.keyframe_s, s.quality, s.tags, s.frames,
    s.caption, nullif(s.encoding, 'null')
  from jsonb_to_recordset(analysis->'scenes') as s (
    position integer, start_s float8, end_s float8, keyframe_s float8, quality float8,
    tags text[], frames jsonb, caption text, encoding jsonb);
  -- Kind after kind: a search reads the pages of its own kind, and few others.
  insert into scene_embeddings (media_item_id, position, kind, model, dimension, embedding)
  select item, v.position, v.kind,
    case v.kind when 'sound' then analysis->>'sound_embedding_model'
      else analysis->>'embedding_model' end,
    vector_dims(v.embedding), v.embedding
  from (
    select kinds.name, (pair->>0)::integer, (pair->>1)::halfvec
    from jsonb_each(analysis->'vectors') as kinds (name, pairs),
      jsonb_array_elements(kinds.pairs) as pair
  ) as v (kind, position, embedding);
  insert into media_tags (media_item_id, position, label, kind, score, evidence)
  select item, t.position, t.label, t.kind, t.score, t.evidence
  from jsonb_to_recordset(analysis->'tags') as t (
    position integer, label text, kind text, score float8, evidence jsonb);
  insert into media_moods (media_item_id, position, label, score, valence, arousal)
  select item, m.position, m.label, m.score, m.valence, m.arousal
  from jsonb_to_recordset(analysis->'moods') as m (
    position integer, label text, score float8, valence float8, arousal float8);
  insert into media_highlights (
    media_item_id, position, start_s, end_s, peak_s, score, reasons, caption)
  select item, h.position, h.start_s, h.end_s, h.peak_s, h.score, h.reasons, h.caption
  from jsonb_to_recordset(analysis->'highlights') as h (
    position integer, start_s float8, end_s float8, peak_s float8, score float8, reasons text[],
    caption text);
  insert into media_audio_analysis (
    media_item_id, loudness_dbfs, dynamic_range_db, loudness_lufs, loudness_range_lu, tempo_bpm,
    key, mode, brightness_hz, flatness, onset_rate_hz, silence_ratio, tags, summary, mood,
    confidence)
  select item, a.loudness_dbfs, a.dynamic_range_db, a.loudness_lufs, a.loudness_range_lu,
    a.tempo_bpm, a.key, a.mode, a.brightness_hz, a.flatness, a.onset_rate_hz, a.silence_ratio,
    a.tags, a.summary, a.mood, a.confidence
  from jsonb_populate_record(null::media_audio_analysis, nullif(analysis->'audio', 'null')) a
  where nullif(analysis->'audio', 'null') is not null;
end $$;

-- Items ------------------------------------------------------------------------------------------

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120104600'::text)
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
    media_item_id, token, revision, pipeline, duration_s, embedding_model, sound_embedding_model,
    media, shots, mood_curve, picture, comfort, best_match, models, missing_models, warnings,
    seconds, saved_at)
  select item, (request->>'token')::bigint, analysis->'item'->>'revision', a.pipeline,
    a.duration_s, a.embedding_model, a.sound_embedding_model, nullif(a.media, 'null'), a.shots,
    a.mood_curve, nullif(a.picture, 'null'), a.comfort, nullif(a.best_match, 'null'), a.models,
    a.missing_models, a.warnings, a.seconds, now()
  -- Without the vectors, of which there are megabytes.
  from jsonb_populate_record(null::media_analyses, analysis - '{vectors,scenes}'::text[]) a
  on conflict (media_item_id) do update set (
    token, revision, pipeline, duration_s, embedding_model, sound_embedding_model, media, shots,
    mood_curve, picture, comfort, best_match, models, missing_models, warnings, seconds, saved_at
  ) = row(
    excluded.token, excluded.revision, excluded.pipeline, excluded.duration_s,
    excluded.embedding_model, excluded.sound_embedding_model, excluded.media, excluded.shots,
    excluded.mood_curve, excluded.picture, excluded.comfort, excluded.best_match,
    excluded.models, excluded.missing_models, excluded.warnings, excluded.seconds,
    -- The same attempt again: what was told with the first time stays true.
    case when old.token = excluded.token then old.saved_at else excluded.saved_at end);
  perform moodreel.put_findings(item, analysis);
  return 'true';
end $$;

-- Exact: every scene's vector is compared. 41 ms for each query over 100,000 of 512 dimensions
-- (measured). Vectors of sounds and of single frames stay out of it, even where a joint model
-- put all of them into one space.
create or replace function moodreel_nearest_items(request jsonb) returns jsonb
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
      and e.kind = 'scene'
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
    union all select 'events', count(*) from published_events
  ) counted
$$;

-- Who may do what --------------------------------------------------------------------------------

create or replace function moodreel.restrict_access() returns void
language plpgsql as $$
declare
  tables text := 'media_items, media_analyses, media_scenes, scene_embeddings, media_tags, '
    'media_moods, media_highlights, media_audio_analysis, publications, published_events, '
    'scene_clip_metadata';
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
