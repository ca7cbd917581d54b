//! Everyone loses the connection at once, and comes back: each in turn, with nothing missing, nothing twice, and nothing
//! that is not for them (WS-08, AZ-04).

use alivio_testkit::server::{AISHA, CARLOS, MARIA, eventually};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::{FAST, World, number, text};

fn resume(conversation: &str, last_seq: i64) -> Value {
    json!({"type": "resume", "conversation_id": conversation, "last_seq": last_seq})
}

#[tokio::test]
async fn a_crowd_that_comes_back_at_once_misses_nothing_and_hears_nothing_twice() {
    const CROWD: usize = 120;
    const BEFORE: i64 = 6;
    const AFTER: i64 = 20;
    let few = [("ALIVIO_DATABASE_CONNECTIONS", "1"), ("ALIVIO_RESUMES_AT_ONCE", "16"), FAST[0]];
    let world = World::with(&few).await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let mut groups = Vec::new();
    for name in ["A", "B", "C"] {
        let group = maria.open_group(name, &[&carlos, &aisha]).await;
        for n in 0..BEFORE {
            maria.send(&group, &format!("{n}")).await;
        }
        maria.delete(&format!("/conversations/{group}/participants/{}", aisha.id)).await.expect(204);
        groups.push(group);
    }

    let come_back = async |nth: usize| {
        let (person, group) = ([&maria, &carlos, &aisha][nth % 3], &groups[nth / 3 % 3]);
        let from = i64::try_from(nth).expect("few") % (BEFORE + 1);
        let mut socket = person.connect().await;
        let reference = socket.command(resume(group, from)).await;
        let answer = socket.answer(&reference).await;
        if nth % 3 == 2 {
            assert_eq!(text(&answer.expect_err("she was removed"), "error"), "not_found");
            let heard = socket.settled().await;
            assert!(!heard.iter().any(|frame| frame["type"] == "message.created"), "{heard:?}");
            return;
        }
        answer.expect("an ack");
        let mut expected = from + 1;
        while expected <= BEFORE + AFTER {
            let told = socket.find(|frame| frame["type"] == "message.created").await;
            assert_eq!((number(&told, "seq"), told["conversation_id"].as_str()), (expected, Some(&**group)));
            expected += 1;
        }
    };
    let go_on = async {
        for n in 0..AFTER {
            for group in &groups {
                maria.send(group, &format!("{n}")).await;
            }
        }
    };
    tokio::join!(join_all((0..CROWD).map(come_back)), go_on);
}

#[tokio::test]
async fn whoever_waits_too_long_is_told_when_to_come_back_and_others_are_served() {
    const WAITS: &str = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%shows_reading%'";
    let narrow = [("ALIVIO_RESUMES_AT_ONCE", "1"), ("ALIVIO_RESUME_WAIT_SECONDS", "1")];
    let world = World::with(&narrow).await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let conversation = maria.open_direct(&carlos.id).await;
    maria.send(&conversation, "hola").await;
    let (mut first, mut second) = (maria.connect().await, carlos.connect().await);
    let connect = async || {
        let (client, connection) =
            tokio_postgres::connect(world.database.url(), NoTls).await.expect("the database");
        (client, tokio::spawn(connection))
    };
    // A transaction sees of the others what they did when it first looked.
    let ((mut client, connection), (onlooker, looking)) = (connect().await, connect().await);
    let held = client.transaction().await.expect("a transaction");
    held.execute("LOCK TABLE participants IN ACCESS EXCLUSIVE MODE", &[]).await.expect("the lock");

    let reference = first.command(resume(&conversation, 0)).await;
    eventually("the first one is inside", async || {
        onlooker.query_one(WAITS, &[]).await.expect("an answer").get::<_, i64>(0) > 0
    })
    .await;
    second.command(resume(&conversation, 0)).await;
    assert_eq!(second.close_code().await, Some(1013));
    let reason = second.close_reason().expect("a reason").to_owned();
    let after: u64 = reason.strip_prefix("try_again retry_after=").expect(&reason).parse().expect("seconds");
    assert!((5..=20).contains(&after), "{reason}");
    carlos.get("/auth/me").await.expect(200);

    held.rollback().await.expect("no error");
    assert_eq!(number(&first.expect_ack(&reference).await, "replayed"), 1);
    let mut again = carlos.connect().await;
    assert_eq!(number(&again.call(resume(&conversation, 0)).await, "replayed"), 1);
    connection.abort();
    looking.abort();
}

/// Pages of 2 MiB would fill up the mostly empty buffers of ten thousand sockets.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_idle_socket_takes_no_more_memory_than_it_fills() {
    let world = World::new().await;
    assert_eq!(world.server.status("THP_enabled").as_deref(), Some("0"));
}
