DROP FUNCTION lock_data_keys;
-- Without states, a destroyed key would be taken for one that opens.
DELETE FROM data_keys WHERE state = 'destroyed';
ALTER TABLE data_keys DROP COLUMN state, DROP COLUMN seals;
