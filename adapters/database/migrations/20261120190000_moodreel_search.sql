-- Scenes are found: by what is said, by what is written of them, by names and tags, by vectors.
--
-- Texts are folded before they come here (case, accents, scripts without blanks: see
-- service/folding.py), and what is asked is folded alike. So a word is what stands between two
-- blanks, in any language and whatever the locale of the database: its own parser takes no part.

set search_path = public, extensions;

-- Inner parts: words -------------------------------------------------------------------------------

-- Words at their places. A vertical line stands between fields: it is no word, and no phrase goes
-- across it. Where a row of pairs of letters ends (of three bytes each, as Chinese is written), its
-- last letter is a word, too: so every single letter is the beginning of a word.
create function moodreel.words(folded text) returns tsvector
language sql immutable parallel safe set search_path = pg_catalog as $$
  with listed as (
    select word, least(place, 16383) as place, lead(word) over (order by place) as following
    from unnest(string_to_array(folded, ' ')) with ordinality as cut (word, place)
  )
  select coalesce(string_agg(
    '''' || regexp_replace(word, '([''\\])', '\1\1', 'g') || ''':' || place, ' '), '')::tsvector
  from (
    select word, place from listed where word not in ('', '|')
    union all
    select right(word, 1), place from listed
    where length(word) = 2 and octet_length(word) >= 6
      and right(word, 1) is distinct from left(following, 1)
  ) spelt
$$;

-- What Python's fold makes of a text of ASCII letters alone; null for any other.
create function moodreel.fold_ascii(shown text) returns text
language sql immutable parallel safe set search_path = pg_catalog as $$
  select case when octet_length(shown) = length(shown) then btrim(regexp_replace(regexp_replace(
    regexp_replace(translate(lower(shown collate "C"), '`', ''''),
      '([a-z])''(?=(t|s|d|m|re|ve|ll)(?![a-z0-9_]))', '\1', 'g'),
    '[^a-z0-9]+', ' ', 'g'), '([a-z0-9]{64})[a-z0-9]+', '\1', 'g')) end
$$;

create table media_texts (
  media_item_id bigint not null references media_analyses on delete cascade,
  channel text not null check (channel in ('summary', 'lexical')),
  position integer not null,
  named tsvector not null default '',
  found tsvector not null default '',
  words tsvector not null generated always as (setweight(named, 'A') || found) stored,
  primary key (media_item_id, channel, position)
);
comment on table media_texts is 'By which words each item and its scenes are found.';
comment on column media_texts.channel is
  'summary: overview, captions, what was heard; lexical: names, tags, moods.';
comment on column media_texts.position is 'Of the scene; -1 for the item as a whole.';
comment on column media_texts.named is 'What its server says.';
comment on column media_texts.found is 'What was found in it.';
comment on column media_texts.words is 'Both: folded words at their places.';

alter table media_transcripts add column words tsvector;
comment on column media_transcripts.words is
  'Folded words of the line (A) and of the next one (D); null where nobody folded it yet.';

alter table media_texts enable row level security;

-- Two models may live side by side.
alter table scene_embeddings drop constraint scene_embeddings_pkey;
alter table scene_embeddings add primary key (media_item_id, position, kind, model);

-- What was found before can be found now, as far as it is ASCII; `moodreel index build` folds the
-- rest. An item is folded once it has both rows as a whole.
create function moodreel.fold_all(texts text[]) returns text
language sql immutable as $$
  select case when bool_and(folded is not null) then string_agg(folded, ' | ') end
  from (select moodreel.fold_ascii(t) as folded from unnest(texts) as t where t <> '') parts
$$;

insert into media_texts (media_item_id, channel, position, named, found)
select id, channel, -1, moodreel.words(named), moodreel.words(found)
from (
  select i.id, t.channel,
    coalesce(moodreel.fold_all(t.named), case when array_to_string(t.named, '') = '' then '' end)
      as named,
    coalesce(moodreel.fold_all(t.found), case when array_to_string(t.found, '') = '' then '' end)
      as found
  from media_items i join media_analyses a on a.media_item_id = i.id
  left join media_audio_analysis s on s.media_item_id = i.id
  cross join lateral (values
    ('lexical',
      array[i.title, i.series, i.album, i.artist, i.year::text,
        case when i.season_number >= 0 and i.episode_number >= 0 then
          's' || lpad(i.season_number::text, greatest(2, length(i.season_number::text)), '0')
          || 'e' || lpad(i.episode_number::text, greatest(2, length(i.episode_number::text)), '0')
          end] || i.genres || i.keywords,
      array(select label from media_tags m where m.media_item_id = i.id order by position)
        || array(select label from media_moods m where m.media_item_id = i.id order by position)
        || coalesce(s.mood || s.tags, '{}')),
    ('summary', array[i.title, i.series, i.overview],
      array[s.summary] || array(
        select caption from media_highlights h where h.media_item_id = i.id order by position))
  ) as t (channel, named, found)
) folded
where named is not null and found is not null;
insert into media_texts (media_item_id, channel, position, found)
select s.media_item_id, t.channel, s.position, moodreel.words(t.found)
from media_scenes s cross join lateral (values
  ('lexical', moodreel.fold_all(s.tags)), ('summary', moodreel.fold_all(array[s.caption]))
) as t (channel, found)
where t.found <> '';
delete from media_texts t using media_scenes s
where t.channel = 'summary' and t.position = -1 and s.media_item_id = t.media_item_id
  and moodreel.fold_ascii(s.caption || array_to_string(s.tags, ' ')) is null;
with folded as (
  select media_item_id, position, moodreel.fold_ascii(text) as own,
    moodreel.fold_ascii(lead(text, 1, '') over (partition by media_item_id order by position)) as next
  from media_transcripts
)
update media_transcripts t
set words = setweight(moodreel.words(own), 'A') || moodreel.words(next)
from folded f
where f.media_item_id = t.media_item_id and f.position = t.position
  and own is not null and next is not null;

create index media_texts_words on media_texts using gin (words);
create index media_transcripts_words on media_transcripts using gin (words);

-- Inner parts: what is kept ------------------------------------------------------------------------

-- The new names of an item that has texts; those that are analysed first get theirs with it.
create function moodreel.put_names(item bigint, document jsonb) returns void
language sql as $$
  update media_texts set named = moodreel.words(document->'texts'->>channel)
  where media_item_id = item and position = -1 and document->'texts' ? channel
$$;

-- What was found in an item by its words, in place of what was: [channel, position, text].
create function moodreel.put_found(item bigint, texts jsonb) returns void
language sql as $$
  delete from media_texts where media_item_id = item and position >= 0;
  insert into media_texts (media_item_id, channel, position, found)
  select item, entry->>0, (entry->>1)::integer, moodreel.words(entry->>2)
  from jsonb_array_elements(texts) as entry
  on conflict (media_item_id, channel, position) do update set found = excluded.found
$$;

-- All texts of an analysis. A worker that was started before there were any sends none.
create function moodreel.put_texts(item bigint, analysis jsonb) returns void
language sql as $$
  delete from media_texts where media_item_id = item;
  select moodreel.put_found(item, analysis->'texts');
  select moodreel.put_names(item, analysis->'item')
$$;

alter function moodreel.put_findings(bigint, jsonb) rename to put_rows_of_findings;
create function moodreel.put_findings(item bigint, analysis jsonb) returns void
language sql as $$
  select moodreel.put_rows_of_findings(item, analysis);
  select moodreel.put_texts(item, analysis)
$$;

alter function moodreel.put_item(jsonb) rename to put_row_of_item;
create function moodreel.put_item(item jsonb) returns bigint
language plpgsql as $$
declare
  put_id bigint := moodreel.put_row_of_item(item);
begin
  perform moodreel.put_names(put_id, item);
  return put_id;
end $$;

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
  delete from media_transcripts where media_item_id = item;
  insert into media_transcripts (media_item_id, position, start_s, end_s, text, words)
  select item, place - 1, (line->>0)::float8, (line->>1)::float8, line->>2,
    -- What is said goes on in the next line.
    setweight(moodreel.words(line->>3), 'A')
      || moodreel.words(coalesce(lead(line->>3) over (order by place), ''))
  from jsonb_array_elements(lines) with ordinality as listed (line, place);
  return 'true';
end $$;

create or replace function moodreel_load_transcript(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(
    jsonb_agg(to_jsonb(t) - '{media_item_id,position,words}'::text[] order by t.position), '[]')
  from media_transcripts t where t.media_item_id = moodreel.find_item(request)
$$;

-- Inner parts: what is copied ----------------------------------------------------------------------

-- By the table's own row type, so that columns of later migrations come along; what is computed
-- from others is computed here.
create or replace function moodreel.put_rows(target regclass, item bigint, entries jsonb)
returns void language plpgsql as $$
declare
  columns text := (
    select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
    where attrelid = target and attnum > 0 and not attisdropped and attgenerated = '');
begin
  execute format('delete from %s where media_item_id = $1', target) using item;
  execute format(
    'insert into %1$s (%2$s) select %2$s from jsonb_array_elements($2) as entry, '
    'jsonb_populate_record(null::%1$s, entry || jsonb_build_object(''media_item_id'', $1)) r',
    target, columns) using item, entries;
end $$;

create or replace function moodreel.copied_findings(item bigint) returns jsonb
language sql stable as $$
  select jsonb_build_object(
    'media_analyses', coalesce((
      select jsonb_agg(to_jsonb(a) - 'media_item_id')
      from media_analyses a where a.media_item_id = item), '[]'),
    'media_scenes', coalesce((
      select jsonb_agg(to_jsonb(s) - 'media_item_id' order by s.position)
      from media_scenes s where s.media_item_id = item), '[]'),
    'media_tags', coalesce((
      select jsonb_agg(to_jsonb(t) - 'media_item_id' order by t.position)
      from media_tags t where t.media_item_id = item), '[]'),
    'media_moods', coalesce((
      select jsonb_agg(to_jsonb(m) - 'media_item_id' order by m.position)
      from media_moods m where m.media_item_id = item), '[]'),
    'media_highlights', coalesce((
      select jsonb_agg(to_jsonb(h) - 'media_item_id' order by h.position)
      from media_highlights h where h.media_item_id = item), '[]'),
    'media_audio_analysis', coalesce((
      select jsonb_agg(to_jsonb(s) - 'media_item_id')
      from media_audio_analysis s where s.media_item_id = item), '[]'),
    'media_texts', coalesce((
      select jsonb_agg(to_jsonb(t) - '{media_item_id,words}'::text[]
        order by t.position, t.channel collate "C")
      from media_texts t where t.media_item_id = item), '[]'),
    'media_transcripts', coalesce((
      select jsonb_agg(to_jsonb(t) - 'media_item_id' order by t.position)
      from media_transcripts t where t.media_item_id = item), '[]'))
  where exists (select from media_analyses where media_item_id = item)
    or exists (select from media_transcripts where media_item_id = item)
$$;

create or replace function moodreel.copied_vectors(item bigint) returns jsonb
language sql stable as $$
  select coalesce(jsonb_agg(to_jsonb(e) - 'media_item_id'
    order by e.position, e.kind collate "C", e.model collate "C"), '[]')
  from scene_embeddings e where e.media_item_id = item
$$;

create or replace function moodreel.put_copied_findings(item bigint, document jsonb) returns void
language plpgsql as $$
declare
  analysis jsonb := document->'media_analyses'->0;
  saved timestamptz := coalesce((analysis->>'saved_at')::timestamptz, 'epoch');
  name text;
begin
  if exists (select from media_analyses where media_item_id = item and saved_at > saved) then
    return;
  end if;
  delete from media_analyses where media_item_id = item;
  -- In the order in which they refer to each other.
  foreach name in array '{media_analyses,media_scenes,scene_embeddings,media_tags,media_moods,
    media_highlights,media_audio_analysis,media_texts,media_transcripts}'::text[]
  loop
    perform moodreel.put_rows(
      format('public.%I', name)::regclass, item, coalesce(document->name, '[]'));
  end loop;
end $$;

create or replace function moodreel.findings_bytes(items bigint[]) returns bigint
language sql stable as $$
  select coalesce(sum(bytes), 0)::bigint from (
    select pg_column_size(t.*) from media_analyses t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_scenes t where media_item_id = any(items)
    union all select pg_column_size(t.*) from scene_embeddings t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_tags t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_moods t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_highlights t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_audio_analysis t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_texts t where media_item_id = any(items)
    union all select pg_column_size(t.*) from media_transcripts t where media_item_id = any(items)
  ) sizes (bytes)
$$;

-- Inner parts: what is asked -----------------------------------------------------------------------

create type moodreel.terms as (
  exact tsquery[],    -- each word as it stands
  loose tsquery[],    -- or as the beginning of a longer one, and without its plural
  weights float8[],   -- the rarer, the more
  phrase tsquery,     -- all of them, in a row
  every tsquery,      -- all of them, anywhere
  anyone tsquery      -- one of the rarer ones at least
);

create type moodreel.text_hit as (
  media_item_id bigint, "position" integer, score float8, is_exact boolean,
  start_s float8, end_s float8, snippet text
);

-- A word as a query says it: whole, and loosely. What is typed is often the beginning of a word
-- (three letters at least, else it is the beginning of too many), or its plural; a single letter of
-- a script without blanks stands at the beginning of a pair.
create function moodreel.query_word(word text, label text, is_loose boolean) returns text
language sql immutable parallel safe as $$
  select concat('''', regexp_replace(case
      when is_loose and length(word) > 3 and right(word, 1) = 's' then left(word, -1)
      else word end, '([''\\])', '\1\1', 'g'), ''':',
    case when is_loose and (length(word) >= 3 or length(word) = 1 and octet_length(word) >= 3)
      then '*' end, label)
$$;

-- What words weigh, and which of them find: those of at most so many rows, else the rarest. How many
-- rows a frequent word has was counted by the database itself when it last looked (pg_stats).
create function moodreel.read_terms(terms text, target regclass, label text) returns moodreel.terms
language plpgsql stable as $$
declare
  broad constant integer := 1000;
  row_count float8 := (select greatest(reltuples, 1) from pg_class where oid = target);
  asked text[] := (array_remove(string_to_array(terms, ' '), ''))[1:48];
  words text[] := (
    select array_agg(word order by place) from (
      select word, min(place) as place
      from unnest(asked) with ordinality as cut (word, place) group by word
      order by min(place) limit 24) firsts);
  counts float8[];
  number integer;
  counted float8;
  read moodreel.terms;
begin
  select array_agg(round(c.share * row_count) order by w.place) into counts
  from unnest(words) with ordinality as w (word, place)
  left join (
    select e.word, s.most_common_elem_freqs[e.place] as share
    from pg_stats s,
      unnest(s.most_common_elems::text::text[]) with ordinality as e (word, place)
    where s.schemaname = 'public' and s.attname = 'words'
      and s.tablename = (select relname from pg_class where oid = target)
      and e.word = any(words)
  ) c on c.word = w.word;
  read.exact := array(
    select moodreel.query_word(word, '', false)::tsquery
    from unnest(words) with ordinality as w (word, place) order by place);
  read.loose := array(
    select moodreel.query_word(word, '', true)::tsquery
    from unnest(words) with ordinality as w (word, place) order by place);
  for number in 1 .. cardinality(words) loop
    if counts[number] is null then
      execute format(
        'select count(*) from (select from %s where words @@ $1 limit %s) few', target, broad)
      into counted using moodreel.query_word(words[number], label, false)::tsquery;
      counts[number] := counted;
    end if;
  end loop;
  row_count := greatest(row_count, (select max(c) from unnest(counts) c));
  read.weights := array(
    select ln(1 + (row_count + 1) / (c + 0.5))
    from unnest(counts) with ordinality as l (c, place) order by place);
  read.phrase := (
    select string_agg(
      moodreel.query_word(word, case place when 1 then label else '' end,
        -- Where a query ends with a single letter of Chinese, the text may go on.
        place = cardinality(asked) and length(word) = 1), ' <-> ' order by place)::tsquery
    from unnest(asked) with ordinality as w (word, place));
  -- Of a single word it would say nothing new.
  read.every := (
    select case when cardinality(words) > 1 then string_agg(moodreel.query_word(word, '', true), ' & ')::tsquery
      && string_agg(moodreel.query_word(word, label, true), ' | ')::tsquery end
    from unnest(words) word);
  read.anyone := (
    select string_agg(moodreel.query_word(words[place], label, true), ' | ')::tsquery
    from (
      select place, rank() over (order by c) as place_by_count, c
      from unnest(counts) with ordinality as l (c, place)) ranked
    where c < broad or place_by_count = 1);
  return read;
end $$;

-- Inner parts: channels ----------------------------------------------------------------------------
-- Each takes the items that may be found (null: all), and those that may not. A text is as good as
-- the share of the query that is in it, by weight, then by how close together; what is said around
-- it (the next line, its whole item) counts for less. Exact hits are one better.

create function moodreel.search_transcript(
  terms text, items bigint[], without bigint[], amount integer)
returns setof moodreel.text_hit
language plpgsql stable rows 200
set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
declare
  asked moodreel.terms := moodreel.read_terms(terms, 'public.media_transcripts', 'A');
begin
  return query
  with found as materialized (
    (select media_item_id, position from media_transcripts t
      where words @@ asked.phrase and (items is null or media_item_id = any(items))
        and media_item_id <> all(without) limit amount)
    union (select media_item_id, position from media_transcripts t
      where words @@ asked.every and (items is null or media_item_id = any(items))
        and media_item_id <> all(without) limit 2 * amount)
    union (select media_item_id, position from media_transcripts t
      where words @@ asked.anyone and (items is null or media_item_id = any(items))
        and media_item_id <> all(without) limit 5 * amount)
  ),
  rated as (
    select t.*, said.share + 0.1 * (1 - 1 / (1 + ts_rank_cd(own.words, asked.anyone, 1)))
      + (t.words @@ asked.phrase)::integer as score
    from found f join media_transcripts t using (media_item_id, position)
    cross join lateral (select ts_filter(t.words, '{a}') as words) own
    cross join lateral (
      select sum(weight * case
          when own.words @@ exact then 1.0
          when own.words @@ loose then 0.7
          when t.words @@ exact then 0.4
          when t.words @@ loose then 0.3
          else 0.0 end) / sum(weight) as share
      from unnest(asked.exact, asked.loose, asked.weights) as w (exact, loose, weight)
    ) said
    order by score desc, media_item_id, position limit 3 * amount
  ),
  -- Of a scene the best line; a line in no scene is the item's.
  placed as (
    select distinct on (r.media_item_id, scene.position) r.*, scene.position as scene
    from rated r cross join lateral (
      select coalesce(max(s.position), -1) as position from media_scenes s
      where s.media_item_id = r.media_item_id and s.start_s <= (r.start_s + r.end_s) / 2
    ) scene
    order by r.media_item_id, scene.position, r.score desc, r.position
  )
  select p.media_item_id, p.scene, p.score, p.words @@ asked.phrase, p.start_s, p.end_s,
    left(p.text, 500)
  from placed p order by p.score desc, p.media_item_id, p.position limit amount;
end $$;

-- Of an item as a whole and of its scenes. What is asked may be said half of the scene, half of its
-- item: "rain in Casablanca".
create function moodreel.search_texts(
  wanted text, terms text, items bigint[], without bigint[], amount integer)
returns setof moodreel.text_hit
language plpgsql stable rows 200
set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
declare
  asked moodreel.terms := moodreel.read_terms(terms, 'public.media_texts', '');
begin
  return query
  with found as materialized (
    (select media_item_id, position from media_texts t
      where words @@ asked.phrase and channel = wanted
        and (items is null or media_item_id = any(items))
        and media_item_id <> all(without) limit amount)
    union (select media_item_id, position from media_texts t
      where words @@ asked.every and channel = wanted
        and (items is null or media_item_id = any(items))
        and media_item_id <> all(without) limit 2 * amount)
    union (select media_item_id, position from media_texts t
      where words @@ asked.anyone and channel = wanted
        and (items is null or media_item_id = any(items))
        and media_item_id <> all(without) limit 5 * amount)
  ),
  rated as (
    select t.media_item_id, t.position, t.words @@ asked.phrase as is_exact,
      said.share + 0.1 * (1 - 1 / (1 + ts_rank_cd(t.words, asked.anyone, 1)))
        + (t.words @@ asked.phrase)::integer as score
    from found f
    join media_texts t on t.media_item_id = f.media_item_id and t.channel = wanted
      and t.position = f.position
    left join media_texts whole on whole.media_item_id = f.media_item_id and whole.channel = wanted
      and whole.position = -1 and t.position >= 0
    cross join lateral (
      select sum(weight * case
          when t.words @@ exact then 1.0
          when t.words @@ loose then 0.7
          when whole.words @@ exact then 0.4
          when whole.words @@ loose then 0.3
          else 0.0 end) / sum(weight) as share
      from unnest(asked.exact, asked.loose, asked.weights) as w (exact, loose, weight)
    ) said
    order by score desc, media_item_id, position limit amount
  )
  select r.media_item_id, r.position, r.score, r.is_exact, s.start_s, s.end_s,
    left(case
      when r.position < 0 and wanted = 'lexical' then concat_ws(
        ' · ', nullif(i.series, ''), i.title, nullif(i.artist, ''), nullif(i.album, ''))
      when r.position < 0 then concat_ws(' — ', nullif(i.overview, ''), nullif(a.summary, ''))
      when wanted = 'lexical' then array_to_string(s.tags, ', ')
      else s.caption end, 500)
  from rated r join media_items i on i.id = r.media_item_id
  left join media_scenes s on s.media_item_id = r.media_item_id and s.position = r.position
  left join media_audio_analysis a on a.media_item_id = r.media_item_id
  order by r.score desc, r.media_item_id, r.position;
end $$;

-- The scenes that are nearest to a unit vector, the best first, by their cosine: the one place where
-- a search compares vectors. Here exactly, with all of their model, kind and dimension.
-- items: those that may be found; null: all that were not deleted.
create function moodreel.nearest(
  asked_model text, asked_kind text, asked halfvec, items bigint[], amount integer)
returns table (media_item_id bigint, "position" integer, score double precision)
language plpgsql stable rows 200 as $$
begin
  -- A vector of zeros points nowhere; it comes last.
  return query execute format(
    'select * from (select e.media_item_id, e.position, 1 - (e.embedding <=> $1) as score '
    'from scene_embeddings e where e.model = %L and e.kind = %L and e.dimension = %s and %s '
    'order by e.embedding <=> $1, e.media_item_id, e.position limit $3) n where score <> ''NaN''',
    asked_model, asked_kind, vector_dims(asked),
    case when items is null
      then 'e.media_item_id <> all(array(select id from media_items where state = ''deleted''))'
      else 'e.media_item_id = any($2)' end)
  using asked, items, amount;
end $$;

-- A scene is as near as the nearer of its two vectors of pictures.
create function moodreel.search_vectors(asked jsonb, items bigint[], amount integer)
returns setof moodreel.text_hit
language sql stable rows 200 as $$
  select n.media_item_id, n.position, max(n.score), false, null::float8, null::float8, ''
  from unnest(case asked->>'kind' when 'sound' then '{sound}'::text[]
    else '{scene,keyframe}'::text[] end) as kinds (name)
  cross join lateral moodreel.nearest(asked->>'model', kinds.name,
    (asked->>'values')::halfvec, items, amount) n
  group by n.media_item_id, n.position
  order by 3 desc, 1, 2 limit amount
$$;

-- Items that a search is limited to; null where it is not. Moods and tags: all of them, of the item.
create function moodreel.wanted_items(filters jsonb) returns bigint[]
language plpgsql stable as $$
declare
  servers text[] := moodreel.texts(filters->'servers');
  kinds text[] := moodreel.texts(filters->'kinds');
  libraries text[] := moodreel.texts(filters->'libraries');
  moods text[] := moodreel.texts(filters->'moods');
  tags text[] := moodreel.texts(filters->'tags');
  listed bigint[] := case when filters->'items' <> '[]' then array(
    select i.id from jsonb_array_elements(filters->'items') as ref
    join media_items i on i.server = ref->>0 and i.item_id = ref->>1) end;
begin
  if servers || kinds || libraries || moods || tags = '{}' and listed is null
    and filters->>'added_after' is null and filters->>'added_before' is null
  then
    return null;
  end if;
  return array(
    select i.id from media_items i
    where i.state <> 'deleted' and (listed is null or i.id = any(listed))
      and (servers = '{}' or i.server = any(servers))
      and (kinds = '{}' or i.kind = any(kinds))
      and (libraries = '{}' or i.library = any(libraries))
      and (filters->>'added_after' is null
        or i.added_at >= (filters->>'added_after')::timestamptz)
      and (filters->>'added_before' is null
        or i.added_at < (filters->>'added_before')::timestamptz)
      and not exists (
        select from unnest(moods) as wanted where not exists (
          select from media_moods m where m.media_item_id = i.id and m.label = wanted))
      and not exists (
        select from unnest(tags) as wanted
        where wanted <> all(i.keywords) and not exists (
          select from media_tags t where t.media_item_id = i.id and t.label = wanted)));
end $$;

create function moodreel.hits_json(hits moodreel.text_hit[]) returns jsonb
language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_array(i.server, i.item_id, h.position, h.score, h.is_exact,
    h.start_s, h.end_s, h.snippet) order by h.place), '[]')
  from unnest(hits) with ordinality as h (
    media_item_id, position, score, is_exact, start_s, end_s, snippet, place)
  join media_items i on i.id = h.media_item_id
$$;

-- Search -------------------------------------------------------------------------------------------

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120190000'::text)
$$;

-- {terms, channels, vectors: {channel: {model, kind, values}}, filters, limit} returns for each
-- channel its hits, the best first.
create function moodreel_search(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  terms text := btrim(coalesce(request->>'terms', ''));
  size integer := (request->>'limit')::integer;
  items bigint[] := moodreel.wanted_items(request->'filters');
  without bigint[] := case when items is null
    then array(select id from media_items where state = 'deleted') else '{}' end;
  channel text;
  hits moodreel.text_hit[];
  answer jsonb := '{}';
begin
  for channel in select jsonb_array_elements_text(request->'channels') loop
    hits := case
      when request->'vectors' ? channel then array(
        select h from moodreel.search_vectors(request->'vectors'->channel, items, size) h)
      when terms = '' then '{}'
      when channel = 'transcript' then array(
        select h from moodreel.search_transcript(terms, items, without, size) h)
      when channel in ('summary', 'lexical') then array(
        select h from moodreel.search_texts(channel, terms, items, without, size) h)
      else '{}' end;
    answer := answer || jsonb_build_object(channel, moodreel.hits_json(hits));
  end loop;
  return answer;
end $$;

-- Keys of scenes, numbered from 0 as they were asked, with the ids of their items.
create function moodreel.asked_scenes(scenes jsonb)
returns table (number bigint, media_item_id bigint, "position" integer)
language sql stable rows 500 as $$
  select asked.ordinality - 1, i.id, (asked.value->>2)::integer
  from jsonb_array_elements(scenes) with ordinality as asked
  join media_items i on i.server = asked.value->>0 and i.item_id = asked.value->>1
  where i.state <> 'deleted'
$$;

-- Of one scene, or (-1) of all of an item.
create function moodreel.vectors_of(item bigint, place integer, asked_model text, asked_kind text)
returns setof scene_embeddings
language sql stable rows 1 as $$
  select e.* from scene_embeddings e
  where e.media_item_id = item and e.position = place and e.kind = asked_kind
    and e.model = asked_model
  union all
  select e.* from scene_embeddings e
  where place < 0 and e.media_item_id = item and e.kind = asked_kind and e.model = asked_model
$$;

-- {model, kind, values, scenes} returns numbers of the scenes that have a vector, each with its
-- cosine. An item as a whole is as near as its nearest scene.
create function moodreel_score_scenes(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
declare
  asked halfvec := (request->>'values')::halfvec;
  scored jsonb;
begin
  select jsonb_agg(jsonb_build_array(number, score)) into scored
  from (
    select s.number, 1 - min(e.embedding <=> asked) as score
    from moodreel.asked_scenes(request->'scenes') s
    cross join lateral moodreel.vectors_of(
      s.media_item_id, s.position, request->>'model', request->>'kind') e
    where e.dimension = vector_dims(asked)
    group by s.number) best
  where score <> 'NaN';
  return coalesce(scored, '[]');
end $$;

create function moodreel_load_cards(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'number', a.number, 'title', i.title, 'kind', i.kind, 'server_url', i.url,
    'series', i.series, 'season_number', i.season_number, 'episode_number', i.episode_number,
    'library', i.library, 'year', i.year,
    'start_s', coalesce(s.start_s, 0), 'end_s', coalesce(s.end_s, f.duration_s, i.duration_s, 0),
    'keyframe_s', s.keyframe_s,
    'tags', coalesce(to_jsonb(s.tags), (
      select jsonb_agg(t.label order by t.position) from media_tags t
      where t.media_item_id = i.id), '[]'),
    'moods', coalesce((
      select jsonb_agg(m.label order by m.position) from media_moods m
      where m.media_item_id = i.id), '[]'),
    'caption', coalesce(s.caption, ''))), '[]')
  from moodreel.asked_scenes(request->'scenes') a
  join media_items i on i.id = a.media_item_id
  left join media_analyses f on f.media_item_id = i.id
  left join media_scenes s on s.media_item_id = i.id and s.position = a.position
  where a.position < 0 or s.position is not null
$$;

create function moodreel_load_vectors(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
  select coalesce(jsonb_agg(
    jsonb_build_array(a.number, e.position, e.embedding::text) order by a.number, e.position), '[]')
  from moodreel.asked_scenes(request->'scenes') a
  cross join lateral moodreel.vectors_of(
    a.media_item_id, a.position, request->>'model', request->>'kind') e
$$;

-- Items that are analysed or have a transcript, and of which not all is folded: {limit} returns
-- their refs, and whether it is their texts or their lines.
create function moodreel_unfolded(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('ref', moodreel.ref_json(i),
    'texts', u.lacks_texts, 'lines', u.lacks_lines) order by i.id), '[]')
  from (
    select id, bool_or(kind = 'texts') as lacks_texts, bool_or(kind = 'lines') as lacks_lines
    from (
      select a.media_item_id as id, 'texts' as kind from media_analyses a
      where (select count(*) from media_texts t
        where t.media_item_id = a.media_item_id and t.position = -1) < 2
      union all
      select distinct t.media_item_id, 'lines' from media_transcripts t where t.words is null
    ) lacking group by id order by id limit (request->>'limit')::integer
  ) u join media_items i on i.id = u.id
$$;

-- {server, item_id, pipeline, item: {texts}, texts}: of an analysis that was saved before there were
-- any. One that was saved since has its own.
create function moodreel_put_texts(request jsonb) returns jsonb
language plpgsql security definer set search_path = public, extensions, pg_temp as $$
declare
  item bigint := moodreel.require_item(request);
begin
  perform from media_items where id = item for update;
  if exists (select from media_analyses where media_item_id = item)
    and (select count(*) from media_texts t where t.media_item_id = item and t.position = -1) < 2
  then
    perform moodreel.put_texts(item, request);
  end if;
  return 'true';
end $$;

-- Who may do what --------------------------------------------------------------------------------

create or replace function moodreel.restrict_access() returns void
language plpgsql as $$
declare
  tables text := 'media_items, media_analyses, media_scenes, scene_embeddings, media_tags, '
    'media_moods, media_highlights, media_audio_analysis, publications, published_events, '
    'scene_clip_metadata, publication_groups, gathered_publications, reconciliations, '
    'media_transcripts, tag_edits, media_texts';
  sequences text := 'media_items_id_seq, published_events_sequence_seq, '
    'publication_groups_id_seq, gathered_publications_position_seq';
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
    execute format('revoke all on %s from %s', sequences, stranger);
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
