//! Search finds the newest, however many there are: compared with looking at everything.
#![cfg(test)]

use alivio_accounts::{StoredUser, UserStore};
use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::{IdSource, Language, Role, Sealed, Sensitive, SystemIds};
use alivio_messages::{AskedToken, FoundAfter, IndexEntry, IndexFilter, SearchIndex, Turn};
use alivio_postgres::{Database, DatabaseOptions};
use alivio_testkit::database::TestDatabase;
use alivio_testkit::server::eventually;
use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::NoTls;

const CONVERSATIONS: &str = "
    INSERT INTO conversations (id, kind, created_by, created_at, updated_at, creation_key, creation_fingerprint)
    SELECT id, 'group', $2, now(), now(), id::text, '\\x00' FROM unnest($1::uuid[]) AS id";
const PARTICIPANTS: &str = "
    INSERT INTO participants (conversation_id, user_id, role, joined_at, joined_seq, left_seq, left_at, delivered_up_to,
        read_up_to)
    SELECT id, $2, 'member', now(), joined, nullif(gone, 0), CASE WHEN gone > 0 THEN now() END, 0, 0
    FROM unnest($1::uuid[], $3::bigint[], $4::bigint[]) AS p (id, joined, gone)";
const MESSAGES: &str = "
    INSERT INTO messages (id, ref_number, conversation_id, seq, sender_id, message_type, priority, content,
        client_message_id, fingerprint, created_at)
    SELECT m.id, nextval('message_numbers'), m.place, m.seq, $5, 'text', 'normal', '\\x01', m.id::text, '\\x00', m.at
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[]) AS m (id, place, seq, at)";

/// In every message of the long log.
const COMMON: i64 = 1;
/// In the older half of the long log.
const PAST: i64 = 2;
/// In few messages of each.
const RARE: i64 = 3;
/// In every third.
const THIRD: i64 = 4;

struct Said {
    entry: IndexEntry,
    at: DateTime<Utc>,
    /// Whether the one who searches may see it.
    seen: bool,
}

/// As in the product, a word has another token in each conversation.
fn token(conversation: usize, word: i64) -> i64 {
    i64::try_from(conversation).unwrap() * 1_000 + word
}

fn began() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

/// `(messages, seconds between them, joined at, left at)` of each conversation.
const LOGS: [(i64, i64, i64, i64); 4] = [(5_000, 2, 1, 0), (60, 150, 20, 0), (300, 30, 1, 200), (1, 1, 1, 0)];

fn log(number: usize, id: ConversationId) -> impl Iterator<Item = Said> {
    let (length, pace, joined, left) = LOGS[number];
    (1..=length).map(move |seq| {
        let has = |word: &i64| match *word {
            COMMON => true,
            PAST => seq <= length / 2,
            RARE => seq % 400 == 7,
            _ => seq % 3 == 0,
        };
        let words = [COMMON, PAST, RARE, THIRD];
        let entry = IndexEntry {
            message_id: MessageId::generate(&SystemIds),
            conversation_id: id,
            seq,
            version: 1,
            tokens: words.iter().filter(|word| has(word)).map(|word| token(number, *word)).collect(),
        };
        Said { entry, at: began() + TimeDelta::seconds(seq * pace), seen: seq >= joined && left == 0 }
    })
}

async fn user(database: &Database) -> UserId {
    let user = StoredUser {
        id: UserId::generate(&SystemIds),
        identity: Sealed::from_bytes(vec![1]),
        role: Role::Doctor,
        professional_title: None,
        language: Language::Spanish,
        is_active: true,
        last_seen_at: None,
        created_at: began(),
    };
    let address = SystemIds.uuid().into_bytes();
    database.insert(&user, address, &Sensitive::new(String::new())).await.unwrap();
    user.id
}

