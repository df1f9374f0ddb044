-- pgbench --define slots=N: borrows and returns a slot.
SELECT take_advisory(:slots) AS slot \gset
SELECT pg_advisory_unlock(:slot);
