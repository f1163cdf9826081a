-- Named queries of the outbox.  Parameters are bound by psycopg2: %(name)s.
-- Moments are the database's: statement_timestamp() where an index must serve, for it is stable.

-- name: put
-- Store events, a row for each sink that wants them; one that is there already is left alone.
INSERT INTO hdxjobs_event (event_id, sink, name, occurred_at, visitor_id, session_id, properties)
SELECT e.event_id, s.sink, e.name,
       COALESCE(e.occurred_at, statement_timestamp() - make_interval(secs => e.age_s)),
       e.visitor_id, e.session_id, e.properties
  FROM jsonb_to_recordset(%(events)s::jsonb) AS e (
         event_id uuid, sinks jsonb, name text, occurred_at timestamptz, age_s float8,
         visitor_id text, session_id text, properties jsonb)
 CROSS JOIN LATERAL jsonb_array_elements_text(e.sinks) AS s (sink)
    ON CONFLICT (event_id, sink) DO NOTHING
RETURNING extract(epoch FROM clock_timestamp())::float8 AS clock;

-- name: claim
-- Take the next rows of a sink for a while; rows that another drain holds are skipped.
UPDATE hdxjobs_event AS e
   SET lease = %(lease)s,
       lease_until = statement_timestamp() + make_interval(secs => %(lease_s)s)
  FROM (SELECT id
          FROM hdxjobs_event
         WHERE sink = %(sink)s
           AND dead_at IS NULL
           AND next_at <= statement_timestamp()
           AND (lease_until IS NULL OR lease_until < statement_timestamp())
         ORDER BY next_at, id
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED) AS due
 WHERE e.id = due.id
RETURNING e.id, e.event_id::text, e.name, e.occurred_at, e.visitor_id, e.session_id, e.properties;

-- name: delivered
-- The service has these: the rows go, whoever holds them now.
DELETE FROM hdxjobs_event
 WHERE sink = %(sink)s AND event_id = ANY(%(event_ids)s::uuid[])
RETURNING name;

-- name: refused
-- The service will never take these: dead letters, with the reason.
UPDATE hdxjobs_event AS e
   SET dead_at = statement_timestamp(),
       last_error = r.reason,
       attempts = e.attempts + 1,
       lease = NULL,
       lease_until = NULL
  FROM unnest(%(event_ids)s::uuid[], %(reasons)s::text[]) AS r (event_id, reason)
 WHERE e.sink = %(sink)s AND e.event_id = r.event_id AND e.dead_at IS NULL
RETURNING e.name;

-- name: release
-- Give back what was claimed and not settled.
UPDATE hdxjobs_event
   SET lease = NULL, lease_until = NULL
 WHERE lease = %(lease)s AND event_id = ANY(%(event_ids)s::uuid[]);

-- name: postpone
-- One event made the sink stumble: later again, and after some attempts never.
UPDATE hdxjobs_event
   SET lease = NULL,
       lease_until = NULL,
       attempts = attempts + 1,
       last_error = %(reason)s,
       next_at = statement_timestamp() + make_interval(secs => 30 * (attempts + 1)),
       dead_at = CASE WHEN attempts + 1 >= %(most)s THEN statement_timestamp() END
 WHERE lease = %(lease)s AND event_id = %(event_id)s::uuid;

-- name: tally
-- Count what became of events, in slots of ten minutes.
INSERT INTO hdxjobs_event_tally (slot, sink, name, delivered, refused)
SELECT to_timestamp(floor(extract(epoch FROM statement_timestamp()) / 600) * 600),
       %(sink)s, t.name, t.delivered, t.refused
  FROM unnest(%(names)s::text[], %(delivered)s::bigint[], %(refused)s::bigint[]) AS t (name, delivered, refused)
    ON CONFLICT (slot, sink, name) DO UPDATE
   SET delivered = hdxjobs_event_tally.delivered + EXCLUDED.delivered,
       refused = hdxjobs_event_tally.refused + EXCLUDED.refused;

-- name: due_sinks
-- Sinks that have something to send now: rows that nobody holds, and no pause.
SELECT sinks.name
  FROM unnest(%(sinks)s::text[]) AS sinks (name)
 WHERE EXISTS (SELECT FROM hdxjobs_event AS e
                WHERE e.sink = sinks.name
                  AND e.dead_at IS NULL
                  AND e.next_at <= statement_timestamp()
                  AND (e.lease_until IS NULL OR e.lease_until < statement_timestamp()))
   AND NOT EXISTS (SELECT FROM hdxjobs_sink AS s
                    WHERE s.name = sinks.name AND s.paused_until > statement_timestamp());

-- name: search
-- Events in the outbox, oldest first.
SELECT id, event_id::text, sink, name, occurred_at, visitor_id, session_id, properties,
       attempts, last_error, dead_at
  FROM hdxjobs_event
 WHERE (%(sink)s::text IS NULL OR sink = %(sink)s)
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(dead)s::boolean IS NULL OR (dead_at IS NOT NULL) = %(dead)s)
   AND id > %(after)s
 ORDER BY id
 LIMIT %(limit)s;

