-- Vectors by the hundred thousand, and two models side by side.
--
-- A vector is found by comparing it with all: exact, 30 ms for 50,000 of 512 dimensions. Above that
-- `moodreel index build` makes an HNSW index for each space (a model's vectors of one kind and
-- dimension), concurrently, which no migration can. How widely an index is searched, so that it
-- finds what an exact search does, is measured when it is built and kept as the index's comment:
-- what is dropped takes its measure along, and what was not measured is not used.
--
-- Items keep the vectors of a former model when they are analysed with another one, and searches go
-- on in the former's space until the other knows all that the former does.

set search_path = public, extensions;

-- Inner parts: which index -------------------------------------------------------------------------

create function moodreel.vector_index_name(model text, dimension integer, kind text) returns text
language sql immutable as $$
  select 'scene_embeddings_near_' || left(md5(concat_ws(' ', model, dimension, kind)), 16)
$$;

-- How many candidates a search of the index looks at (hnsw.ef_search); null without a whole index
-- that was measured: then searches are exact.
create function moodreel.search_width(model text, dimension integer, kind text) returns integer
language sql stable as $$
  select (obj_description(i.indexrelid, 'pg_class')::jsonb->>'width')::integer
  from pg_index i
  where i.indexrelid = to_regclass('public.' || moodreel.vector_index_name(model, dimension, kind))
    and i.indisvalid and i.indisready
    and obj_description(i.indexrelid, 'pg_class') like '{%'
$$;

-- Every model, dimension and kind that there are vectors of: a step in the index for each.
create function moodreel.vector_spaces()
returns table (model text, dimension integer, kind text)
language sql stable as $$
  with recursive spaces as (
    (select e.model, e.dimension, e.kind from scene_embeddings e
      order by e.model, e.dimension, e.kind limit 1)
    union all
    select n.model, n.dimension, n.kind from spaces s cross join lateral (
      select e.model, e.dimension, e.kind from scene_embeddings e
      where (e.model, e.dimension, e.kind) > (s.model, s.dimension, s.kind)
      order by e.model, e.dimension, e.kind limit 1) n
  )
  select s.model, s.dimension, s.kind from spaces s
$$;

-- Inner parts: what is nearest ---------------------------------------------------------------------

-- Every vector is compared, once: an outer select makes scores of those that are left. An index is
-- never taken for this, since it orders by another expression.
create function moodreel.nearest_exactly(
  model text, kind text, asked halfvec, items bigint[], without bigint[], amount integer)
returns table (media_item_id bigint, "position" integer, score double precision)
language plpgsql stable as $$
begin
  return query execute format(
    'select n.media_item_id, n.position, 1 - n.distance from ('
    'select e.media_item_id, e.position, e.embedding <=> $1 as distance from scene_embeddings e '
    'where e.model = %L and e.kind = %L and e.dimension = %s %s %s '
    'order by distance, e.media_item_id, e.position limit $4) n '
    'order by n.distance, n.media_item_id, n.position',
    model, kind, vector_dims(asked),
    case when items is not null then 'and e.media_item_id = any($2)' end,
    case when cardinality(without) > 0 then 'and e.media_item_id <> all($3)' end)
  using asked, items, without, amount;
end $$;

-- By the index: model, kind and dimension as they stand in its definition, and no other plan.
create function moodreel.nearest_by_index(
  model text, kind text, asked halfvec, items bigint[], without bigint[], amount integer,
  width integer)
returns table (media_item_id bigint, "position" integer, score double precision)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
begin
  -- In the body: hosted projects refuse an extension's parameters in a function's own settings.
  perform set_config('hnsw.ef_search', least(greatest(width, amount), 1000)::text, true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true);
  return query execute format(
    'with near as materialized ('
    'select e.media_item_id, e.position, e.embedding::halfvec(%3$s) <=> $1 as distance '
    'from scene_embeddings e where e.model = %1$L and e.kind = %2$L and e.dimension = %3$s %4$s %5$s '
    'order by e.embedding::halfvec(%3$s) <=> $1 limit $4) '
    'select n.media_item_id, n.position, 1 - n.distance from near n '
    'order by n.distance, n.media_item_id, n.position',
    model, kind, vector_dims(asked),
    case when items is not null then 'and e.media_item_id = any($2)' end,
    case when cardinality(without) > 0 then 'and e.media_item_id <> all($3)' end)
  using asked, items, without, amount;
