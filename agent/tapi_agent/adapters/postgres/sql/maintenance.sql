-- Called by maintenance.py. {view} is an identifier.

-- name: lock_task
-- No row while another agent does it. Held by the session.
SELECT true AS alone WHERE pg_try_advisory_lock(hashtext('tapi-agent maintenance'), hashtext(%(task)s::text))

-- name: refresh_view
-- Readers see the old rows until the new ones are complete.
REFRESH MATERIALIZED VIEW CONCURRENTLY {view}
