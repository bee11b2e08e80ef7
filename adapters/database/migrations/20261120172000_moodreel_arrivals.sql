-- When webhooks came last, so that whoever waits for a card sees whether they come at all.

create table moodreel.webhook_arrivals (
  sender text primary key,
  taken_at timestamptz,
  refused_at timestamptz,
  refusal text not null default ''
);
comment on table moodreel.webhook_arrivals is
  'By sender: when a webhook of theirs was taken last, when one was refused, and why.';
alter table moodreel.webhook_arrivals enable row level security;

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120172000'::text)
$$;

-- Several web processes note what each saw: the latest counts.
create function moodreel_note_arrivals(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  with noted as (
    insert into moodreel.webhook_arrivals as known
    select a.sender, a.taken_at, a.refused_at, coalesce(a.refusal, '')
    from jsonb_to_recordset(request->'arrivals')
      as a (sender text, taken_at timestamptz, refused_at timestamptz, refusal text)
    on conflict (sender) do update set
      taken_at = greatest(known.taken_at, excluded.taken_at),
      refusal = case when excluded.refused_at >= coalesce(known.refused_at, '-infinity')
        then excluded.refusal else known.refusal end,
      refused_at = greatest(known.refused_at, excluded.refused_at)
    returning 1
  )
  select to_jsonb(count(*)) from noted
$$;

create function moodreel_list_arrivals(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(to_jsonb(a) order by a.sender), '[]') from moodreel.webhook_arrivals a
$$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
