-- Searches among a hundred thousand scenes, in little time.
--
-- What a search takes is what it looks at. Words are looked for in steps, the surest first (in a row,
-- all of them, the rarest), and a step that found enough is the last; each gives so many rows at
-- most, and no more are rated. Words in every other text find nothing by their beginnings: so many
-- rows have them whole that the index would only list them.

set search_path = public, extensions;

-- Of each channel its own: what is looked for in one is in the other by the ten thousand. Names and
-- overviews apart, so that a title is found however many scenes have its words as a tag. Rows that
-- wait to be put in are read by every search; so none wait.
create index media_texts_lexical on media_texts using gin (words) with (fastupdate = off)
  where channel = 'lexical';
create index media_texts_summary on media_texts using gin (words) with (fastupdate = off)
  where channel = 'summary';
create index media_texts_whole on media_texts using gin (words) with (fastupdate = off)
  where position < 0;
drop index media_texts_words;
alter index media_transcripts_words set (fastupdate = off);
select gin_clean_pending_list('media_transcripts_words');

-- In which scene a line is: one step instead of all scenes of its item.
create index media_scenes_times on media_scenes (media_item_id, start_s, position);

-- Inner parts: what is asked -----------------------------------------------------------------------

drop function moodreel.search_texts(text, text, bigint[], bigint[], integer);
drop function moodreel.search_transcript(text, bigint[], bigint[], integer);
drop function moodreel.read_terms(text, regclass, text);
drop type moodreel.terms;

-- Words from the rarest to the most frequent.
create type moodreel.question as (
  exact tsquery[],     -- each word as it stands
  loose tsquery[],     -- or as the beginning of a longer one, and without its plural
  exact_own tsquery[], -- the same with the label of what is a line's own
  loose_own tsquery[],
  weights float8[],    -- of each, of a sum of 1: the rarer, the more
  phrase tsquery,      -- all of them, in a row
  anyone tsquery,      -- one of them, anywhere that is its own
  dense tsquery,       -- one of the rarer ones: how close together they are tells good from better
  steps tsquery[],     -- what is looked for, the surest first
  scanned boolean[],   -- whether a step finds so many that an index would only list them
  is_joined boolean,   -- the first step is all of them anywhere, in a row first
  is_rare boolean,     -- all rows that have one of the rarest can be rated
  is_few boolean       -- and they are so few that nothing else needs to be looked for
);

-- In how many rows each word is. Of frequent ones the database itself counted when it last looked
-- (pg_stats); of the others so many are counted, among those of a condition, as it takes to call
-- them broad.
create function moodreel.count_words(
  words text[], target regclass, condition text, label text, broad integer)
returns float8[]
language plpgsql stable as $$
declare
  row_count float8 := (select greatest(reltuples, 1) from pg_class where oid = target);
  known text[];
  shares float4[];
  counts float8[];
begin
  select s.most_common_elems::text::text[], s.most_common_elem_freqs into known, shares
  from pg_stats s
  where s.schemaname = 'public' and s.attname = 'words'
    and s.tablename = (select relname from pg_class where oid = target);
  counts := array(
    select round(shares[array_position(known, w.word)] * row_count)
    from unnest(words) with ordinality as w (word, place) order by w.place);
  if array_position(counts, null) is not null then
    execute (
      select 'select array[' || string_agg(case when c is not null then c::text else format(
        '(select count(*) from (select from %s where words @@ %L::tsquery and %s limit %s) few)',
        target, moodreel.query_word(word, label, false), condition, broad)
        end, ', ' order by place) || ']::float8[]'
      from unnest(words, counts) with ordinality as l (word, c, place)) into counts;
  end if;
  return counts;
end $$;

-- label: of what is a line's own; condition: which rows are searched.
create function moodreel.read_words(terms text, target regclass, condition text, label text)
returns moodreel.question
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
declare
  broad constant integer := 1000; -- rows: all that have a rarer word are rated
  few constant integer := 400; -- rows: all that have one of the rarest words are found at once
  frequent constant float8 := 0.03; -- of all rows; of English, the fifty first words
  row_count float8 := (select greatest(reltuples, 1) from pg_class where oid = target);
  asked text[] := (array_remove(string_to_array(terms, ' '), ''))[1:48];
  words text[] := (
    select array_agg(word order by place) from (
      select word, min(place) as place
      from unnest(asked) with ordinality as cut (word, place) group by word
      order by min(place) limit 24) firsts);
  size integer := cardinality(words);
  among_all boolean[]; -- which words are frequent
  common integer;
  taken integer;
  rows_taken float8;
  read moodreel.question;
