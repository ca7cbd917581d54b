-- Layers of drawings over files, which stay as they came. Each version of a layer stays.

CREATE TABLE file_annotations (
    id         uuid PRIMARY KEY,
    file_id    uuid NOT NULL REFERENCES files,
    -- The newest.
    version    integer NOT NULL CHECK (version > 0),
    removed_at timestamptz
);
CREATE INDEX file_annotations_by_file ON file_annotations (file_id, id);

CREATE TABLE file_annotation_versions (
    annotation_id uuid NOT NULL REFERENCES file_annotations ON DELETE CASCADE,
    version       integer NOT NULL CHECK (version > 0),
    author_id     uuid NOT NULL REFERENCES users,
    drawn_at      timestamptz NOT NULL,
    -- Sealed with the key of the file.
    drawing       bytea NOT NULL,
    PRIMARY KEY (annotation_id, version)
);