-- name: revive
-- Dead letters are to be sent again.
UPDATE hdxjobs_event
   SET dead_at = NULL, attempts = 0, last_error = NULL, next_at = statement_timestamp()
 WHERE dead_at IS NOT NULL
   AND (%(sink)s::text IS NULL OR sink = %(sink)s)
   AND (%(event_id)s::uuid IS NULL OR event_id = %(event_id)s);

-- name: purge
-- Delete events: dead letters, or waiting ones as well.
DELETE FROM hdxjobs_event
 WHERE (%(sink)s::text IS NULL OR sink = %(sink)s)
   AND (%(waiting)s OR dead_at IS NOT NULL)
   AND occurred_at <= statement_timestamp() - make_interval(days => %(older_days)s);

-- name: forget
-- Retention: events past the day until which the site keeps them.
DELETE FROM hdxjobs_event
 WHERE occurred_at < statement_timestamp() - make_interval(days => %(days)s);

-- name: fold
-- Counts older than two days are kept by the day, and for two years.
WITH old AS (
       DELETE FROM hdxjobs_event_tally
        WHERE slot < date_trunc('day', statement_timestamp(), 'UTC') - interval '2 days'
          AND (slot <> date_trunc('day', slot, 'UTC') OR slot < statement_timestamp() - interval '2 years')
       RETURNING date_trunc('day', slot, 'UTC') AS day, sink, name, delivered, refused)
INSERT INTO hdxjobs_event_tally (slot, sink, name, delivered, refused)
SELECT day, sink, name, sum(delivered), sum(refused)
  FROM old
 WHERE day >= statement_timestamp() - interval '2 years'
 GROUP BY day, sink, name
    ON CONFLICT (slot, sink, name) DO UPDATE
   SET delivered = hdxjobs_event_tally.delivered + EXCLUDED.delivered,
       refused = hdxjobs_event_tally.refused + EXCLUDED.refused;

-- name: may_send
-- Whether a sink may be tried, and how it fared.  A sink that failed gets one prober: its pause is
-- moved ahead in the same statement, so that a second drain sees it still paused.
INSERT INTO hdxjobs_sink AS s (name)
VALUES (%(sink)s)
    ON CONFLICT (name) DO UPDATE
   SET paused_until = CASE WHEN s.failures > 0
                           THEN statement_timestamp() + make_interval(secs => %(probe_s)s) END
 WHERE s.paused_until IS NULL OR s.paused_until <= statement_timestamp()
RETURNING failures;

-- name: pause
-- A sink must rest; alarm says what an operator must mend.  Of two drains' pauses the longer one
-- counts; a prober's own replaces the one that kept the others away meanwhile.
INSERT INTO hdxjobs_sink AS s (name, paused_until, failures, last_error, last_error_at, alarm)
VALUES (%(sink)s, statement_timestamp() + make_interval(secs => %(pause_s)s), 1, %(error)s,
        statement_timestamp(), %(alarm)s)
    ON CONFLICT (name) DO UPDATE
   SET paused_until = CASE WHEN %(probing)s THEN EXCLUDED.paused_until
                           ELSE GREATEST(COALESCE(s.paused_until, '-infinity'), EXCLUDED.paused_until) END,
       failures = s.failures + 1,
       last_error = EXCLUDED.last_error,
       last_error_at = EXCLUDED.last_error_at,
       alarm = EXCLUDED.alarm;

-- name: failures
-- How often a sink failed in a row.
SELECT failures FROM hdxjobs_sink WHERE name = %(sink)s;

-- name: well
-- A sink took what it was given.
INSERT INTO hdxjobs_sink AS s (name, delivered_at)
VALUES (%(sink)s, statement_timestamp())
    ON CONFLICT (name) DO UPDATE
   SET paused_until = NULL, failures = 0, alarm = NULL, delivered_at = EXCLUDED.delivered_at
 WHERE %(probing)s OR s.paused_until IS NULL OR s.paused_until <= statement_timestamp();

-- name: unpause
-- An operator mended something: try at once.
UPDATE hdxjobs_sink SET paused_until = NULL, alarm = NULL
 WHERE %(sink)s::text IS NULL OR name = %(sink)s;