#[tokio::test]
async fn the_newest_are_found_however_many_there_are() {
    let test = TestDatabase::new().await.unwrap();
    let database = Database::new(test.url(), DatabaseOptions::default()).unwrap();
    let (sql, connection) = tokio_postgres::connect(test.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let viewer = user(&database).await;
    let places: Vec<ConversationId> = LOGS.iter().map(|_| ConversationId::generate(&SystemIds)).collect();
    let mut said: Vec<Said> = (0..).zip(&places).flat_map(|(number, id)| log(number, *id)).collect();

    let ids: Vec<Uuid> = places.iter().map(|id| id.uuid()).collect();
    let (joined, left): (Vec<i64>, Vec<i64>) = LOGS.iter().map(|log| (log.2, log.3)).unzip();
    sql.execute(CONVERSATIONS, &[&ids, &viewer.uuid()]).await.unwrap();
    sql.execute(PARTICIPANTS, &[&ids, &viewer.uuid(), &joined, &left]).await.unwrap();
    let stored: Vec<Uuid> = said.iter().map(|said| said.entry.message_id.uuid()).collect();
    let where_to: Vec<Uuid> = said.iter().map(|said| said.entry.conversation_id.uuid()).collect();
    let seqs: Vec<i64> = said.iter().map(|said| said.entry.seq).collect();
    let times: Vec<DateTime<Utc>> = said.iter().map(|said| said.at).collect();
    sql.execute(MESSAGES, &[&stored, &where_to, &seqs, &times, &viewer.uuid()]).await.unwrap();
    let entries: Vec<IndexEntry> = said.iter().map(|said| said.entry.clone()).collect();
    database.put(1, &entries).await.unwrap();
    database.tidy().await.unwrap();
    let left = "SELECT gin_clean_pending_list('message_tokens_by_token')";
    let left: i64 = sql.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "what waited to be sorted in has been");

    said.retain(|said| said.seen);
    said.sort_by_key(|said| std::cmp::Reverse((said.at, said.entry.message_id)));
    // Each word as the terms of which one must be there.
    let questions: [&[&[i64]]; 9] = [
        &[&[COMMON]],
        &[&[PAST]],
        &[&[RARE]],
        &[&[COMMON], &[RARE]],
        &[&[COMMON, RARE]],
        &[&[PAST, RARE], &[THIRD, RARE]],
        &[&[COMMON], &[PAST, THIRD], &[RARE, COMMON]],
        // More words than are asked of the index.
        &[&[COMMON], &[COMMON], &[THIRD], &[COMMON], &[PAST]],
        &[&[COMMON], &[COMMON], &[COMMON], &[COMMON], &[THIRD], &[PAST, RARE]],
    ];
    for question in questions {
        let mut asked = Vec::new();
        for (number, conversation_id) in places.iter().enumerate() {
            for (word, terms) in (0..).zip(question) {
                asked.extend(terms.iter().map(|term| AskedToken {
                    conversation_id: *conversation_id,
                    word,
                    token: token(number, *term),
                }));
            }
        }
        let until = Some(began() + TimeDelta::seconds(7_000));
        for (until, size) in [(None, 40), (None, 10), (until, 40)] {
            let is_wanted = |said: &&Said| {
                let number = places.iter().position(|id| *id == said.entry.conversation_id).unwrap();
                let has = |term: &i64| said.entry.tokens.contains(&token(number, *term));
                until.is_none_or(|until| said.at < until) && question.iter().all(|word| word.iter().any(has))
            };
            let expected: Vec<MessageId> =
                said.iter().filter(is_wanted).map(|said| said.entry.message_id).take(200).collect();
            let mut found = Vec::new();
            let mut after = None;
            while found.len() < 200 {
                let filter = IndexFilter { until, after, ..IndexFilter::default() };
                let page = database.find(viewer, &asked, &filter, began(), size).await.unwrap();
                let Some(last) = page.last() else { break };
                let header = &last.header;
                after = Some(FoundAfter { created_at: header.created_at, message_id: header.id });
                found.extend(page.iter().map(|message| message.header.id));
            }
            assert_eq!(found, expected, "{question:?} until {until:?}, {size} at a time");
        }
    }
}

#[tokio::test]
async fn changes_are_followed_in_order_by_one_node_and_none_is_passed_over() {
    let test = TestDatabase::new().await.unwrap();
    let database = Database::new(test.url(), DatabaseOptions::default()).unwrap();
    let (mut late, connection) = tokio_postgres::connect(test.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let (sql, connection) = tokio_postgres::connect(test.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let note =
        "INSERT INTO changes (conversation_id, kind, message_id, seq, at) VALUES ($1, $2, $3, 1, now())";
    let place = SystemIds.uuid();
    let messages: Vec<MessageId> = (0..4).map(|_| MessageId::generate(&SystemIds)).collect();
    let [first, second, reacted, last] = [0, 1, 2, 3].map(|n: usize| messages[n].uuid());
    let (one, other) = (SystemIds.uuid(), SystemIds.uuid());
    let turn = |of, seconds| {
        let now = began() + TimeDelta::seconds(seconds);
        Turn { of, now, until: now + TimeDelta::seconds(5) }
    };
    assert_eq!(database.unfollowed(&turn(one, 0), 10).await.unwrap(), []);

    // One is stored, while one that began before it is still at work.
    let transaction = late.transaction().await.unwrap();
    transaction.execute(note, &[&place, &"message.created", &first]).await.unwrap();
    sql.execute(note, &[&place, &"message.updated", &second]).await.unwrap();
    assert_eq!(database.unfollowed(&turn(one, 0), 10).await.unwrap(), [], "the first may come yet");
    transaction.commit().await.unwrap();
    sql.execute(note, &[&place, &"message.reacted", &reacted]).await.unwrap();
    sql.execute(note, &[&place, &"message.deleted", &last]).await.unwrap();

    let seen = async |of, seconds| {
        let changes = database.unfollowed(&turn(of, seconds), 3).await.unwrap();
        (changes.iter().map(|change| change.message_id).collect::<Vec<_>>(), changes)
    };
    // Transactions of other databases of the cluster hold it up, too.
    eventually("it is seen", async || seen(one, 1).await.0.len() == 3).await;
    let (ids, changes) = seen(one, 1).await;
    assert_eq!(ids, [Some(messages[0]), Some(messages[1]), None], "reactions change no words");
    assert_eq!(seen(other, 2).await.0, [], "it is not its turn");
    database.followed(other, changes[2].place).await.unwrap();
    assert_eq!(seen(one, 5).await.0.len(), 3, "what another says counts for nothing");
    database.followed(one, changes[0].place).await.unwrap();
    assert_eq!(seen(other, 9).await.0, [], "the turn went on");
    let (ids, changes) = seen(other, 10).await;
    assert_eq!(ids, [Some(messages[1]), None, Some(messages[3])], "another goes on where the first was");
    database.followed(one, changes[2].place).await.unwrap();
    database.followed(other, changes[1].place).await.unwrap();
    assert_eq!(seen(other, 11).await.0, [Some(messages[3])]);
}