begin
  with counted as (
    select w.word, w.c, w.c > greatest(broad, frequent * row_count) as is_frequent,
      row_number() over (order by w.c, w.place) as place,
      sum(w.c) over (order by w.c, w.place) as together,
      ln(1 + (greatest(row_count, max(w.c) over ()) + 1) / (w.c + 0.5)) as weight
    from unnest(words, moodreel.count_words(words, target, condition, label, broad))
      with ordinality as w (word, c, place)
  )
  select array_agg(is_frequent order by place), count(*) filter (where is_frequent),
    greatest(1, count(*) filter (where together < broad)),
    max(together) filter (where together < broad), min(c) < broad,
    array_agg(moodreel.query_word(word, '', false)::tsquery order by place),
    array_agg(moodreel.query_word(word, '', true)::tsquery order by place),
    array_agg(moodreel.query_word(word, label, false)::tsquery order by place),
    array_agg(moodreel.query_word(word, label, true)::tsquery order by place),
    array_agg(weight / (select sum(weight) from counted) order by place),
    string_agg(moodreel.query_word(word, label, true), ' | ')::tsquery,
    string_agg(moodreel.query_word(word, label, true), ' | ')
      filter (where c < broad or place = 1)::tsquery
  into among_all, common, taken, rows_taken, read.is_rare, read.exact, read.loose, read.exact_own,
    read.loose_own, read.weights, read.anyone, read.dense
  from counted;
  read.phrase := (
    select string_agg(
      moodreel.query_word(word, case place when 1 then label else '' end,
        -- Where a query ends with a single letter of Chinese, the text may go on.
        place = cardinality(asked) and length(word) = 1), ' <-> ' order by place)::tsquery
    from unnest(asked) with ordinality as w (word, place));
  -- Where all are frequent, to be in a row and to be there is asked of the index at once: it takes
  -- long. Not of a phrase that may go on: that is more than its words.
  read.is_joined := common = size and size > 2 and length(asked[cardinality(asked)]) > 1;
  -- All of them, then all but the most frequent, then the rarest with any other. Then one of the
  -- rarest, as many as are in so many rows together: first as they stand.
  read.steps := case when read.is_joined then '{}' else array[read.phrase] end || array(
    select (
      select string_agg(case when f then e else l end::text, ' & ')::tsquery
      from unnest(read.exact[:s], read.loose[:s], among_all[:s]) as w (e, l, f))
    from (select distinct s from unnest(array[size, size - common]) as sizes (s) where s > 1
    ) chosen order by s desc)
    || array(
      select case when among_all[1] then read.exact[1] else read.loose[1] end
        && string_agg(case when f then e else l end::text, ' | ')::tsquery
      from unnest(read.exact[2:], read.loose[2:], among_all[2:]) as w (e, l, f) where size > 2
      having size > 2)
    || (select string_agg(e::text, ' | ')::tsquery from unnest(read.exact[:taken]) e)
    || case when common < size then array[(
      select string_agg(l::text, ' | ')::tsquery from unnest(read.loose[:taken]) l)] end;
  read.is_few := common < size and rows_taken <= few;
  read.scanned := array_fill(false, array[cardinality(read.steps)]);
  if common = size then
    read.scanned[1] := cardinality(asked) = 1;
    read.scanned[cardinality(read.steps)] := true;
  end if;
  return read;
end $$;

-- Inner parts: what is looked at -------------------------------------------------------------------

-- Where rows are that have the words, step by step until there are enough; each step is planned only
-- if it is taken. A place holds as long as the statement that asks: functions here are stable.
-- condition: on rows t; may_scan: whether the database counted words among just these rows.
create function moodreel.gather(
  target regclass, asked moodreel.question, condition text, may_scan boolean,
  items bigint[], without bigint[], amount integer)
returns tid[]
language plpgsql stable set enable_seqscan = off as $$
declare
  few constant integer := 400; -- rows that are rated where all that have a rare word can be
  last constant integer := cardinality(asked.steps);
  allowed constant text := concat_ws(' and ', condition,
    case when items is not null then 't.media_item_id = any($2)' end,
    case when cardinality(without) > 0 then 't.media_item_id <> all($3)' end);
  found tid[] := '{}';
  more tid[];
