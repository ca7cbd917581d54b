use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A language that we write to people in (C-50).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Language {
    /// Spanish: the language of the clinics this is made for.
    #[default]
    #[serde(rename = "es")]
    Spanish,
    /// English.
    #[serde(rename = "en")]
    English,
}

impl Language {
    /// Its tag (RFC 5646), as stored and in JSON.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Spanish => "es",
            Self::English => "en",
        }
    }
}

/// The text names no language of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown language")]
pub struct UnknownLanguage;

impl FromStr for Language {
    type Err = UnknownLanguage;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "es" => Ok(Self::Spanish),
            "en" => Ok(Self::English),
            _ => Err(UnknownLanguage),
        }
    }
}