-- name: health
-- What is known of each sink, those with a row in the outbox included.
SELECT names.name,
       s.paused_until, COALESCE(s.failures, 0) AS failures, s.last_error, s.last_error_at, s.alarm, s.delivered_at,
       s.paused_until > statement_timestamp() AS is_paused,
       COALESCE(e.backlog, 0) AS backlog,
       COALESCE(e.dead, 0) AS dead,
       extract(epoch FROM statement_timestamp() - e.oldest)::float8 AS oldest_s,
       COALESCE(t.delivered, 0)::bigint AS delivered_last_hour
  FROM (SELECT unnest(%(sinks)s::text[]) AS name
         UNION SELECT DISTINCT sink FROM hdxjobs_event) AS names
  LEFT JOIN hdxjobs_sink AS s ON s.name = names.name
  LEFT JOIN (SELECT sink,
                    count(*) FILTER (WHERE dead_at IS NULL) AS backlog,
                    count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead,
                    min(occurred_at) FILTER (WHERE dead_at IS NULL) AS oldest
               FROM hdxjobs_event GROUP BY sink) AS e ON e.sink = names.name
  LEFT JOIN (SELECT sink, sum(delivered) AS delivered
               FROM hdxjobs_event_tally
              WHERE slot > statement_timestamp() - interval '1 hour'
              GROUP BY sink) AS t ON t.sink = names.name
 ORDER BY names.name;

-- name: days
-- Events a day by name; of several sinks the one that took the most, for each takes its own share.
SELECT day, name, max(delivered)::bigint AS delivered
  FROM (SELECT (slot AT TIME ZONE 'UTC')::date AS day, sink, name, sum(delivered) AS delivered
          FROM hdxjobs_event_tally
         WHERE slot > date_trunc('day', statement_timestamp(), 'UTC') - make_interval(days => %(days)s)
         GROUP BY 1, sink, name) AS by_sink
 WHERE delivered > 0
 GROUP BY day, name
 ORDER BY day, name;

-- name: salt
-- Today's salt, made by whoever needs it first; %(salt)s is a proposal.
INSERT INTO hdxjobs_salt AS s (day, salt)
VALUES ((statement_timestamp() AT TIME ZONE 'UTC')::date, %(salt)s)
    ON CONFLICT (day) DO UPDATE SET salt = s.salt
RETURNING salt,
          extract(epoch FROM (day + 1)::timestamp - (clock_timestamp() AT TIME ZONE 'UTC'))::float8 AS left_s;

-- name: forget_salts
-- Salts of past days: without them no visitor of those days can be recognised again.
DELETE FROM hdxjobs_salt WHERE day < (statement_timestamp() AT TIME ZONE 'UTC')::date;

-- name: facts
-- Who and what an event is about, by the ids it has: a resource, else a dataset, else an organization.
SELECT p.id, p.name, p.private, o.id, o.name, g.ids, g.names, r.id, r.name, r.format
  FROM (SELECT COALESCE((SELECT package_id FROM resource WHERE id = %(resource)s),
                        (SELECT id FROM package WHERE id = %(dataset)s),
                        (SELECT id FROM package WHERE name = %(dataset)s)) AS dataset_id) AS asked
  LEFT JOIN package AS p ON p.id = asked.dataset_id
  LEFT JOIN resource AS r ON r.id = %(resource)s
  LEFT JOIN "group" AS o
    ON o.is_organization
   AND (o.id = p.owner_org OR (p.id IS NULL AND (o.id = %(org)s OR o.name = %(org)s)))
  LEFT JOIN LATERAL (
       SELECT array_agg(one.id ORDER BY one.name) AS ids, array_agg(one.name ORDER BY one.name) AS names
         FROM member AS m
         JOIN "group" AS one ON one.id = m.group_id
        WHERE m.table_name = 'package' AND m.table_id = p.id AND m.state = 'active'
          AND NOT one.is_organization AND one.state = 'active') AS g ON true
 LIMIT 1;

-- name: site_statistics
-- What the site counts of itself.
SELECT (SELECT count(*) FROM package WHERE state = 'active' AND type = 'dataset') AS datasets_total,
       (SELECT count(*) FROM package WHERE state = 'active' AND type = 'dataset' AND private) AS datasets_private,
       (SELECT count(*) FROM resource AS r JOIN package AS p ON p.id = r.package_id
         WHERE r.state = 'active' AND p.state = 'active') AS resources_total,
       (SELECT count(*) FROM "group" WHERE is_organization AND state = 'active') AS orgs_total,
       (SELECT count(DISTINCT p.owner_org) FROM package AS p
          JOIN "group" AS o ON o.id = p.owner_org AND o.state = 'active'
         WHERE p.state = 'active') AS orgs_with_datasets,
       (SELECT count(DISTINCT p.owner_org) FROM package AS p
          JOIN "group" AS o ON o.id = p.owner_org AND o.state = 'active'
         WHERE p.state = 'active'
           AND p.metadata_modified > (now() AT TIME ZONE 'UTC') - interval '365 days')
         AS orgs_updating_data_in_past_year,
       (SELECT count(*) FROM "user" WHERE state = 'active') AS users_total,
       (SELECT count(*) FROM hdxjobs_preview WHERE state = 'ready') AS previews_ready,
       (SELECT count(*) FROM hdxjobs_preview WHERE state IN ('failed', 'unsupported')) AS previews_failed;
