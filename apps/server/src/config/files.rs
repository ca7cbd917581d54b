//! Where files are kept, and who looks at them.

use std::path::{Path, PathBuf};

use alivio_clamav::ClamdAddress;
use alivio_kernel::Sensitive;
use alivio_object_storage::{S3Credentials, S3Options};

use super::{ConfigError, Setting, invalid, setting};

pub(super) const FILES: Setting = setting(
    "ALIVIO_FILES",
    "<data dir>/files",
    "where files are kept, encrypted: a folder, or `s3://bucket/prefix`; all nodes need the same",
);
pub(super) const REGION: Setting = setting("AWS_REGION", "us-east-1", "region of the bucket");
pub(super) const ENDPOINT: Setting =
    setting("AWS_ENDPOINT_URL", "", "an S3 of your own, like `https://s3.clinic.example`; unset, Amazon's");
pub(super) const KEY_ID: Setting = setting(
    "AWS_ACCESS_KEY_ID",
    "",
    "who may use the bucket; unset, whoever the machine or container is for Amazon",
);
pub(super) const SECRET: Setting = setting("AWS_SECRET_ACCESS_KEY", "", "their secret");
pub(super) const CLAMD: Setting = setting(
    "ALIVIO_CLAMD",
    "sandbox in development",
    "the clamd that looks for malware in files, `host:3310` or `unix:/run/clamav/clamd.ctl`, or `sandbox`, which finds EICAR only; needed in production",
);

/// Where files are kept.
#[derive(Debug, Clone)]
pub(crate) enum FilesConfig {
    Folder(PathBuf),
    S3(S3Options),
}

/// Who looks for malware.
#[derive(Debug, Clone)]
pub(crate) enum ScannerConfig {
    Sandbox,
    Clamd(ClamdAddress),
}

pub(super) fn files<'a>(
    get: &impl Fn(&str) -> Option<&'a str>,
    data_dir: &Path,
) -> Result<FilesConfig, ConfigError> {
    let Some(place) = get(FILES.name) else { return Ok(FilesConfig::Folder(data_dir.join("files"))) };
    let Some(bucket) = place.strip_prefix("s3://") else {
        return match place.contains("://") {
            true => Err(invalid(FILES.name, place, "a folder, or `s3://bucket/prefix`")),
            false => Ok(FilesConfig::Folder(place.into())),
        };
    };
    let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
    if bucket.is_empty() {
        return Err(invalid(FILES.name, place, "a folder, or `s3://bucket/prefix`"));
    }
    let endpoint = get(ENDPOINT.name);
    if endpoint.is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
        return Err(invalid(
            ENDPOINT.name,
            endpoint.unwrap_or_default(),
            "a URL like `https://s3.clinic.example`",
        ));
    }
    let credentials = match (get(KEY_ID.name), get(SECRET.name)) {
        (Some(key_id), Some(secret)) => {
            Some(S3Credentials { key_id: key_id.to_owned(), secret: Sensitive::new(secret.to_owned()) })
        }
        (None, None) => None,
        (Some(_), None) => {
            return Err(ConfigError::Missing { name: SECRET.name, why: "AWS_ACCESS_KEY_ID needs it" });
        }
        (None, Some(_)) => {
            return Err(ConfigError::Missing { name: KEY_ID.name, why: "AWS_SECRET_ACCESS_KEY needs it" });
        }
    };
    Ok(FilesConfig::S3(S3Options {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        region: get(REGION.name).unwrap_or(REGION.default).to_owned(),
        endpoint: endpoint.map(str::to_owned),
        credentials,
        ..S3Options::default()
    }))
}

