DROP TABLE file_annotation_versions;
DROP TABLE file_annotations;
