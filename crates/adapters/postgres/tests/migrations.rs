//! Every migration can be taken back, and made again.
#![cfg(test)]

use alivio_postgres::{migrate, revert_all};
use alivio_testkit::database::TestDatabase;
use tokio_postgres::NoTls;

/// Tables, sequences and functions of ours.
async fn objects(url: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let query = "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace
            AND relname NOT LIKE '\\_\\_diesel%')
        + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            AND proname NOT LIKE 'diesel%')";
    let count = client.query_one(query, &[]).await.unwrap().get(0);
    drop(client);
    connection.await.unwrap().unwrap();
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_back_to_nothing_and_forth_again() {
    let database = TestDatabase::new().await.unwrap();
    let before = objects(database.url()).await;
    assert!(before > 20, "{before}");
    revert_all(database.url()).await.unwrap();
    assert_eq!(objects(database.url()).await, 0);
    migrate(database.url()).await.unwrap();
    assert_eq!(objects(database.url()).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_migrate_once() {
    let database = TestDatabase::new().await.unwrap();
    revert_all(database.url()).await.unwrap();
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move { migrate(&url).await })
        })
        .collect();
    for node in nodes {
        node.await.unwrap().unwrap();
    }
}

/// Clients ignore a message with a lower revision than they have: what is numbered later counts on from there.
#[tokio::test(flavor = "multi_thread")]
async fn changes_from_before_they_were_numbered_stay_in_their_order_below_what_comes() {
    const UP: &str = include_str!("../../../../migrations/2026-11-21-000310_numbered_changes/up.sql");
    const DOWN: &str = include_str!("../../../../migrations/2026-11-21-000310_numbered_changes/down.sql");
    let database = TestDatabase::new().await.unwrap();
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(DOWN).await.unwrap();
    // Three messages: changed seven times long ago, never, and once of late; and a conversation where nothing changed.
    let old = "
        SET session_replication_role = replica;
        INSERT INTO conversations (id, kind, created_by, created_at, updated_at, last_seq)
        SELECT id::uuid, 'group', id::uuid, now(), now(), 3
        FROM (VALUES ('00000000-0000-0000-0000-0000000000c1'), ('00000000-0000-0000-0000-0000000000c2')) c (id);
        INSERT INTO messages (id, ref_number, conversation_id, seq, sender_id, message_type, priority, content,
            client_message_id, fingerprint, created_at, edited_at, revision)
        SELECT gen_random_uuid(), seq, '00000000-0000-0000-0000-0000000000c1', seq,
            '00000000-0000-0000-0000-0000000000c1', 'text', 'normal', 'x', seq::text, 'x', now() - interval '1 year',
            now() - age::interval, revision
        FROM (VALUES (1, 7, '1 minute'), (2, 0, NULL), (3, 1, '1 day')) m (seq, revision, age);
        SET session_replication_role = DEFAULT;";
    client.batch_execute(old).await.unwrap();
    client.batch_execute(UP).await.unwrap();
    let revisions = client.query("SELECT revision FROM messages ORDER BY seq", &[]).await.unwrap();
    let revisions: Vec<i64> = revisions.iter().map(|row| row.get(0)).collect();
    assert_eq!(revisions, [9, 0, 8]);
    let last = client.query("SELECT last_revision FROM conversations ORDER BY id", &[]).await.unwrap();
    assert_eq!(last.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [9, 0]);
    drop(client);
    connection.await.unwrap().unwrap();
}

/// Those who wrote while it was closed are answered, whichever version took their message.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_events_of_messages_those_that_set_something_off_stay() {
    const UP: &str = include_str!("../../../../migrations/2026-11-22-000380_messages_without_events/up.sql");
    const DOWN: &str =
        include_str!("../../../../migrations/2026-11-22-000380_messages_without_events/down.sql");
    let database = TestDatabase::new().await.unwrap();
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let waiting = async || {
        let rows = client.query("SELECT kind || payload::text FROM outbox ORDER BY 1", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    client.batch_execute(DOWN).await.unwrap();
    let old = r#"
        INSERT INTO outbox (id, kind, payload, at, due_at)
        SELECT gen_random_uuid(), kind, payload::jsonb, now(), now() FROM (VALUES
            ('messages.message_sent', '{"seq": 7}'), ('messages.message_sent', '{"seq": 8, "quiet": "answered"}'),
            ('messages.message_edited', '{"version": 2}')) e (kind, payload)"#;
    client.batch_execute(old).await.unwrap();
    client.batch_execute(UP).await.unwrap();
    let edited = r#"messages.message_edited{"version": 2}"#;
    assert_eq!(waiting().await, [edited, r#"messages.message_outside_hours{"quiet": "answered"}"#]);
    client.batch_execute(DOWN).await.unwrap();
    assert_eq!(waiting().await, [edited, r#"messages.message_sent{"seq": 0, "quiet": "answered"}"#]);
    drop(client);
    connection.await.unwrap().unwrap();
}
