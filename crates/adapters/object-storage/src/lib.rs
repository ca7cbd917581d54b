//! Where blobs are kept: on a disk, or in a bucket of S3.
//!
//! | | [`Disk`] |
//! |---|---|
//! | a blob is | a file, `blobs/<last byte of the owner>/<owner>.<part>` |
//! | an unfinished one | a file in `unfinished/`, under a name that tells nothing |
//! | finished | written, synced, renamed to its place, and the folder synced |
//! | memory | 1 MiB for each that is written or read, whatever its size |
//!
//! # Why the disk is not `object_store`'s
//!
//! Its `LocalFileSystem` promises less than a [`BlobStore`](alivio_files::BlobStore) must: what it has stored is on the
//! disk only after `with_fsync(true)`, what its writers leave behind lies beside what is finished, under names that
//! nobody can list or sweep through it, and a full disk is an error like any other. With all that done around it, what is
//! left of it is `rename`.

mod disk;

pub use disk::{Disk, DiskError};
