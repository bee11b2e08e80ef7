"""The statements behind ``table.py``, over procrastinate's own tables."""

from __future__ import annotations

from typing import LiteralString

LISTEN: LiteralString = "listen procrastinate_any_queue_v1"

ADD: LiteralString = """
insert into procrastinate_jobs as waiting
    (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
select 'moodreel', job->>'kind', (job->>'priority')::int, job->>'lock', job->>'equality',
       job->'args',
       case when (job->>'after_s')::float8 > 0
            then now() + make_interval(secs => (job->>'after_s')::float8) end
  from jsonb_array_elements(%(jobs)s) with ordinality as jobs (job, number)
 order by number
on conflict (queueing_lock) where status = 'todo' do update
   set priority = greatest(waiting.priority, excluded.priority),
       args = waiting.args || jsonb_strip_nulls(jsonb_build_object(
           'announce', (waiting.args->>'announce')::bool or (excluded.args->>'announce')::bool,
           'even_history',
             (waiting.args->>'even_history')::bool or (excluded.args->>'even_history')::bool,
           'force', (waiting.args->>'force')::bool or (excluded.args->>'force')::bool,
           'is_full', (waiting.args->>'is_full')::bool or (excluded.args->>'is_full')::bool)),
       scheduled_at =  -- the earlier; but a pause before another attempt has its reason
         case when waiting.args ? 'error' then waiting.scheduled_at
              when excluded.scheduled_at < waiting.scheduled_at then excluded.scheduled_at
              when excluded.scheduled_at is not null then waiting.scheduled_at end
 where excluded.priority > waiting.priority
    or (excluded.args @> '{"announce": true}' and waiting.args @> '{"announce": false}')
    or (excluded.args @> '{"force": true}' and waiting.args @> '{"force": false}')
    or (excluded.args @> '{"even_history": true}' and waiting.args @> '{"even_history": false}')
    or (excluded.args @> '{"is_full": true}' and waiting.args @> '{"is_full": false}')
    or waiting.scheduled_at > coalesce(excluded.scheduled_at, now())
returning (xmax = 0) as is_new  -- a row that was updated carries our transaction in xmax
"""

FINISH: LiteralString = """
update procrastinate_jobs
   set status = 'succeeded', attempts = attempts + 1, abort_requested = false
 where id = %(id)s and status = 'doing' and attempts = %(attempts)s
returning id
"""

FAIL: LiteralString = """
update procrastinate_jobs
   set status = 'failed', attempts = attempts + 1, abort_requested = false,
       args = args || jsonb_build_object('error', %(error)s::jsonb)
 where id = %(id)s and status = 'doing' and attempts = %(attempts)s
returning id
"""

LOST: LiteralString = """
select run.id, run.attempts
  from unnest(%(ids)s::bigint[], %(attempts)s::int[]) as run (id, attempts)
 where not exists (
    select
      from procrastinate_jobs job
     where job.id = run.id and job.status = 'doing' and job.attempts = run.attempts)
"""

HOLD: LiteralString = """
select queueing_lock, args, priority
  from procrastinate_jobs
 where id = %(id)s and status = 'doing' and attempts = %(attempts)s
   for update
"""

TAKE_TWIN: LiteralString = """
delete from procrastinate_jobs
 where queueing_lock = %(equality)s and status = 'todo'
returning args, priority
"""

WAIT_AGAIN: LiteralString = """
update procrastinate_jobs
   set status = 'todo', worker_id = null, abort_requested = false,
       attempts = attempts + %(cost)s,
       scheduled_at = now() + make_interval(secs => %(delay_s)s),
       priority = %(priority)s,
       args = %(args)s
 where id = %(id)s
"""

BEAT: LiteralString = """
insert into procrastinate_workers (id, last_heartbeat) overriding system value
values (%(worker_id)s, now())
on conflict (id) do update set last_heartbeat = excluded.last_heartbeat
"""

