//! Where the mail goes.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::World;

#[tokio::test]
async fn the_sandbox_shows_what_it_keeps_to_those_who_try_the_product() {
    let world = World::new().await;
    let anonymous = world.anonymous();
    for path in ["//dev/outbox", "//dev/outbox?to=ana.lopez%40clinic.example"] {
        let answer = anonymous.get(path).await;
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("no-store")));
        assert!(answer.expect(200)["items"].is_array(), "{path}");
    }
    let none = anonymous.get("//dev/outbox?to=nobody%40clinic.example").await.expect(200);
    assert_eq!(none, json!({"items": []}));
    anonymous.get("//dev/outbox?from=x").await.problem(422, "validation_failed");
    // It is for trying the product, and no part of the API.
    assert!(!anonymous.get("//openapi.json").await.text.contains("outbox"));
}

#[tokio::test]
async fn with_a_mail_server_there_is_nothing_to_look_at() {
    let mail = [
        ("ALIVIO_MAIL", "smtp"),
        ("SMTP_URL", "smtp://127.0.0.1:9"),
        ("ALIVIO_MAIL_FROM", "avisos@clinic.example"),
    ];
    let world = World::with(&mail).await;
    world.anonymous().get("//dev/outbox").await.problem(404, "not_found");
    world.anonymous().get("//dev/outbox?to=x").await.problem(404, "not_found");
}

#[test]
fn production_does_not_start_without_being_told_how_mail_leaves_and_who_looks_at_files() {
    // The error names what to set, and no secret.
    for (settings, named) in [
        (&[][..], "ALIVIO_MAIL"),
        (&[("ALIVIO_MAIL", "sandbox")], "ALIVIO_MAIL"),
        (&[("ALIVIO_MAIL", "sendgrid")], "SENDGRID_API_KEY"),
        (
            &[
                ("ALIVIO_MAIL", "sendgrid"),
                ("SENDGRID_API_KEY", "SG.hunter2"),
                ("ALIVIO_MAIL_FROM", "a@b.example"),
            ],
            "ALIVIO_PUBLIC_URL",
        ),
        (
            &[
                ("ALIVIO_MAIL", "sendgrid"),
                ("SENDGRID_API_KEY", "SG.hunter2"),
                ("ALIVIO_MAIL_FROM", "a@b.example"),
                ("ALIVIO_PUBLIC_URL", "https://clinic.example"),
            ],
            "ALIVIO_CLAMD",
        ),
    ] {
        let ended = Command::new(env!("CARGO_BIN_EXE_alivio"))
            .env_clear()
            .envs([("ALIVIO_ENV", "production"), ("ALIVIO_BIND", "127.0.0.1:0")])
            .env("ALIVIO_DATA_DIR", std::env::temp_dir().join("alivio-never-made"))
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(
            !ended.status.success() && said.contains(named) && !said.contains("hunter2"),
            "{named}: {said}"
        );
    }
}
