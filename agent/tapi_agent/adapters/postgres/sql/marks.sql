-- The mark of trusted time, one row a device.

-- name: load
SELECT mark FROM trusted_time WHERE device_id = %(device_id)s

-- name: save
INSERT INTO trusted_time (device_id, mark, at) VALUES (%(device_id)s, %(mark)s, %(at)s)
ON CONFLICT (device_id) DO UPDATE SET mark = excluded.mark, at = excluded.at
