-- Called by pool.py.

-- name: bound_statements
SELECT set_config('statement_timeout', %(timeout)s, true)
