-- Items are found by how their mood goes, and by the tags and moods that a query means.

set search_path = public, extensions;

-- A mood curve read at 64 moments, each in the middle of its part of the time: valence and arousal in
-- turn, a byte each, (byte - 128) / 127 from -1 to 1. A long curve is 20 kB of JSON, this 128 bytes.
-- Empty where there is none; whatever the curve is, an analysis is saved.
create function moodreel.read_curve(curve jsonb, duration_s double precision) returns bytea
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
end $$;

alter table media_analyses add column mood_course bytea not null
  generated always as (moodreel.read_curve(mood_curve, duration_s)) stored;
comment on column media_analyses.mood_course is
  'The mood curve at 64 moments: valence and arousal in turn, a byte each, 128 is 0.';

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120198500'::text)
$$;

-- {filters, after, limit} returns [number, server, item_id, course] of items that have a mood curve,
-- in order of their numbers, which begin behind the last one of the page before.
create function moodreel_load_curves(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  wanted bigint[] := moodreel.wanted_items(request->'filters');
begin
  return (
    select coalesce(jsonb_agg(
      jsonb_build_array(id, server, item_id, translate(encode(mood_course, 'base64'), E'\n', ''))
      order by id), '[]')
    from (
      select i.id, i.server, i.item_id, a.mood_course
      from media_items i join media_analyses a on a.media_item_id = i.id
      where i.state <> 'deleted' and i.id > (request->>'after')::bigint and a.mood_course <> ''
        and (wanted is null or i.id = any(wanted))
      order by i.id limit (request->>'limit')::integer) page);
end $$;

-- {labels, filters, limit} returns [server, item_id, label, score] of items that have these tags or
-- moods: of each label the surest.
create function moodreel_find_labels(request jsonb) returns jsonb
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
      where wanted is null or found.media_item_id = any(wanted)
      group by found.media_item_id order by 3 desc, 1 limit amount) best
    join media_items i on i.id = best.media_item_id and i.state <> 'deleted');
end $$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
