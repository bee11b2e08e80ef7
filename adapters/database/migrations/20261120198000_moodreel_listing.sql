-- Items page by page: filtered as a search is, what changed last first.

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120198000'::text)
$$;

-- {filters, states, after, limit}: a page begins behind the item that the last one ended with, by
-- what that one's time and number were then. So nothing new moves a page: it comes before the first.
create function moodreel_list_items(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp as $$
declare
  wanted bigint[] := moodreel.wanted_items(request->'filters');
  states text[] := moodreel.texts(request->'states');
  amount integer := (request->>'limit')::integer;
  ended_with text[] := string_to_array(nullif(request->>'after', ''), '.');
  ended_at timestamptz := 'epoch'::timestamptz + ended_with[1]::bigint * interval '1 microsecond';
  ended_id bigint := ended_with[2]::bigint;
begin
  return (
    with page as (
      select i as item, row_number() over (order by i.updated_at desc, i.id desc) as place
      from media_items i
      where (wanted is null or i.id = any(wanted))
        and (i.state = any(states) or states = '{}' and i.state <> 'deleted')
        and (ended_id is null or (i.updated_at, i.id) < (ended_at, ended_id))
      order by i.updated_at desc, i.id desc
      limit amount + 1
    )
    select jsonb_build_object(
      'items', coalesce(jsonb_agg(moodreel.status_json(item) order by place)
        filter (where place <= amount), '[]'),
      'next', case when count(*) > amount then
        (select (extract(epoch from (item).updated_at) * 1000000)::bigint || '.' || (item).id
         from page where place = amount) end)
    from page);
end $$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
