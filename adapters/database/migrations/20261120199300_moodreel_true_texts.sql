-- What is kept stays true, whatever happens beside it.

set search_path = public, extensions;

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120199300'::text)
$$;

-- As before; and what is no curve, or too much for arithmetic, is none.
create or replace function moodreel.read_curve(curve jsonb, duration_s double precision) returns bytea
language plpgsql immutable parallel safe set search_path = pg_catalog as $$
declare
  moments constant integer := 64;
  times float8[];
  valences float8[];
  arousals float8[];
  last_place integer;
  place integer := 1;
  moment float8;
  share float8;
  course bytea := decode(repeat('80', 2 * moments), 'hex');
begin
  if jsonb_typeof(curve) is distinct from 'array' then
    return '';
  end if;
  select array_agg(time_s order by time_s), array_agg(valence order by time_s),
    array_agg(arousal order by time_s)
  into times, valences, arousals
  from jsonb_to_recordset(curve) as p (time_s float8, valence float8, arousal float8)
  where time_s >= 0 and valence between -1 and 1 and arousal between -1 and 1;
  last_place := coalesce(cardinality(times), 0);
  if last_place = 0 then
    return '';
  end if;
  for number in 0 .. moments - 1 loop
    moment := (number + 0.5) / moments * greatest(duration_s, times[last_place]);
    while place < last_place and times[place + 1] <= moment loop
      place := place + 1;
    end loop;
    share := case when place = last_place or moment <= times[place] then 0
      else (moment - times[place]) / (times[place + 1] - times[place]) end;
    course := set_byte(course, 2 * number, 128 + round(127 * (valences[place]
      + share * (valences[least(place + 1, last_place)] - valences[place])))::integer);
    course := set_byte(course, 2 * number + 1, 128 + round(127 * (arousals[place]
      + share * (arousals[least(place + 1, last_place)] - arousals[place])))::integer);
  end loop;
  return course;
exception when data_exception then
  return '';
end $$;

-- Folding what was kept before ---------------------------------------------------------------------

-- As before. is_refolded: the lines are those that were read a moment ago, which count only while
-- some of the kept ones are not folded.
create or replace function moodreel_save_transcript(request jsonb) returns jsonb
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
  if (request->>'is_refolded')::boolean and not exists (
    select from media_transcripts where media_item_id = item and words is null)
  then
    return 'false'; -- what was saved since is folded
  end if;
  delete from media_transcripts where media_item_id = item;
  insert into media_transcripts (media_item_id, position, start_s, end_s, text, words)
  select item, place - 1, (line->>0)::float8, (line->>1)::float8, line->>2,
    -- What is said goes on in the next line.
    setweight(moodreel.words(line->>3), 'A')
      || moodreel.words(coalesce(lead(line->>3) over (order by place), ''))
  from jsonb_array_elements(lines) with ordinality as listed (line, place);
  return 'true';
end $$;

-- {server, item_id, pipeline, item, texts}: of an analysis that was saved before there were any. One
-- that was saved since has its own; where the item has other names by now, or the analysis other
-- words, they are read and folded again.
create or replace function moodreel_put_texts(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  item bigint := moodreel.require_item(request);
  read media_items := jsonb_populate_record(null::media_items, request->'item');
begin
  perform from media_items where id = item for update;
  if (select count(*) from media_texts t where t.media_item_id = item and t.position = -1) < 2
    and exists (
      select from media_items i join media_analyses a on a.media_item_id = i.id
      where i.id = item and a.pipeline = request->>'pipeline'
        and (i.title, i.overview, i.year, i.genres, i.keywords, i.series, i.season_number,
            i.episode_number, i.artist, i.album)
          is not distinct from (read.title, read.overview, read.year, read.genres, read.keywords,
            read.series, read.season_number, read.episode_number, read.artist, read.album))
  then
    perform moodreel.put_texts(item, request);
  end if;
  return 'true';
end $$;

-- What is found ------------------------------------------------------------------------------------

-- As before. What was deleted takes no place among the surest.
create or replace function moodreel_find_labels(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  wanted bigint[] := moodreel.wanted_items(request->'filters');
  amount integer := (request->>'limit')::integer;
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_array(i.server, i.item_id, best.label, best.score)
      order by best.score desc, i.id), '[]')
    from jsonb_array_elements_text(request->'labels') as asked (label)
    cross join lateral (
      select found.media_item_id, asked.label, max(found.score) as score
      from (
        select media_item_id, score from media_tags where label = asked.label
        union all
        select media_item_id, score from media_moods where label = asked.label) found
      join media_items known on known.id = found.media_item_id and known.state <> 'deleted'
      where wanted is null or found.media_item_id = any(wanted)
      group by found.media_item_id order by 3 desc, 1 limit amount) best
    join media_items i on i.id = best.media_item_id);
end $$;

-- What people said ---------------------------------------------------------------------------------

-- What was said of an item goes along with its new name; where both have a word, the new one's stays.
alter function moodreel_adopt(jsonb) set schema moodreel;
alter function moodreel.moodreel_adopt(jsonb) rename to adopt_item;
create function moodreel_adopt(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  named jsonb := request->'item'->'ref';
begin
  perform moodreel.adopt_item(request);
  if request->>'server' = named->>'server' and request->>'item_id' = named->>'item_id' then
    return 'true';
  end if;
  with former as (
    delete from moodreel.votes
    where server = request->>'server' and item_id = request->>'item_id' returning *)
  insert into moodreel.votes
    (server, item_id, subject, label, voter, library, is_right, voted_at)
  select named->>'server', named->>'item_id', subject, label, voter, library, is_right, voted_at
  from former
  on conflict do nothing;
  return 'true';
end $$;

-- Vectors of queries -------------------------------------------------------------------------------

-- As before, and so many with the new one. Without a vector, what may not be kept goes.
create or replace function moodreel_remember_text(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  delete from moodreel.text_vectors
  where made_at <= now() - make_interval(secs => (request->>'kept_s')::double precision)
    or made_at <= (
      select made_at from moodreel.text_vectors
      order by made_at desc offset greatest(0, (request->>'kept_count')::integer - 1) limit 1);
  insert into moodreel.text_vectors (model, digest, vector)
  select request->>'model', request->>'digest', array_agg(number::real order by place)
  from jsonb_array_elements_text(request->'vector') with ordinality as v (number, place)
  where request ? 'vector'
  having count(*) > 0
  on conflict (model, digest) do update set vector = excluded.vector, made_at = excluded.made_at;
  select 'true'::jsonb
$$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
