-- Tags and moods in new words, over an analysis that stays as it is otherwise.

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120194000'::text)
$$;

-- The moment at which the analysis was saved is the token: one that was saved since has looked at
-- the content anew, and knows better. Vectors, highlights, what was told and when stay untouched.
-- Scenes may come in several calls, those before the last without findings: until the last one the
-- analysis counts as outdated, and whoever was interrupted begins again.
create function moodreel_retell(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  item bigint := moodreel.require_item(request);
  findings jsonb := nullif(request->'findings', 'null');
  stored timestamptz;
begin
  perform from media_items where id = item for update;
  select saved_at into stored from media_analyses where media_item_id = item;
  if stored is distinct from (request->>'saved_at')::timestamptz then
    raise exception using errcode = 'PT409', message = format(
      'item %s/%s was analysed again, or is gone, since it was looked at',
      request->>'server', request->>'item_id');
  end if;
  update media_scenes s set tags = t.tags
  from jsonb_to_recordset(request->'scenes') as t (position integer, tags text[])
  where s.media_item_id = item and s.position = t.position and s.tags is distinct from t.tags;
  -- Texts come folded; an item that was never folded is folded as a whole when it is.
  if exists (
    select from media_texts t
    where t.media_item_id = item and t.channel = 'lexical' and t.position = -1)
  then
    delete from media_texts t using jsonb_to_recordset(request->'scenes') as s (position integer)
    where t.media_item_id = item and t.channel = 'lexical' and t.position = s.position;
    insert into media_texts (media_item_id, channel, position, found)
    select item, 'lexical', (entry->>0)::integer, moodreel.words(entry->>1)
    from jsonb_array_elements(request->'texts') as entry
    on conflict (media_item_id, channel, position) do update set found = excluded.found;
  end if;
  if findings is not null then
    update media_analyses
    set pipeline = findings->>'pipeline', mood_curve = findings->'mood_curve'
    where media_item_id = item;
    delete from media_tags where media_item_id = item;
    insert into media_tags (media_item_id, position, label, kind, score, evidence)
    select item, t.position, t.label, t.kind, t.score, t.evidence
    from jsonb_to_recordset(findings->'tags') as t (
      position integer, label text, kind text, score float8, evidence jsonb);
    delete from media_moods where media_item_id = item;
    insert into media_moods (media_item_id, position, label, score, valence, arousal)
    select item, m.position, m.label, m.score, m.valence, m.arousal
    from jsonb_to_recordset(findings->'moods') as m (
      position integer, label text, score float8, valence float8, arousal float8);
    update media_audio_analysis set tags = moodreel.texts(findings->'heard')
    where media_item_id = item;
  end if;
  return 'true';
end $$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
