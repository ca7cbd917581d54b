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
