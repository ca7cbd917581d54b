//! Where blobs are kept: on a disk, or in a bucket of S3.
//!
//! | | [`Disk`] | [`S3`] |
//! |---|---|---|
//! | a blob is | a file, `blobs/<last byte of the owner>/<owner>.<part>` | an object, `<prefix>/<owner>/<part>` |
//! | an unfinished one | a file in `unfinished/`, under a name that tells nothing | an upload in parts |
//! | finished | written, synced, renamed to its place, and the folder synced | completed, and found as long as it is |
//! | memory | 1 MiB for each that is written or read, whatever its size | 10 MiB for each that is written: two parts, which S3 wants no smaller |
//! | time | the disk's | a request that fails by its server's or the network's fault is tried four times more, within a minute |
//!
//! # Why the disk is not `object_store`'s
//!
//! Its `LocalFileSystem` promises less than a [`BlobStore`](alivio_files::BlobStore) must. It syncs what it writes if it is
//! asked to (`with_fsync`), but not what it deletes; what its writers leave behind lies beside what is finished, under names
//! that nobody can list or sweep through it; a full disk is an error like any other. With all that done around it, what
//! would be left of it is `rename`.

mod disk;
mod s3;

pub use disk::{Disk, DiskError};
pub use s3::{S3, S3Credentials, S3Error, S3Options};
