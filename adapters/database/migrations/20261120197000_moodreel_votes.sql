-- Votes that are taken back, votes of guests, and what people say of results.
--
-- A guest is whoever opened a link on a card: nobody knows who that is, so an item takes the word of
-- so many and no more.

set search_path = public, extensions;

create index votes_on_results on moodreel.votes (label) where subject = 'result';

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120197000'::text)
$$;

-- Whether it is news: the same word of the same voter changes nothing. Null: it was not taken, since
-- the item has as many guests as it may have, and this voter is none of them.
create or replace function moodreel_cast_vote(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  guest_limit integer := (request->>'guest_limit')::integer;
begin
  if guest_limit is not null then
    -- One at a time: of two that come at once only one is the last.
    perform pg_advisory_xact_lock(hashtextextended(
      format('moodreel votes %s/%s', request->>'server', request->>'item_id'), 0));
    if (select count(distinct voter) filter (where voter like 'guest/%') >= guest_limit
          and bool_and(voter <> request->>'voter')
        from moodreel.votes
        where server = request->>'server' and item_id = request->>'item_id')
    then
      return 'null';
    end if;
  end if;
  insert into moodreel.votes as known
    (server, item_id, subject, label, voter, library, is_right)
  values (request->>'server', request->>'item_id', request->>'subject', request->>'label',
    request->>'voter', request->>'library', (request->>'is_right')::boolean)
  on conflict (server, item_id, subject, label, voter) do update set
    is_right = excluded.is_right, library = excluded.library, voted_at = excluded.voted_at
  where known.is_right <> excluded.is_right;
  return to_jsonb(found);
end $$;

create function moodreel_withdraw_vote(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  with withdrawn as (
    delete from moodreel.votes
    where server = request->>'server' and item_id = request->>'item_id'
      and subject = request->>'subject' and label = request->>'label'
      and voter = request->>'voter'
    returning 1)
  select to_jsonb(exists (select from withdrawn))
$$;

create function moodreel_item_votes(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object(
      'ref', jsonb_build_object('server', server, 'item_id', item_id), 'subject', subject,
      'label', label, 'is_right', is_right, 'library', library, 'voter', voter)
    order by subject collate "C", label collate "C", voter collate "C"), '[]')
  from moodreel.votes
  where server = request->>'server' and item_id = request->>'item_id'
$$;

-- By how many more each item was confirmed than rejected as a result of one query.
create function moodreel_result_votes(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_array(
    jsonb_build_object('server', server, 'item_id', item_id), balance)), '[]')
  from (
    select server, item_id, sum(case when is_right then 1 else -1 end) as balance
    from moodreel.votes
    where subject = 'result' and label = request->>'label'
    group by server, item_id) judged
$$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
