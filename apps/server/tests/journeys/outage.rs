//! The database goes away for a moment: clients are told to try again, and nothing is lost or doubled.

use alivio_testkit::server::{ANA, MARIA, eventually};
use serde_json::json;
use tokio_postgres::NoTls;

use crate::World;

const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn connections_cut_under_load_lose_and_double_nothing() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = format!("/conversations/{conversation}/messages");
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("the database");
    let connection = tokio::spawn(connection);

    let mut refused = 0;
    for n in 0..40 {
        if n % 4 == 0 {
            let cut: i64 = client.query_one(CUT, &[]).await.expect("an answer").get(0);
            assert!(cut > 0, "nothing was connected");
        }
        let message = json!({"content": format!("n.º {n}"), "client_message_id": format!("c-{n}")});
        eventually("the message is taken", async || {
            let answer = ana.post(&path, &message).await;
            if answer.status == 503 {
                refused += 1;
                assert_eq!(answer.json["error"], "unavailable");
                assert!(answer.header("retry-after").is_some());
            }
            matches!(answer.status, 200 | 201)
        })
        .await;
    }
    drop(client);
    // The connection ends when its client has gone.
    connection.await.expect("no panic").expect("no error");

    assert!(refused > 0, "no request noticed");
    let history = maria.history(&conversation).await;
    let mut said: Vec<_> = history.iter().map(|m| m["client_message_id"].as_str().expect("a name")).collect();
    said.sort_unstable();
    let mut expected: Vec<_> = (0..40).map(|n| format!("c-{n}")).collect();
    expected.sort_unstable();
    assert_eq!(said, expected);
}