end $$;

-- A filter that leaves few is answered exactly, and sooner so. One that leaves many makes the search
-- of the index as much wider as it leaves less.
create function moodreel.nearest_of(
  model text, kind text, asked halfvec, items bigint[], without bigint[], amount integer)
returns table (media_item_id bigint, "position" integer, score double precision)
language plpgsql stable rows 200 as $$
declare
  few constant double precision := 50000; -- 30 ms of 512 dimensions (measured)
  width integer := moodreel.search_width(model, vector_dims(asked), kind);
  vectors double precision;
  share double precision := 1;
  found_items bigint[];
  found_positions integer[];
  found_scores double precision[];
begin
  if width is not null and items is not null then
    select greatest(c.reltuples, 0) into vectors from pg_class c
    where c.oid = to_regclass(
      'public.' || moodreel.vector_index_name(model, vector_dims(asked), kind));
    -- Of all items, as the planner last counted them: which share of the vectors is theirs?
    select least(1, cardinality(items) / greatest(c.reltuples, 1)) into share
    from pg_class c where c.oid = 'public.media_analyses'::regclass;
    if vectors * share <= few then
      width := null;
    end if;
  end if;
  if width is not null then
    select array_agg(n.media_item_id), array_agg(n.position), array_agg(n.score)
    into found_items, found_positions, found_scores
    from moodreel.nearest_by_index(
      model, kind, asked, items, without, amount, ceil(width / share)::integer) n;
    -- Else it gave up before it had enough: so few are left that all can be compared.
    if cardinality(found_items) >= amount then
      return query select * from unnest(found_items, found_positions, found_scores);
      return;
    end if;
  end if;
  return query select n.* from moodreel.nearest_exactly(
    model, kind, asked, items, without, amount) n;
end $$;

-- The scenes that are nearest to a unit vector, the best first, by their cosine.
-- items: those that may be found; null: all that were not deleted.
create or replace function moodreel.nearest(
  asked_model text, asked_kind text, asked halfvec, items bigint[], amount integer)
returns table (media_item_id bigint, "position" integer, score double precision)
language sql stable rows 200 as $$
  select n.* from moodreel.nearest_of(asked_model, asked_kind, asked, items,
    case when items is null
      then array(select i.id from media_items i where i.state = 'deleted') else '{}' end,
    amount) n
  where n.score <> 'NaN' -- a vector of zeros points nowhere
$$;

-- Inner parts: two models side by side -------------------------------------------------------------

-- Vectors of other models stay where the content is the same. Scenes may have others' borders by
-- now: each takes the vectors of the former scene that its best frame was in.
alter function moodreel.put_findings(bigint, jsonb) rename to put_new_findings;
create function moodreel.put_findings(item bigint, analysis jsonb) returns void
language plpgsql as $$
declare
  former scene_embeddings[] := array(
    select e from scene_embeddings e
    where e.media_item_id = item and e.model <> ''
      and e.model not in (analysis->>'embedding_model', analysis->>'sound_embedding_model'));
  borders media_scenes[];
begin
  if cardinality(former) > 0 then
    borders := array(select s from media_scenes s where s.media_item_id = item);
  end if;
  perform moodreel.put_new_findings(item, analysis);
  if cardinality(former) > 0 then
    insert into scene_embeddings (media_item_id, position, kind, model, dimension, embedding)
    select item, s.position, e.kind, e.model, e.dimension, e.embedding
    from media_scenes s
    join unnest(borders) b on s.keyframe_s >= b.start_s and s.keyframe_s < b.end_s
    join unnest(former) e on e.position = b.position
    where s.media_item_id = item
    on conflict do nothing;
  end if;
end $$;

-- Of other content, no vector says anything any more.
create function moodreel.forget_vectors() returns trigger
language plpgsql as $$
begin
  delete from scene_embeddings where media_item_id = old.media_item_id;
  return new;
end $$;
create trigger media_analyses_content before update on media_analyses
for each row when (
  old.token <> new.token and old.revision <> new.revision
  and (new.fingerprint = '' or old.fingerprint <> new.fingerprint))
