DROP TABLE broadcasts;
DROP INDEX changes_by_place;
