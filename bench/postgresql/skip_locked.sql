-- pgbench --define slots=N: borrows and returns a slot.
CALL take_row(:slots, NULL, NULL) \gset
UPDATE slot SET lease = NULL, ends = '-infinity' WHERE slots = :slots AND position = :taken AND lease = :lease_id;