execute function moodreel.forget_vectors();

-- Items that have vectors of a model, and of how many there are more to come: those that have
-- others' vectors of this kind and were neither analysed with it nor given up.
create function moodreel.model_coverage(asked_kind text)
returns table (model text, dimension integer, items bigint, waiting bigint, saved_at timestamptz)
language sql stable as $$
  with holders as materialized (
    select distinct e.model, e.dimension, e.media_item_id from scene_embeddings e
    where e.kind = asked_kind
  ),
  present as materialized (
    select h.*, i.state, case asked_kind when 'sound' then a.sound_embedding_model
      else a.embedding_model end as latest, a.saved_at
    from holders h
    join media_items i on i.id = h.media_item_id and i.state <> 'deleted'
    join media_analyses a on a.media_item_id = h.media_item_id
  ),
  spaces as (
    select p.model, p.dimension, count(*) as items,
      max(p.saved_at) filter (where p.latest = p.model) as saved_at
    from present p group by p.model, p.dimension
  )
  select s.model, s.dimension, s.items, (
      select count(distinct o.media_item_id) from present o
      where o.state <> 'failed' and o.latest <> s.model and not exists (
        select from holders h where h.media_item_id = o.media_item_id
          and h.model = s.model and h.dimension = s.dimension)),
    s.saved_at
  from spaces s
$$;

-- In which model's space a kind is searched: the one that is wanted (else the one that an analysis
-- was made with last) once no item waits for it; until then the one that most items have.
create function moodreel.current_space(asked_kind text, wanted text)
returns table (model text, dimension integer, items bigint, successor text, waiting bigint)
language plpgsql stable as $$
declare
  coming record;
begin
  if (select count(*) from moodreel.vector_spaces() s where s.kind = asked_kind) = 1 then
    return query select s.model, s.dimension, null::bigint, ''::text, 0::bigint
    from moodreel.vector_spaces() s where s.kind = asked_kind;
    return;
  end if;
  select * into coming from moodreel.model_coverage(asked_kind) c
  order by c.model is not distinct from wanted desc, c.saved_at desc nulls last limit 1;
  return query select c.model, c.dimension, c.items,
    case when c.model = coming.model and c.dimension = coming.dimension then ''
      else coming.model end,
    case when c.model = coming.model and c.dimension = coming.dimension then 0
      else coming.waiting end
  from moodreel.model_coverage(asked_kind) c
  order by (coming.waiting = 0 and c.model = coming.model and c.dimension = coming.dimension) desc,
    c.items desc, c.model = coming.model desc
  limit 1;
end $$;

-- The API ------------------------------------------------------------------------------------------

create or replace function moodreel_schema_version(request jsonb default '{}') returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp as $$
  select to_jsonb('20261120192000'::text)
$$;

-- As before, and by the index where there is one. Nothing else of an item comes near to itself, so
-- its own scenes are left out before they are counted.
create or replace function moodreel_nearest_items(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
  with asked as materialized (
    select value::halfvec as embedding from jsonb_array_elements_text(request->'embeddings')
  ),
  space as materialized (
    select min(vector_dims(embedding)) as dimension,
      moodreel.search_width(request->>'model', min(vector_dims(embedding)), 'scene') as width
    from asked
  ),
  best as materialized (
    select e.media_item_id, 1 - min(e.embedding <=> q.embedding) as score
    from scene_embeddings e cross join asked q
    where e.model = request->>'model'
      and e.dimension = (select dimension from space)
      and e.kind = 'scene'
      and (select width is null from space)
    group by e.media_item_id
    union all
    select n.media_item_id, max(n.score)
    from asked q cross join lateral moodreel.nearest_of(
      request->>'model', 'scene', q.embedding, null,
      array(select id from media_items where state = 'deleted'
        or (server, item_id) is not distinct from (request->>'server', request->>'item_id')),
      -- A film has 120 scenes or so: several items, however alike the nearest one's are.
      120 * (request->>'limit')::integer + 80) n
    where (select width is not null from space)
    group by n.media_item_id
  ),
  nearest as (
    select i.server, i.item_id, i.title, b.score
    from best b join media_items i on i.id = b.media_item_id
    where i.state <> 'deleted'
      and b.score <> 'NaN' -- a vector of zeros points nowhere
      and (i.server, i.item_id) is distinct from (request->>'server', request->>'item_id')
    order by b.score desc, i.id
    limit (request->>'limit')::integer
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'ref', jsonb_build_object('server', n.server, 'item_id', n.item_id),
    'title', n.title, 'score', n.score) order by n.score desc), '[]')
  from nearest n
