-- Standing queries, and what people say of what was found.
--
-- Both lie in the inner schema: they are the owner's word, not findings, and no program reads them
-- but through functions. A vote carries its library and no reference: what was learnt from an item
-- stays when the item goes.

set search_path = public, extensions;

create table moodreel.triggers (
  name text primary key,
  definition jsonb not null,
  updated_at timestamptz not null default now()
);
comment on table moodreel.triggers is 'Standing queries: what is new and matches one is told of.';
alter table moodreel.triggers enable row level security;

create table moodreel.votes (
  server text not null,
  item_id text not null,
  subject text not null check (subject in ('tag', 'highlight', 'result')),
  label text not null,
  voter text not null,
  library text not null,
  is_right boolean not null,
  voted_at timestamptz not null default now(),
  primary key (server, item_id, subject, label, voter)
);
comment on table moodreel.votes is 'What people said of tags, highlights and results.';
alter table moodreel.votes enable row level security;

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120193000'::text)
$$;

-- Standing queries ---------------------------------------------------------------------------------

create function moodreel_save_trigger(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  insert into moodreel.triggers (name, definition)
  values (request->>'name', request->'definition')
  on conflict (name) do update set
    definition = excluded.definition, updated_at = excluded.updated_at
  returning 'true'::jsonb
$$;

create function moodreel_list_triggers(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(definition order by name collate "C"), '[]') from moodreel.triggers
$$;

create function moodreel_remove_trigger(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  with removed as (delete from moodreel.triggers where name = request->>'name' returning 1)
  select to_jsonb(exists (select from removed))
$$;

-- Votes --------------------------------------------------------------------------------------------

-- Whether it is news: the same word of the same voter changes nothing.
create function moodreel_cast_vote(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  with cast_now as (
    insert into moodreel.votes as known
      (server, item_id, subject, label, voter, library, is_right)
    values (request->>'server', request->>'item_id', request->>'subject', request->>'label',
      request->>'voter', request->>'library', (request->>'is_right')::boolean)
    on conflict (server, item_id, subject, label, voter) do update set
      is_right = excluded.is_right, library = excluded.library, voted_at = excluded.voted_at
    where known.is_right <> excluded.is_right
    returning 1)
  select to_jsonb(exists (select from cast_now))
$$;

create function moodreel_count_votes(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(to_jsonb(counted)
    order by library collate "C", subject collate "C", label collate "C"), '[]')
  from (
    select library, subject, label, count(*) filter (where is_right) as "right",
      count(*) filter (where not is_right) as wrong
    from moodreel.votes
    where request->>'library' is null or library = request->>'library'
    group by library, subject, label) counted
$$;

create function moodreel_forget_votes(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  with forgotten as (
    delete from moodreel.votes
    where request->>'library' is null or library = request->>'library' returning 1)
  select to_jsonb(count(*)) from forgotten
$$;

-- Copying ------------------------------------------------------------------------------------------

-- What copies findings and ledgers moves inside; what copies the owner's word stands before it.
alter function moodreel_copy_list(jsonb) set schema moodreel;
alter function moodreel.moodreel_copy_list(jsonb) rename to list_copied_results;
alter function moodreel_copy_take(jsonb) set schema moodreel;
alter function moodreel.moodreel_copy_take(jsonb) rename to take_copied_results;
alter function moodreel_copy_put(jsonb) set schema moodreel;
alter function moodreel.moodreel_copy_put(jsonb) rename to put_copied_results;

create function moodreel.vote_key(vote moodreel.votes) returns jsonb
language sql immutable as $$
  select jsonb_build_array(vote.server, vote.item_id, vote.subject, vote.label, vote.voter)
$$;

create function moodreel.list_triggers(keys jsonb, after text, size integer)
returns table (place jsonb, key jsonb, parts jsonb)
language sql stable as $$
  select jsonb_build_array(t.name), jsonb_build_array(t.name), jsonb_build_array(moodreel.part(
    'trigger', t.updated_at, to_jsonb(t), '{"triggers": 1}'))
  from moodreel.triggers t
  where case when keys is null then t.name > after
    else t.name in (select asked->>0 from jsonb_array_elements(keys) as asked) end
  order by t.name limit case when keys is null then size end
$$;

create function moodreel.list_votes(keys jsonb, after jsonb, size integer)
returns table (place jsonb, key jsonb, parts jsonb)
language sql stable as $$
  select moodreel.vote_key(v), moodreel.vote_key(v), jsonb_build_array(moodreel.part(
    'vote', v.voted_at, to_jsonb(v), '{"votes": 1}'))
  from moodreel.votes v
  where case
    when keys is not null then (v.server, v.item_id, v.subject, v.label, v.voter) in (
      select asked->>0, asked->>1, asked->>2, asked->>3, asked->>4
      from jsonb_array_elements(keys) as asked)
    when after is null then true
    else (v.server, v.item_id, v.subject, v.label, v.voter)
      > (after->>0, after->>1, after->>2, after->>3, after->>4) end
  order by v.server, v.item_id, v.subject, v.label, v.voter
  limit case when keys is null then size end
$$;

create function moodreel_copy_list(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set timezone = 'UTC' set statement_timeout = '60s' as $$
declare
  keys jsonb := request->'keys';
  size integer := (request->>'limit')::integer;
  listed jsonb;
begin
  case request->>'kind'
    when 'triggers' then
      select jsonb_agg(jsonb_build_array(place, key, parts) order by place->>0) into listed
      from moodreel.list_triggers(keys, coalesce(request->'after'->>0, ''), size);
    when 'votes' then
      select jsonb_agg(jsonb_build_array(place, key, parts)
        order by place->>0, place->>1, place->>2, place->>3, place->>4) into listed
      from moodreel.list_votes(keys, nullif(request->'after', 'null'), size);
    else
      return moodreel.list_copied_results(request);
  end case;
  return coalesce(listed, '[]');
end $$;

create function moodreel_copy_take(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set timezone = 'UTC' set statement_timeout = '60s' as $$
declare
  taken jsonb;
begin
  case request->>'kind'
    when 'triggers' then
      select jsonb_agg(to_jsonb(t)) into taken
      from jsonb_array_elements(request->'keys') as asked
      join moodreel.triggers t on t.name = asked->>0;
    when 'votes' then
      select jsonb_agg(to_jsonb(v)) into taken
      from jsonb_array_elements(request->'keys') as asked
      join moodreel.votes v on v.server = asked->>0 and v.item_id = asked->>1
        and v.subject = asked->>2 and v.label = asked->>3 and v.voter = asked->>4;
    else
      return moodreel.take_copied_results(request);
  end case;
  return coalesce(taken, '[]');
end $$;

-- What is newer here stays.
create function moodreel_copy_put(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
begin
  case request->>'kind'
    when 'triggers' then
      insert into moodreel.triggers as known
      select r.* from jsonb_populate_recordset(null::moodreel.triggers, request->'entries') r
      on conflict (name) do update set
        definition = excluded.definition, updated_at = excluded.updated_at
      where known.updated_at <= excluded.updated_at;
    when 'votes' then
      insert into moodreel.votes as known
      select r.* from jsonb_populate_recordset(null::moodreel.votes, request->'entries') r
      on conflict (server, item_id, subject, label, voter) do update set
        library = excluded.library, is_right = excluded.is_right, voted_at = excluded.voted_at
      where known.voted_at <= excluded.voted_at;
    else
      return moodreel.put_copied_results(request);
  end case;
  return 'true';
end $$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
