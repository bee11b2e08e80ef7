-- Where Moodreel keeps what it found. Plain SQL for PostgreSQL 15 and newer with pgvector 0.7.
--
-- The tables live in "public", where Supabase Studio shows them first. What keeps strangers out
-- is not the schema: row level security is on and has no policy, nobody but the owner and
-- service_role is granted anything, and whatever a project grants by default is taken back.
-- The whole API are functions (see the next file); "moodreel" holds their inner parts, and is
-- not among the schemas that Supabase exposes.

create schema if not exists extensions;
create extension if not exists vector with schema extensions;
create schema if not exists moodreel;
set search_path = public, extensions;

-- Hosted projects have these roles. Elsewhere they are made, if the owner of the database may.
do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values ('anon', ''), ('authenticated', ''), ('service_role', 'bypassrls'))
      as roles (name, options)
    where name not in (select rolname from pg_roles)
  loop
    begin
      execute format('create role %I nologin noinherit %s', wanted.name, wanted.options);
    exception
      when insufficient_privilege then
        raise notice 'role % was not made: %', wanted.name, sqlerrm;
      when duplicate_object or unique_violation then
        null; -- made a moment ago for another database of this server
    end;
  end loop;
end $$;

create table media_items (
  id bigint generated always as identity primary key,
  server text not null,
  item_id text not null,
  kind text not null default 'video',
  title text not null default '',
  revision text not null default '',
  overview text not null default '',
  year integer,
  genres text[] not null default '{}',
  keywords text[] not null default '{}',
  series text not null default '',
  season_number integer,
  episode_number integer,
  artist text not null default '',
  album text not null default '',
  duration_s double precision,
  added_at timestamptz,
  url text not null default '',
  state text not null default 'pending'
    check (state in ('pending', 'analyzed', 'failed', 'deleted')),
  reason text not null default '',
  token bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (server, item_id)
);
comment on table media_items is 'What the media servers hold, and how far each item has come.';
comment on column media_items.revision is 'Changes when the content does.';
comment on column media_items.reason is 'Why it failed.';
comment on column media_items.token is
  'The fencing token of the latest attempt: a write that carries an older one is refused.';
create index media_items_latest on media_items (updated_at desc, id desc);

create table media_analyses (
  media_item_id bigint primary key references media_items on delete cascade,
  token bigint not null,
  revision text not null,
  pipeline text not null,
  duration_s double precision not null,
  embedding_model text not null,
  media jsonb,
  shots jsonb not null,
  mood_curve jsonb not null,
  best_match jsonb,
  models text[] not null,
  missing_models text[] not null,
  warnings text[] not null,
  seconds jsonb not null,
  saved_at timestamptz not null
);
comment on table media_analyses is 'The current analysis of each item; its findings lie beside it.';
comment on column media_analyses.revision is 'Of the content that was analysed.';
comment on column media_analyses.pipeline is 'What made it: version, models and vocabulary.';
comment on column media_analyses.media is 'What a probe of the file said.';
comment on column media_analyses.seconds is 'Wall time per stage.';

create table media_scenes (
  media_item_id bigint not null references media_analyses on delete cascade,
  position integer not null,
  start_s double precision not null,
  end_s double precision not null,
  keyframe_s double precision not null,
  quality double precision not null,
  tags text[] not null,
  primary key (media_item_id, position)
);
comment on column media_scenes.keyframe_s is 'The time of the best frame.';

create table scene_embeddings (
  media_item_id bigint not null,
  position integer not null,
  model text not null,
  dimension integer not null,
  embedding halfvec not null,
  primary key (media_item_id, position),
  foreign key (media_item_id, position) references media_scenes on delete cascade
);
comment on table scene_embeddings is 'A unit vector for each scene. Only one model compares.';
-- Compressed and moved out of line, vectors take 2.6 times as long to scan (measured at 1152).
alter table scene_embeddings alter column embedding set storage plain;
create index scene_embeddings_model on scene_embeddings (model, dimension);

create table media_tags (
  media_item_id bigint not null references media_analyses on delete cascade,
  position integer not null,
  label text not null,
  kind text not null,
  score double precision not null,
  evidence jsonb not null,
  primary key (media_item_id, position)
);
comment on column media_tags.evidence is 'When, how surely, and by which model it was found.';
create index media_tags_label on media_tags (label);

create table media_moods (
  media_item_id bigint not null references media_analyses on delete cascade,
  position integer not null,
  label text not null,
  score double precision not null,
  valence double precision not null,
  arousal double precision not null,
  primary key (media_item_id, position)
);
create index media_moods_label on media_moods (label);

create table media_highlights (
  media_item_id bigint not null references media_analyses on delete cascade,
  position integer not null,
  start_s double precision not null,
  end_s double precision not null,
  peak_s double precision not null,
  score double precision not null,
  reasons text[] not null,
  primary key (media_item_id, position)
);

create table media_audio_analysis (
  media_item_id bigint primary key references media_analyses on delete cascade,
  loudness_dbfs double precision not null,
  dynamic_range_db double precision not null,
  tempo_bpm double precision,
  mode text not null,
  brightness_hz double precision not null,
  silence_ratio double precision not null,
  tags text[] not null,
  summary text not null,
  mood text not null,
  confidence double precision
);
comment on column media_audio_analysis.summary is 'What a captioner wrote of the sound.';

create table publications (
  media_item_id bigint not null references media_items on delete cascade,
  channel text not null,
  event_id text not null,
  state text not null check (state in ('sending', 'sent', 'failed')),
  receipt text not null default '',
  error text not null default '',
  claimed_at timestamptz not null default now(),
  settled_at timestamptz,
  primary key (media_item_id, channel)
);
comment on table publications is 'The ledger: which event of an item each channel was told last.';
comment on column publications.receipt is 'What the channel returned, such as a message id.';

create table published_events (
  sequence bigint generated always as identity primary key,
  id text not null unique,
  topic text not null,
  envelope jsonb not null,
  created_at timestamptz not null default now()
);
comment on table published_events is 'Event envelopes as they were published.';

-- Pieces of a document that is too large for one request. They are gone once it is saved, and
-- are worth nothing after a crash: the save is tried again.
create unlogged table moodreel.uploads (
  media_item_id bigint not null references media_items on delete cascade,
  upload_id uuid not null,
  position integer not null,
  piece text not null,
  primary key (media_item_id, upload_id, position)
);
alter table moodreel.uploads alter column piece set storage external;

-- What a library held before this moment is history, not news.
create table moodreel.installation (installed_at timestamptz not null default now());
insert into moodreel.installation default values;

-- Without a policy nobody but the owner and service_role sees a row.
alter table media_items enable row level security;
alter table media_analyses enable row level security;
alter table media_scenes enable row level security;
alter table scene_embeddings enable row level security;
alter table media_tags enable row level security;
alter table media_moods enable row level security;
alter table media_highlights enable row level security;
alter table media_audio_analysis enable row level security;
alter table publications enable row level security;
alter table published_events enable row level security;
alter table moodreel.uploads enable row level security;
alter table moodreel.installation enable row level security;
