//! Search against an oracle that reads everything: what is found is what was looked for, all of it and nothing else.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::sealing::{PlainSealer, Scope, SealContext};
use alivio_kernel::terms::{Pattern, terms_of};
use alivio_kernel::{Caller, Clock, ManualClock, PageSize, Place, Role, Sealer};
use alivio_messages::{
    AskedToken, ClientMessageId, Error, Followed, Header, IndexEntry, IndexFilter, Ordering, Search,
    SearchIndex, SearchPorts, SearchQuery, StoredMessage, Turn, Unfollowed,
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

/// Messages and tokens in memory, of one person who is in every conversation.
#[derive(Default)]
struct Memory {
    messages: Mutex<Vec<StoredMessage>>,
    index: Mutex<BTreeMap<MessageId, IndexEntry>>,
    changes: Mutex<Vec<Unfollowed>>,
    broken: Mutex<Option<MessageId>>,
}

impl Memory {
    fn note(&self, change: Option<MessageId>) {
        let mut changes = self.changes.lock().unwrap();
        let number = changes.last().map_or(0, |last| last.place.number) + 1;
        changes.push(Unfollowed { place: Place { transaction: 1, number }, message_id: change });
    }
}

#[async_trait]
impl SearchIndex for Memory {
    async fn searchable(
        &self,
        _: UserId,
        among: &[ConversationId],
        _: i64,
    ) -> Result<Vec<ConversationId>, Error> {
        let all: BTreeSet<_> = self.messages.lock().unwrap().iter().map(|m| m.conversation_id).collect();
        Ok(all.into_iter().filter(|id| among.is_empty() || among.contains(id)).collect())
    }

    async fn find(
        &self,
        _: UserId,
        asked: &[AskedToken],
        filter: &IndexFilter,
        _: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<StoredMessage>, Error> {
        let index = self.index.lock().unwrap();
        let words: BTreeSet<i32> = asked.iter().map(|asked| asked.word).collect();
        let has = |message: &StoredMessage, word: i32| {
            let entry = index.get(&message.id);
            entry.is_some_and(|entry| {
                asked.iter().any(|asked| {
                    asked.word == word
                        && asked.conversation_id == message.conversation_id
                        && entry.tokens.contains(&asked.token)
                })
            })
        };
        let mut found: Vec<_> = self.messages.lock().unwrap().clone();
        found.sort_by_key(|message| std::cmp::Reverse((message.created_at, message.id)));
        found.retain(|message| words.iter().all(|word| has(message, *word)));
        found.retain(|message| {
            filter
                .after
                .is_none_or(|after| (message.created_at, message.id) < (after.created_at, after.message_id))
        });
        found.truncate(usize::try_from(limit).unwrap());
        Ok(found)
    }

    async fn unfollowed(&self, _: &Turn, limit: i64) -> Result<Vec<Unfollowed>, Error> {
        let changes = self.changes.lock().unwrap();
        Ok(changes.iter().take(usize::try_from(limit).unwrap()).copied().collect())
    }

    async fn followed(&self, _: Uuid, place: Place) -> Result<(), Error> {
        self.changes.lock().unwrap().retain(|change| change.place > place);
        Ok(())
    }

    async fn to_index(&self, messages: &[MessageId]) -> Result<Vec<StoredMessage>, Error> {
        if self.broken.lock().unwrap().is_some_and(|broken| messages.contains(&broken)) {
            return Err(Error::Unavailable("it cannot be read".into()));
        }
        let all = self.messages.lock().unwrap();
        Ok(all.iter().filter(|message| messages.contains(&message.id)).cloned().collect())
    }

    async fn not_indexed(
        &self,
        _: i16,
        after: Option<MessageId>,
        _: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<StoredMessage>, Error> {
        let index = self.index.lock().unwrap();
        let mut missing = self.messages.lock().unwrap().clone();
        missing.retain(|message| !index.contains_key(&message.id) && Some(message.id) > after);
        missing.sort_by_key(|message| message.id);
        missing.truncate(usize::try_from(limit).unwrap());
        Ok(missing)
    }

    async fn put(&self, _: i16, entries: &[IndexEntry]) -> Result<(), Error> {
        let mut index = self.index.lock().unwrap();
        index.extend(entries.iter().map(|entry| (entry.message_id, entry.clone())));
        Ok(())
    }

    async fn remove(&self, messages: &[MessageId]) -> Result<(), Error> {
        self.index.lock().unwrap().retain(|id, _| !messages.contains(id));
        Ok(())
    }

    async fn tidy(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn remove_all(&self, conversation: ConversationId) -> Result<(), Error> {
        self.index.lock().unwrap().retain(|_, entry| entry.conversation_id != conversation);
        Ok(())
    }
}

struct World {
    memory: Arc<Memory>,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
    search: Search,
}

fn conversation(n: usize) -> ConversationId {
    Uuid::from_u128(1_000 + u128::try_from(n % 3).unwrap()).into()
}

fn message(n: usize) -> MessageId {
    Uuid::from_u128(u128::try_from(n).unwrap() + 1).into()
}

impl World {
    async fn saying(texts: &[String]) -> Self {
        let (memory, sealer) = (Arc::new(Memory::default()), Arc::new(PlainSealer::default()));
        let clock = Arc::new(ManualClock::default());
        let search = Search::new(SearchPorts {
            index: Arc::clone(&memory) as _,
            tokeniser: Arc::clone(&sealer) as _,
            lexicon: Arc::new(|text: &str| text.contains("migraña")),
            sealer: Arc::clone(&sealer) as _,
            clock: Arc::clone(&clock) as _,
        });
        let world = Self { memory, sealer, clock, search };
        for (n, text) in texts.iter().enumerate() {
            world.put(n, text).await;
        }
        assert_eq!(world.search.complete_index().await.unwrap(), texts.len());
        assert_eq!(world.search.complete_index().await.unwrap(), 0);
        world
    }

    async fn put(&self, n: usize, text: &str) {
        let client = ClientMessageId::parse(&format!("c-{n}")).unwrap();
        let at = self.clock.now() + TimeDelta::seconds(i64::try_from(n).unwrap());
        let header = Header::new(message(n), conversation(n), Uuid::from_u128(7).into(), client, at);
        let context = SealContext {
            table: "messages",
            column: "content",
            row: header.id.uuid(),
            scope: Scope::Conversation(header.conversation_id),
            version: 1,
        };
        let content = Some(self.sealer.seal(&context, text.as_bytes()).await.unwrap());
        self.memory.messages.lock().unwrap().push(StoredMessage { header, content, payload: None });
    }

    /// All that is found, page by page.
    async fn find(&self, raw: &str, ordering: Ordering, change: impl Fn(&mut SearchQuery)) -> Vec<MessageId> {
        let caller = Caller {
            user_id: Uuid::from_u128(7).into(),
            role: Role::Patient,
            session_id: Uuid::from_u128(8).into(),
            address: None,
        };
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let size = PageSize::parse(Some(3), 20).unwrap();
            let mut query = SearchQuery::new(Pattern::parse("query", raw).unwrap(), size);
            (query.ordering, query.cursor) = (ordering, cursor);
            change(&mut query);
            let next = Mutex::new(None);
            let page = self.search.find(&caller, &query, |cursor| {
                *next.lock().unwrap() = Some(cursor);
                String::new()
            });
            let page = page.await.unwrap();
            found.extend(page.items.iter().map(|found| found.message.id));
            cursor = next.into_inner().unwrap();
            if page.next_cursor.is_none() {
                return found;
            }
        }
    }
}

/// Whether `text` is what is looked for, by reading it word by word.
fn oracle(text: &str, words: &[String], phrase: &[String]) -> bool {
    let said: Vec<_> = text.split_whitespace().collect();
    let same = |one: &str, other: &str| !terms_of(one).is_disjoint(&terms_of(other));
    let fold = alivio_kernel::text::fold;
    let asked = words.iter().filter(|word| !terms_of(word).is_empty());
    asked.clone().all(|word| said.iter().any(|here| same(here, word)))
        && (phrase.is_empty()
            || said.windows(phrase.len()).any(|row| row.iter().zip(phrase).all(|(a, b)| fold(a) == fold(b))))
}

const VOCABULARY: [&str; 30] = [
    "dolor",
    "dolores",
    "dolorosa",
    "cabeza",
    "cabezas",
    "migraña",
    "migranas",
    "medicación",
    "medicaciones",
    "medicado",
    "fiebre",
    "febril",
    "análisis",
    "analisis",
    "de",
    "la",
    "y",
    "the",
    "of",
    "headache",
    "headaches",
    "pain",
    "painful",
    "allergy",
    "allergies",
    "niño",
    "nino",
    "años",
    "112",
    "612345678",
];

fn text() -> impl Strategy<Value = Vec<String>> {
    let word = prop::sample::select(&VOCABULARY[..]).prop_map(str::to_owned);
    prop::collection::vec(word, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Recall and precision are 100 %, in both orders, page by page, with phrases or without.
    #[test]
    fn what_is_found_is_what_was_looked_for(
        said in prop::collection::vec(text(), 1..40),
        words in prop::collection::vec(prop::sample::select(&VOCABULARY[..]), 1..4),
        phrase in prop::option::of(prop::collection::vec(prop::sample::select(&VOCABULARY[..]), 1..4)),
    ) {
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let phrase: Vec<String> = phrase.unwrap_or_default().into_iter().map(str::to_owned).collect();
        let raw = if phrase.is_empty() { words.join(" ") } else { format!("{} \"{}\"", words.join(" "), phrase.join(" ")) };
        prop_assume!(Pattern::parse("query", &raw).is_ok());
        let texts: Vec<String> = said.iter().map(|words| words.join(" ")).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (newest, telling) = runtime.block_on(async {
            let world = World::saying(&texts).await;
            let newest = world.find(&raw, Ordering::Newest, |_| {}).await;
            (newest, world.find(&raw, Ordering::Relevance, |_| {}).await)
        });
        let matching = texts.iter().enumerate().filter(|(_, text)| oracle(text, &words, &phrase));
        let expected: Vec<_> = matching.rev().map(|(n, _)| message(n)).collect();
        prop_assert_eq!(&newest, &expected);
        let sorted = |mut ids: Vec<MessageId>| { ids.sort(); ids };
        prop_assert_eq!(sorted(telling), sorted(expected));
    }
}

#[tokio::test]
async fn the_index_tells_little() {
    let world = World::saying(&[
        "dolor".to_owned(),
        "dolor de cabeza".to_owned(),
        "de la".to_owned(),
        "migraña".repeat(40),
    ])
    .await;
    let index = world.memory.index.lock().unwrap();
    assert!(index.values().all(|entry| entry.tokens.len() % 8 == 0 && !entry.tokens.is_empty()));
    assert!(index.values().all(|entry| entry.tokens.is_sorted()));
    let tokens = |n: usize| index[&message(n)].tokens.iter().collect::<BTreeSet<_>>();
    assert!(tokens(0).is_disjoint(&tokens(1)), "each conversation has tokens of its own");
}

#[tokio::test]
async fn medical_terms_are_a_filter() {
    let world = World::saying(&["tengo migraña".to_owned(), "tengo sueño".to_owned()]).await;
    for (wanted, expected) in [(None, vec![1, 0]), (Some(true), vec![0]), (Some(false), vec![1])] {
        let found = world.find("tengo", Ordering::Newest, |query| query.has_medical_terms = wanted).await;
        assert_eq!(found, expected.into_iter().map(message).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_is_taken_back_or_destroyed_is_not_found() {
    let world = World::saying(&["dolor".to_owned(), "dolor".to_owned(), "dolor".to_owned()]).await;
    let now = world.clock.now();
    world.memory.messages.lock().unwrap()[0].header.deleted_at = Some(now);
    assert_eq!(world.find("dolor", Ordering::Newest, |_| {}).await, [message(2), message(1)]);
    for change in [Some(message(0)), None, Some(message(1))] {
        world.memory.note(change);
    }
    world.search.follow(Uuid::nil(), false).await.unwrap();
    assert!(!world.memory.index.lock().unwrap().contains_key(&message(0)), "it leaves the index");
    world.sealer.destroy(Scope::Conversation(conversation(1)));
    assert_eq!(world.find("dolor", Ordering::Newest, |_| {}).await, [message(2)]);
}

#[tokio::test]
async fn what_changes_is_followed_and_what_cannot_be_indexed_holds_up_nobody_for_ever() {
    let world = World::saying(&[]).await;
    for n in 0..250 {
        world.put(n, "dolor").await;
        world.memory.note(Some(message(n)));
    }
    *world.memory.broken.lock().unwrap() = Some(message(7));
    let indexed = || world.memory.index.lock().unwrap().len();
    assert!(world.search.follow(Uuid::nil(), false).await.is_err());
    assert_eq!(indexed(), 0, "nothing is passed over");
    let followed = world.search.follow(Uuid::nil(), true).await.unwrap();
    assert_eq!(followed, Followed { may_be_more: true, left_out: vec![message(7)] });
    assert_eq!(indexed(), 199);
    assert_eq!(world.search.follow(Uuid::nil(), false).await.unwrap(), Followed::default());
    assert_eq!(indexed(), 249);
    assert_eq!(world.search.follow(Uuid::nil(), false).await.unwrap(), Followed::default());
    *world.memory.broken.lock().unwrap() = None;
    assert_eq!(world.search.complete_index().await.unwrap(), 1, "it is tried again");
}