$$;

-- Which model's vectors each kind is searched by; wanted: the configured ones, by kind.
create function moodreel_current_models(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '30s' as $$
  select coalesce(jsonb_object_agg(k.kind, to_jsonb(c)), '{}')
  from unnest(array['scene', 'keyframe', 'sound']) as k (kind)
  cross join lateral moodreel.current_space(k.kind, request->'wanted'->>k.kind) c
$$;

-- Vectors by model, dimension and kind, and how they are searched.
create function moodreel_vector_spaces(request jsonb) returns jsonb
language sql stable security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'model', s.model, 'dimension', s.dimension, 'kind', s.kind,
    'count', (select count(*) from scene_embeddings e
      where e.model = s.model and e.dimension = s.dimension and e.kind = s.kind),
    'width', moodreel.search_width(s.model, s.dimension, s.kind),
    'index_name', moodreel.vector_index_name(s.model, s.dimension, s.kind),
    'index', (
      select jsonb_build_object(
        'valid', i.indisvalid and i.indisready, 'size_bytes', pg_relation_size(i.indexrelid))
      from pg_index i
      where i.indexrelid = to_regclass(
        'public.' || moodreel.vector_index_name(s.model, s.dimension, s.kind))))
    order by s.model, s.kind, s.dimension), '[]')
  from moodreel.vector_spaces() s
$$;

-- One search as people make it, with the index and without: a stored vector, some way off.
-- noise: how far, in lengths of the vector; share: of the items, chosen at random, that may be found.
create function moodreel_probe_vectors(request jsonb) returns jsonb
language plpgsql volatile security definer set search_path = public, extensions, pg_temp
set statement_timeout = '60s' as $$
#variable_conflict use_variable
declare
  model text := request->>'model';
  kind text := request->>'kind';
  dimension integer := (request->>'dimension')::integer;
  amount integer := (request->>'limit')::integer;
  noise double precision := (request->>'noise')::double precision;
  share double precision := (request->>'share')::double precision;
  width integer := coalesce(
    (request->>'width')::integer, moodreel.search_width(model, dimension, kind));
  deleted bigint[] := array(select i.id from media_items i where i.state = 'deleted');
  items bigint[];
  asked halfvec;
  true_keys text[];
  found_keys text[];
  began timestamptz;
  exact_s double precision;
  found_s double precision;
begin
  select l2_normalize(e.embedding + (
    select array_agg(((random() - 0.5) * noise * sqrt(12.0 / dimension))::real)
    from generate_series(1, dimension))::halfvec) into asked
  from scene_embeddings e
  where e.model = model and e.dimension = dimension and e.kind = kind
  order by random() limit 1;
  if asked is null then
    return null;
  end if;
  if share < 1 then
    items := array(
      select i.id from media_items i where i.state <> 'deleted' and random() < share);
  end if;
  began := clock_timestamp();
  select array_agg(n.media_item_id || ' ' || n.position) into true_keys
  from moodreel.nearest_exactly(model, kind, asked, items, deleted, amount) n;
  exact_s := extract(epoch from clock_timestamp() - began);
  began := clock_timestamp();
  if request->>'width' is not null then
    select array_agg(n.media_item_id || ' ' || n.position) into found_keys
    from moodreel.nearest_by_index(model, kind, asked, items, deleted, amount, width) n;
  else
    select array_agg(n.media_item_id || ' ' || n.position) into found_keys
    from moodreel.nearest_of(model, kind, asked, items, deleted, amount) n;
  end if;
  found_s := extract(epoch from clock_timestamp() - began);
  return jsonb_build_object(
    'found', (select count(*) from unnest(true_keys) k where k = any(found_keys)),
    'of', coalesce(cardinality(true_keys), 0),
    'seconds', found_s, 'exact_seconds', exact_s);
end $$;

select moodreel.restrict_access();
notify pgrst, 'reload schema';
