//! Every letter in every language, word for word. `WRITE_LETTERS=1 cargo test -p alivio-notifications` writes
//! them anew; then read what changed.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use alivio_kernel::ids::{EventId, Uuid};
use alivio_kernel::{Language, Role, Sensitive};
use alivio_notifications::{Letter, OutgoingMail, PublicOrigin, render};

fn letters() -> Vec<Letter> {
    let secret = |secret: &str| Sensitive::new(secret.to_owned());
    vec![
        Letter::ConfirmEmail { token: secret("alc_confirmation") },
        Letter::AlreadyRegistered,
        Letter::Invitation { token: secret("ali_invitation"), role: Role::Doctor },
        Letter::TemporaryPassword { password: secret("Kx7-temporary<&>") },
        Letter::PasswordReset { token: secret("alp_reset") },
        Letter::PasswordChanged,
        Letter::UnusualSignIn,
        Letter::SessionEvicted,
        Letter::TokenReused,
        Letter::SecondFactorOn,
        Letter::SecondFactorOff,
        Letter::AccountDeactivated,
        Letter::CredentialsVerified,
        Letter::CredentialsRejected,
        Letter::ContactRequested,
        Letter::BreakGlassUsed,
        Letter::ConversationOpenedByAdmin,
        Letter::CareBlockRaised,
        Letter::ManyDownloaded,
        Letter::EmergencyPaged,
    ]
}

#[test]
fn every_letter_reads_as_committed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/letters");
    let write = std::env::var_os("WRITE_LETTERS").is_some();
    let origin = PublicOrigin::parse("https://app.clinic.example").unwrap();
    let mut files = BTreeSet::new();
    for letter in letters() {
        for language in [Language::Spanish, Language::English] {
            let name = format!("{}.{}.txt", letter.kind(), language.tag());
            let mail = render(
                &OutgoingMail {
                    id: EventId::from(Uuid::nil()),
                    to: Sensitive::new("ana@clinic.example".to_owned()),
                    language,
                    letter: letter.clone(),
                },
                &origin,
            );
            let (text, html) = (mail.text.expose(), mail.html.expose());
            let words = format!("Subject: {}\n\n{text}\n{html}", mail.subject);
            if write {
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(&name), &words).unwrap();
            }
            let committed = fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert_eq!(words, committed, "{name}: set WRITE_LETTERS=1 and read what changed");

            // Whatever is said, it is said without naming anyone, and in both shapes alike.
            assert!(!words.contains("ana@") && !mail.subject.contains(['\r', '\n']), "{name}");
            assert!(
                html.starts_with("<!doctype html>") && html.contains(&format!("lang=\"{}\"", language.tag()))
            );
            for loaded in ["<img", "<script", "<link", "src=", "url("] {
                assert!(!html.contains(loaded), "{name}");
            }
            files.insert(name);
        }
    }
    let found = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<BTreeSet<_>>(), files, "a letter that nobody sends");
}
