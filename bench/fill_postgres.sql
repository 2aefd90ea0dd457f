-- Fills an AgentRouter database (which a server has been started on once) with :runs ended runs and :events events of
-- each: psql -v runs=100000 -v events=100 -f bench/fill_postgres.sql URL. Nothing else works on it meanwhile.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET synchronous_commit = off;
CREATE TEMP TABLE made AS
  SELECT n, md5('big ' || n)::uuid::text AS uuid, now_ms - (:runs - n) * (30::bigint * 24 * 3600000 / :runs) - 3600000 AS queued_at
  FROM generate_series(1, :runs) n, (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now_ms) clock;
ALTER TABLE made ADD COLUMN month integer;
UPDATE made SET month = to_char(to_timestamp(queued_at / 1000) AT TIME ZONE 'UTC', 'YYYYMM')::integer;
SELECT format('CREATE TABLE IF NOT EXISTS events_%s (LIKE events INCLUDING ALL)', month) FROM made GROUP BY month \gexec
SELECT format('ALTER TABLE events ATTACH PARTITION events_%s FOR VALUES IN (%s)', month, month) FROM made
  WHERE to_regclass('events_' || month) NOT IN (SELECT inhrelid FROM pg_inherits) GROUP BY month \gexec
BEGIN;
ALTER TABLE runs DISABLE TRIGGER USER;
ALTER TABLE artifacts DISABLE TRIGGER USER;
ALTER TABLE attempts DISABLE TRIGGER USER;
INSERT INTO runs (n, id, month, status, runtime_kind, runtime_mode, approval_mode, last_event_seq, conversation_id,
    queued_at, started_at, completed_at, priority, attempts, turn_number, turn_id, tags, share)
  SELECT n, 'run_' || uuid, month, 'completed', 'codex', 'default', 'auto', :events, 'run_' || uuid, queued_at, queued_at,
    queued_at + 60000, 0, 1, 1, 'turn_' || uuid, format('{"team":"team-%s"}', n % 50), 'key_0123456789ab' FROM made;
INSERT INTO run_texts SELECT n, 'Task ' || n || ': find out why the tests are slow and mend what can be mended',
  format('{"task":"Task %s: find out why the tests are slow and mend what can be mended","runtime":{"kind":"codex"}}', n) FROM made;
INSERT INTO run_tags SELECT 'team', 'team-' || n % 50, queued_at, n FROM made;
INSERT INTO run_words SELECT word, n FROM made, unnest(ARRAY['task', n::text, 'find', 'out', 'why', 'the', 'tests', 'are',
  'slow', 'and', 'mend', 'what', 'can', 'be', 'mended']) word;
INSERT INTO conversations SELECT 'run_' || uuid, 'sess_' || uuid, 'closed', queued_at, queued_at, queued_at, 1, 0, 0 FROM made;
INSERT INTO attempts (id, run_id, number, worker_id, token, lease_until, slot, journal_offset, open, lower_path, closing,
    created_at, beats, host, launched)
  SELECT 'attempt_' || uuid, 'run_' || uuid, 1, 'worker_big', 1, queued_at, 0, 0, 0, '', '', queued_at, 1, '', 1 FROM made;
INSERT INTO artifacts (id, run_id, kind, r2_key, content_type, size_bytes, sha256, metadata, created_at)
  SELECT 'artifact_' || md5(uuid || kind)::uuid, 'run_' || uuid, kind, 'runs/run_' || uuid || '/' || kind, 'text/plain', 1000,
    repeat('a', 64), '{}', queued_at FROM made, unnest(ARRAY['stdout_log', 'stderr_log', 'workspace_file_index',
    'workspace_patch', 'session_events', 'session_manifest']) kind;
INSERT INTO run_spending SELECT 'run_' || uuid, 'key_0123456789ab', 0, 0, '' FROM made;
INSERT INTO events SELECT n, i, month, (ARRAY['agent.message', 'agent.progress', 'agent.tool_started', 'agent.tool_completed',
    'egress.request'])[1 + i % 5], 'codex', 'public', NULL, format('{"text":"line %s of what an agent says, as long as most '
    'of them are","callId":"call_0123456789abcdef"}', i), NULL, NULL, 0, queued_at
  FROM made, generate_series(1, :events - 1) i;
INSERT INTO events SELECT n, :events, month, 'run.completed', 'worker', 'public', NULL, '{"status":"completed"}', NULL, NULL, 0,
  queued_at FROM made;
SELECT setval(pg_get_serial_sequence('runs', 'n'), :runs);
UPDATE totals SET value = :runs WHERE name = 'ended_runs';
UPDATE totals SET value = :runs * 6000::bigint WHERE name = 'artifact_bytes';
ALTER TABLE runs ENABLE TRIGGER USER;
ALTER TABLE artifacts ENABLE TRIGGER USER;
ALTER TABLE attempts ENABLE TRIGGER USER;
COMMIT;
VACUUM ANALYZE;