begin
  if asked.is_few then
    execute format('select array(select t.ctid from %s t where t.words @@ $1 and %s limit %s)',
      target, allowed, few + 1)
    into found using asked.steps[last], items, without;
    if cardinality(found) <= few then
      return found;
    end if;
    found := '{}';
  end if;
  for step in 1 .. last loop
    execute format(
      'select array(select t.ctid from %s t where %s and %s %s limit %s)', target,
      -- A function, unlike its operator, is nothing for an index.
      case when may_scan and asked.scanned[step] then 'ts_match_vq(t.words, $1)'
        else 't.words @@ $1' end,
      allowed,
      case when step = 1 and asked.is_joined then
        'order by ts_match_vq(t.words, $4) desc, t.media_item_id, t.position' end,
      -- All that have a rare word as it stands: which is best, only rating them tells.
      case when asked.is_rare and step = last - 1 then greatest(few, amount) else amount end)
    into more using asked.steps[step], items, without, asked.phrase;
    found := case when found = '{}' then more
      else array(select f from unnest(found) f union select m from unnest(more) m) end;
    exit when cardinality(found) >= amount;
  end loop;
  return found;
end $$;

-- Inner parts: channels ----------------------------------------------------------------------------
-- Each takes the items that may be found (null: all), and those that may not. A text is as good as
-- the share of the query that is in it, by weight, then by how close together; what is said around
-- it (the next line, its whole item) counts for less. Exact hits are one better.

create function moodreel.search_transcript(
  terms text, items bigint[], without bigint[], amount integer)
returns setof moodreel.text_hit
language plpgsql stable rows 200
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  asked moodreel.question := moodreel.read_words(
    terms, 'public.media_transcripts', 'true', 'A');
  found tid[] := moodreel.gather('public.media_transcripts', asked,
    format('ts_match_vq(t.words, %L::tsquery)', asked.anyone), true, items, without, 2 * amount);
  share text := (
    select string_agg(format(
      '%s::float8 * case when not t.words @@ %L::tsquery then 0::float8 '
      'when t.words @@ %L::tsquery then 1 when t.words @@ %L::tsquery then 0.7 '
      'when t.words @@ %L::tsquery then 0.4 else 0.3 end',
      weight, loose, exact_own, loose_own, exact), ' + ')
    from unnest(asked.exact, asked.loose, asked.exact_own, asked.loose_own, asked.weights)
      as w (exact, loose, exact_own, loose_own, weight));
  scores float8[];
  exact boolean[];
begin
  if found = '{}' then
    return;
  end if;
  execute format(
    'select array_agg(r.place), array_agg(r.score), array_agg(r.is_exact) from ('
    '  select t.ctid as place, e.is_exact, %s + e.is_exact::integer '
    '    + 0.1::float8 * (1 - 1 / (1 + ts_rank_cd(ts_filter(t.words, ''{a}''), $3, 1))) as score '
    '  from media_transcripts t cross join lateral (select t.words @@ $2 as is_exact offset 0) e '
    '  where t.ctid = any($1) order by score desc, t.media_item_id, t.position limit $4) r', share)
  into found, scores, exact using found, asked.phrase, asked.dense, 2 * amount;
  return query
    -- Of a scene the best line; a line in no scene is the item's.
    with placed as (
      select distinct on (t.media_item_id, s.place) t.media_item_id, s.place, r.score, r.is_exact,
        t.start_s, t.end_s, t.text, t.position
      from unnest(found, scores, exact) as r (line, score, is_exact)
      join media_transcripts t on t.ctid = r.line
      cross join lateral (select coalesce((
        select s.position from media_scenes s where s.media_item_id = t.media_item_id
          and s.start_s <= (t.start_s + t.end_s) / 2
        order by s.start_s desc, s.position desc limit 1), -1) as place) s
      order by t.media_item_id, s.place, r.score desc, t.position)
    select p.media_item_id, p.place, p.score, p.is_exact, p.start_s, p.end_s, left(p.text, 500)
    from placed p order by p.score desc, p.media_item_id, p.position limit amount;
end $$;

-- Of an item as a whole and of its scenes. What is asked may be said half of the scene, half of its
-- item: "rain in Casablanca".
create function moodreel.search_texts(
  wanted text, terms text, items bigint[], without bigint[], amount integer)
