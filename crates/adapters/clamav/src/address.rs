use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a clamd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClamdAddress {
    /// `host:port`.
    Tcp(String),
    /// `unix:/path/to/socket`.
    Unix(PathBuf),
}

/// Not an address of clamd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address like `host:3310` or `unix:/run/clamav/clamd.ctl`")]
pub struct NotAnAddress;

impl FromStr for ClamdAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(NotAnAddress) };
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(text.to_owned()))
            }
            _ => Err(NotAnAddress),
        }
    }
}

impl fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_port_or_a_socket() {
        for text in ["localhost:3310", "10.0.0.5:3310", "[::1]:3310", "unix:/run/clamav/clamd.ctl"] {
            assert_eq!(text.parse::<ClamdAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "localhost",
            ":3310",
            "localhost:",
            "localhost:70000",
            "tcp://localhost:3310",
            "unix:",
            "unix:ctl",
        ] {
            assert_eq!(text.parse::<ClamdAddress>(), Err(NotAnAddress), "{text}");
        }
    }
}
