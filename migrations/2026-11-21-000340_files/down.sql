DROP TABLE file_links;
DROP TABLE file_signatures;
DROP TABLE file_downloads;
DROP FUNCTION file_viewers(uuid, timestamptz);
DROP TABLE file_shares;
DROP TABLE file_segments;
DROP TABLE file_uploads;
DROP TABLE files;
DROP SEQUENCE file_numbers;