returns setof moodreel.text_hit
language plpgsql stable rows 200
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  asked moodreel.question := moodreel.read_words(
    terms, 'public.media_texts', format('channel = %L', wanted), '');
  whole tid[] := moodreel.gather('public.media_texts', asked,
    format('t.position < 0 and t.channel = %L', wanted), false, items, without, amount);
  scene tid[] := moodreel.gather('public.media_texts', asked,
    format('t.position >= 0 and t.channel = %L', wanted), false, items, without, amount);
  share text := (
    select string_agg(format(
      '%s::float8 * case when not t.words @@ %L::tsquery then coalesce(w.shares[%s], 0) '
      'when t.words @@ %L::tsquery then 1 else 0.7 end', weight, loose, place, exact), ' + ')
    from unnest(asked.exact, asked.loose, asked.weights)
      with ordinality as w (exact, loose, weight, place));
  whole_share text := (
    select string_agg(format(
      'case when not t.words @@ %L::tsquery then 0 when t.words @@ %L::tsquery then 0.4 '
      'else 0.3 end', loose, exact), ', ' order by place)
    from unnest(asked.exact, asked.loose) with ordinality as w (exact, loose, place));
  found tid[];
  scores float8[];
  exact boolean[];
begin
  if whole || scene = '{}' then
    return;
  end if;
  execute format(
    'with wholes as materialized ('
    '  select t.media_item_id, array[%1$s]::float8[] as shares '
    '  from (select distinct media_item_id from media_texts where ctid = any($2)) f '
    '  join media_texts t on t.media_item_id = f.media_item_id and t.channel = %2$L '
    '    and t.position = -1) '
    'select array_agg(r.place), array_agg(r.score), array_agg(r.is_exact) from ('
    '  select t.ctid as place, e.is_exact, %3$s + e.is_exact::integer '
    '    + 0.1::float8 * (1 - 1 / (1 + ts_rank_cd(t.words, $4, 1))) as score '
    '  from media_texts t '
    '  left join wholes w on w.media_item_id = t.media_item_id and t.position >= 0 '
    '  cross join lateral (select t.words @@ $3 as is_exact offset 0) e '
    '  where t.ctid = any($1) order by score desc, t.media_item_id, t.position limit $5) r',
    whole_share, wanted, share)
  into found, scores, exact using whole || scene, scene, asked.phrase, asked.dense, amount;
  return query
    select t.media_item_id, t.position, r.score, r.is_exact, s.start_s, s.end_s,
      left(case
        when t.position < 0 and wanted = 'lexical' then concat_ws(
          ' · ', nullif(i.series, ''), i.title, nullif(i.artist, ''), nullif(i.album, ''))
        when t.position < 0 then concat_ws(' — ', nullif(i.overview, ''), nullif(a.summary, ''))
        when wanted = 'lexical' then array_to_string(s.tags, ', ')
        else s.caption end, 500)
    from unnest(found, scores, exact) as r (place, score, is_exact)
    join media_texts t on t.ctid = r.place
    join media_items i on i.id = t.media_item_id
    left join media_scenes s on s.media_item_id = t.media_item_id and s.position = t.position
    left join media_audio_analysis a on a.media_item_id = t.media_item_id
    order by r.score desc, t.media_item_id, t.position;
end $$;

-- The API ------------------------------------------------------------------------------------------

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120195000'::text)
$$;

-- Planned for a few rows, it would take longer to compile than to run.
alter function moodreel_search(jsonb) set jit = off;
alter function moodreel_load_cards(jsonb) set jit = off;

-- Each scene is met by its key, and its vector is not carried any further. Of an item as a whole,
-- so many scenes are looked at from its beginning to its end: all of them, of hundreds of items, were
-- most of the work.
create or replace function moodreel_score_scenes(request jsonb) returns jsonb
language plpgsql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' set jit = off as $$
declare
  asked halfvec := (request->>'values')::halfvec;
  asked_model text := request->>'model';
  asked_kind text := request->>'kind';
  looked_at constant integer := 24; -- scenes of an item
  scored jsonb;
begin
  with keys as materialized (select * from moodreel.asked_scenes(request->'scenes'))
  select jsonb_agg(jsonb_build_array(number, score)) into scored
  from (
    select k.number, 1 - (e.embedding <=> asked) as score
    from keys k join scene_embeddings e on e.media_item_id = k.media_item_id
      and e.position = k.position and e.kind = asked_kind and e.model = asked_model
    where e.dimension = vector_dims(asked)
    union all
    select k.number, 1 - nearest.distance
    from keys k
    cross join lateral (
      select max(position) / looked_at + 1 as pace from scene_embeddings
      where media_item_id = k.media_item_id) whole
    cross join lateral (
      select min(e.embedding <=> asked) as distance from scene_embeddings e
      where e.media_item_id = k.media_item_id and e.position % whole.pace = 0
        and e.kind = asked_kind and e.model = asked_model
        and e.dimension = vector_dims(asked)) nearest
    where k.position < 0) best
  where score <> 'NaN';
  return coalesce(scored, '[]');
end $$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