/// Who looks for malware; `None` if production was not told.
pub(super) fn scanner<'a>(
    get: &impl Fn(&str) -> Option<&'a str>,
    production: bool,
) -> Result<Option<ScannerConfig>, ConfigError> {
    Ok(match get(CLAMD.name) {
        None if production => None,
        Some("sandbox") if production => return Err(ConfigError::SandboxScannerInProduction),
        None | Some("sandbox") => Some(ScannerConfig::Sandbox),
        Some(address) => Some(ScannerConfig::Clamd(address.parse().map_err(|_| {
            invalid(CLAMD.name, address, "`host:3310`, `unix:/run/clamav/clamd.ctl` or `sandbox`")
        })?)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::parse(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn files_lie_with_the_data_unless_told_otherwise() {
        let folder = |variables: &[(&str, &str)]| match parse(variables).unwrap().files {
            FilesConfig::Folder(folder) => folder,
            FilesConfig::S3(_) => panic!("not a folder"),
        };
        assert_eq!(folder(&[]), PathBuf::from(".alivio/files"));
        assert_eq!(folder(&[("ALIVIO_DATA_DIR", "/srv/alivio")]), PathBuf::from("/srv/alivio/files"));
        assert_eq!(folder(&[("ALIVIO_FILES", "/mnt/files")]), PathBuf::from("/mnt/files"));
    }

    #[test]
    fn a_bucket_may_have_a_prefix_and_shows_no_secret() {
        let keys = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
        let bucket = |place| {
            let config = parse(&[&[("ALIVIO_FILES", place)], &keys[..]].concat()).unwrap().files;
            assert!(!format!("{config:?}").contains("hunter2"));
            match config {
                FilesConfig::S3(options) => (options.bucket, options.prefix),
                FilesConfig::Folder(_) => panic!("not a bucket"),
            }
        };
        let clinic = |prefix: &str| ("clinic".to_owned(), prefix.to_owned());
        assert_eq!(bucket("s3://clinic"), clinic(""));
        assert_eq!(bucket("s3://clinic/"), clinic(""));
        assert_eq!(bucket("s3://clinic/files/2026/"), clinic("files/2026"));
    }

    #[test]
    fn what_a_bucket_lacks_is_named() {
        let s3 = ("ALIVIO_FILES", "s3://clinic");
        let lacks = |variable| parse(&[s3, variable]).err().unwrap().to_string();
        assert!(lacks(("AWS_ACCESS_KEY_ID", "AKIA")).starts_with("AWS_SECRET_ACCESS_KEY is not set"));
        assert!(lacks(("AWS_SECRET_ACCESS_KEY", "hunter2")).starts_with("AWS_ACCESS_KEY_ID is not set"));
        assert!(lacks(("AWS_ENDPOINT_URL", "s3.clinic.example")).contains("must be a URL"));
        assert!(parse(&[("ALIVIO_FILES", "s3://")]).err().unwrap().to_string().contains("must be a folder"));
        assert!(
            parse(&[("ALIVIO_FILES", "gs://clinic")]).err().unwrap().to_string().contains("must be a folder")
        );
    }

    #[test]
    fn production_needs_a_scanner_that_finds_something() {
        let production = ("ALIVIO_ENV", "production");
        assert!(matches!(parse(&[]).unwrap().scanner(), Ok(ScannerConfig::Sandbox)));
        assert!(matches!(
            parse(&[("ALIVIO_CLAMD", "clamd:3310")]).unwrap().scanner(),
            Ok(ScannerConfig::Clamd(_))
        ));
        let missing = parse(&[production]).unwrap().scanner().unwrap_err().to_string();
        assert!(missing.starts_with("ALIVIO_CLAMD is not set"), "{missing}");
        let sandbox = parse(&[production, ("ALIVIO_CLAMD", "sandbox")]);
        assert!(matches!(sandbox, Err(ConfigError::SandboxScannerInProduction)));
        let socket = [production, ("ALIVIO_CLAMD", "unix:/run/clamav/clamd.ctl")];
        assert!(matches!(parse(&socket).unwrap().scanner(), Ok(ScannerConfig::Clamd(ClamdAddress::Unix(_)))));
        assert!(parse(&[("ALIVIO_CLAMD", "/run/clamd")]).err().unwrap().to_string().contains("must be"));
    }
}