STALLED: LiteralString = """
select job.id, job.attempts
  from procrastinate_jobs job
  left join procrastinate_workers worker on worker.id = job.worker_id
 where job.status = 'doing'
   and job.id <> all(%(running)s::bigint[])
   and (worker.id is null
        or worker.id = %(worker_id)s
        or worker.last_heartbeat < now() - make_interval(secs => %(stalled_after_s)s))
"""

PRUNE: LiteralString = """
delete from procrastinate_jobs
 where id in (
    select job.id
      from procrastinate_jobs job
      join procrastinate_events event on event.job_id = job.id
     where job.status = any(%(states)s::procrastinate_job_status[])
       and event.type::text = job.status::text
       and event.at < now() - make_interval(secs => %(age_s)s)
     limit %(limit)s)
"""

COUNT: LiteralString = "select status::text, count(*) from procrastinate_jobs group by status"

BACKLOG: LiteralString = """
select kind,
       coalesce(held.waiting, 0) as waiting, coalesce(held.later, 0) as later,
       coalesce(held.running, 0) as running, coalesce(held.failed, 0) as failed,
       coalesce(extract(epoch from now() - least(fresh.since, due.since)), 0)::float8 as oldest_s
  from unnest(%(kinds)s::text[]) as kind
  left join (
    select task_name,
           count(*) filter (where status = 'todo' and scheduled_at is null
                               or status = 'todo' and scheduled_at <= now()) as waiting,
           count(*) filter (where status = 'todo' and scheduled_at > now()) as later,
           count(*) filter (where status = 'doing') as running,
           count(*) filter (where status not in ('todo', 'doing')) as failed
      from procrastinate_jobs
     where status <> 'succeeded'
     group by task_name) as held on held.task_name = kind
  -- Ids grow with time, and a job's first event says when it came.
  left join lateral (
    select (select min(at) from procrastinate_events where job_id = first.id) as since
      from (select job.id
              from procrastinate_jobs job
             where held.waiting > 0 and job.status = 'todo' and job.task_name = kind
               and job.scheduled_at is null
               and not exists (select from procrastinate_jobs as holder
                                where holder.lock = job.lock and holder.status = 'doing')
             order by job.id
             limit 1) as first) as fresh on true
  left join lateral (
    select min(job.scheduled_at) as since
      from procrastinate_jobs job
     where held.waiting > 0 and job.status = 'todo' and job.task_name = kind
       and job.scheduled_at <= now()
       and not exists (select from procrastinate_jobs as holder
                        where holder.lock = job.lock and holder.status = 'doing')) as due on true
 order by kind
"""

FAILURES: LiteralString = """
select failed.*, exists (
    select from procrastinate_jobs later
      join procrastinate_events success on success.job_id = later.id
       and success.type = 'succeeded'
     where later.status = 'succeeded' and later.lock = failed.lock
       and success.at > failed.failed_at) as is_made_good
  from (
    select job.id, job.task_name, job.attempts, job.args, job.lock, max(event.at) as failed_at
      from procrastinate_jobs job
      join procrastinate_events event on event.job_id = job.id and event.type = 'failed'
     where job.status = 'failed'
     group by job.id
     order by max(event.at) desc
     limit %(limit)s) as failed
 order by failed_at desc
"""

RUNNING: LiteralString = """
select job.task_name, job.args, job.attempts, (
    select extract(epoch from now() - max(event.at))::float8
      from procrastinate_events event
     where event.job_id = job.id and event.type = 'started') as since_s
  from procrastinate_jobs job
 where job.status = 'doing'
 order by job.id
"""

PACE: LiteralString = """
select job.task_name as kind, count(*)::int as count,
       -- Of the jobs that ended: from the first that was taken, or as far back as asked.
       least(extract(epoch from now() - min(began.at)), %(over_s)s)::float8 as over_s
  from procrastinate_events ended
  join procrastinate_jobs job on job.id = ended.job_id
  cross join lateral (
    select max(event.at) as at from procrastinate_events event
     where event.job_id = job.id and event.type = 'started') as began
 where ended.type in ('succeeded', 'failed')
   and ended.at > now() - make_interval(secs => %(over_s)s)
 group by job.task_name
"""
