//! The checker is checked: servers with a bug in each, people who use them for a moment, and the rule that must see it.
//!
//! Most bugs are planted around the ports of the platform (`alivio_platform::planted`), those of the database in the
//! test's own database. The same people find nothing wrong with a server that is right.
#![cfg(test)]

mod day;

use alivio_checker::{Rule, check};
use alivio_testkit::database::TestDatabase;
use alivio_testkit::history::connect;
use alivio_testkit::server::TestServer;
use futures_util::StreamExt;

/// Servers at a time: two cores, and each mostly waits.
const AT_A_TIME: usize = 4;

/// What is wrong with a server.
#[derive(Clone, Copy)]
enum Bug {
    Nothing,
    /// `ALIVIO_PLANTED_BUG`
    Planted(&'static str),
    /// Statements that spoil its database.
    Stored(&'static str),
}

/// A conversation counts on without a message now and then, as if its numbers came from a clock.
const SEQ_SKIPPED: &str = "
    CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.last_seq > OLD.last_seq AND NEW.last_seq % 5 = 0 THEN NEW.last_seq := NEW.last_seq + 1; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER skip BEFORE UPDATE ON conversations FOR EACH ROW EXECUTE FUNCTION skip();";

/// A message that is sent again is stored again.
const RETRY_STORED_AGAIN: &str = "
    ALTER TABLE messages DROP CONSTRAINT messages_conversation_id_sender_id_client_message_id_key;
    DO $$
    DECLARE source text;
    BEGIN
        SELECT pg_get_functiondef(oid) INTO STRICT source FROM pg_proc WHERE proname = 'append_messages';
        IF source NOT LIKE '%AND m.client_message_id = o.client_message_id%' THEN
            RAISE EXCEPTION 'append_messages has changed; plant the bug anew';
        END IF;
        EXECUTE replace(source, 'AND m.client_message_id = o.client_message_id', 'AND false');
    END $$;";

/// A change is noted twice.
const NOTED_TWICE: &str = "
    CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF pg_trigger_depth() = 1 AND NEW.kind = 'message.deleted' THEN
            INSERT INTO changes (conversation_id, kind, message_id, seq, user_id, at)
            VALUES (NEW.conversation_id, NEW.kind, NEW.message_id, NEW.seq, NEW.user_id, NEW.at);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER twice AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION twice();";

/// People are let in twice, as far as others hear of it.
const LET_IN_TWICE: &str = "
    CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF pg_trigger_depth() = 1 AND NEW.kind = 'participant.joined' THEN
            INSERT INTO changes (conversation_id, kind, user_id, at)
            VALUES (NEW.conversation_id, NEW.kind, NEW.user_id, NEW.at);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER twice AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION twice();";

/// Statements with which what is to be stored in `table` is not, if `condition` holds.
macro_rules! never_stored {
    ($table:literal, $condition:literal) => {
        concat!(
            "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
             CREATE TRIGGER forget BEFORE INSERT ON ",
            $table,
            " FOR EACH ROW WHEN (",
            $condition,
            ") EXECUTE FUNCTION forget();"
        )
    };
}

const PUT_OFF_FOR_EVER: &str = never_stored!("outbox", "NEW.kind = 'messages.scheduled_message_due'");
const EDIT_NOT_FOLLOWED: &str = never_stored!("message_tokens", "NEW.version > 1");
const NEVER_HANDLED: &str = "
    CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.due_at := NULL; RETURN NEW; END $$;
    CREATE TRIGGER give_up BEFORE INSERT ON outbox FOR EACH ROW WHEN (NEW.kind = 'messages.message_deleted')
        EXECUTE FUNCTION give_up();";
const CORRECTION_NOT_AUDITED: &str = never_stored!("audit_log", "NEW.action = 'message.corrected'");
const REPORT_NOT_AUDITED: &str = never_stored!("audit_log", "NEW.action = 'message.reported'");

/// Days that a bug is given to show.
const DAYS: usize = 4;

const BUGS: [(Bug, Rule); 26] = [
    (Bug::Planted("commit_lost"), Rule::Lost),
    (Bug::Planted("refused_stored"), Rule::Phantom),
    (Bug::Stored(RETRY_STORED_AGAIN), Rule::Duplicate),
    (Bug::Planted("other_words_told"), Rule::Divergence),
    (Bug::Stored(SEQ_SKIPPED), Rule::Gap),
    (Bug::Planted("resume_skips"), Rule::Order),
    (Bug::Planted("resume_repeats"), Rule::Order),
    (Bug::Planted("resume_reorders"), Rule::Order),
    (Bug::Planted("hints_only"), Rule::Order),
    (Bug::Planted("commit_late"), Rule::RealTime),
    (Bug::Planted("pairs_swapped"), Rule::ProgramOrder),
    (Bug::Planted("falls_silent"), Rule::Unseen),
    (Bug::Planted("permission_cached"), Rule::Entitlement),
    (Bug::Planted("past_shown"), Rule::Entitlement),
    (Bug::Planted("marks_go_back"), Rule::Marks),
    (Bug::Planted("unread_wrong"), Rule::Marks),
    (Bug::Planted("edit_forgets"), Rule::Versions),
    (Bug::Stored(NOTED_TWICE), Rule::Effects),
    (Bug::Stored(LET_IN_TWICE), Rule::Effects),
    (Bug::Stored(PUT_OFF_FOR_EVER), Rule::Effects),
    (Bug::Stored(EDIT_NOT_FOLLOWED), Rule::Effects),
    (Bug::Stored(NEVER_HANDLED), Rule::Effects),
    (Bug::Planted("reactions_doubled"), Rule::Effects),
    (Bug::Planted("audit_missing"), Rule::Audit),
    (Bug::Stored(CORRECTION_NOT_AUDITED), Rule::Audit),
    (Bug::Stored(REPORT_NOT_AUDITED), Rule::Audit),
];

/// Lets people use a server with this bug, and says which rules it breaks.
async fn broken_by(bug: Bug) -> Vec<alivio_checker::Violation> {
    let database = TestDatabase::new().await.expect("a database");
    let mut environment = vec![("ALIVIO_SOCKET_COMMANDS_PER_SECOND", "1000000")];
    match bug {
        Bug::Nothing => {}
        Bug::Planted(name) => environment.push(("ALIVIO_PLANTED_BUG", name)),
        Bug::Stored(sql) => {
            let client = connect(database.url()).await.expect("a connection");
            client.batch_execute(sql).await.expect("a bug");
        }
    }
    let server = TestServer::start(env!("CARGO_BIN_EXE_alivio"), database.url(), &environment).await;
    let (lines, end) = day::spend(&server, database.url()).await;
    check(&lines, &end)
}

/// What is broken on the first day on which `rule` is: whoever comes back may have missed too little to show a bug.
async fn seen(bug: Bug, rule: Rule) -> Vec<alivio_checker::Violation> {
    let mut found = Vec::new();
    for _ in 0..DAYS {
        found = broken_by(bug).await;
        if found.iter().any(|violation| violation.rule == rule) {
            break;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_planted_bug_is_seen_by_its_rule() {
    let runs = BUGS.iter().map(async |(bug, rule)| (*bug, *rule, seen(*bug, *rule).await));
    let mut runs = futures_util::stream::iter(runs).buffer_unordered(AT_A_TIME);
    let mut missed = Vec::new();
    while let Some((bug, rule, found)) = runs.next().await {
        let name = match bug {
            Bug::Planted(name) | Bug::Stored(name) => name,
            Bug::Nothing => "nothing",
        };
        let mut rules: Vec<_> = found.iter().map(|violation| violation.rule).collect();
        rules.dedup();
        println!("{}: {rules:?}", name.trim().lines().next().unwrap_or_default());
        if !rules.contains(&rule) {
            missed.push(format!("{name} is to be seen by {rule:?}, but: {rules:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(
        Rule::ALL.iter().all(|rule| BUGS.iter().any(|(_, seen_by)| seen_by == rule)),
        "a rule is untested"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_seen_where_nothing_is_wrong() {
    let found = broken_by(Bug::Nothing).await;
    assert!(found.is_empty(), "{}", found.iter().map(|v| format!("{v}\n")).collect::<String>());
}
