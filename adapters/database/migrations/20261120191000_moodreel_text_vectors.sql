-- Vectors of what people searched for, so that the next one need not wait for the model.

create table moodreel.text_vectors (
  model text not null,
  digest text not null,
  vector real[] not null,
  made_at timestamptz not null default now(),
  primary key (model, digest)
);
comment on table moodreel.text_vectors is
  'Of texts only a digest is kept: what people search for is nobody''s business.';
create index text_vectors_made_at on moodreel.text_vectors (made_at);
alter table moodreel.text_vectors enable row level security;

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120191000'::text)
$$;

create function moodreel_recall_text(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb(v.vector) from moodreel.text_vectors v
  where v.model = request->>'model' and v.digest = request->>'digest'
    and v.made_at > now() - make_interval(secs => (request->>'kept_s')::double precision)
$$;

-- What is too old goes, and of what is more than may be kept the oldest.
create function moodreel_remember_text(request jsonb) returns jsonb
language sql security definer set search_path = public, extensions, pg_temp as $$
  delete from moodreel.text_vectors
  where made_at <= now() - make_interval(secs => (request->>'kept_s')::double precision)
    or made_at <= (
      select made_at from moodreel.text_vectors
      order by made_at desc offset (request->>'kept_count')::integer limit 1);
  insert into moodreel.text_vectors (model, digest, vector)
  select request->>'model', request->>'digest', array_agg(number::real order by place)
  from jsonb_array_elements_text(request->'vector') with ordinality as v (number, place)
  on conflict (model, digest) do update set vector = excluded.vector, made_at = excluded.made_at;
  select 'true'::jsonb
$$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
