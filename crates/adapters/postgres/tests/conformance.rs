//! Every MUST of every port, against a real PostgreSQL.
#![cfg(test)]

use std::borrow::Cow;
use std::sync::Arc;

use alivio_accounts::{SessionStore, StoredUser, UserStore};
use alivio_conversations::{
    ConversationCreated, ConversationStore, Created, Kind, NewConversation, ParticipantRole,
};
use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::{Event, IdSource, Role, Sealed, Sensitive, SystemIds};
use alivio_messages::{Appended, ClientMessageId, MessageLog, MessageSent, MessageType, NewEntry, Priority};
use alivio_postgres::{Database, DatabaseOptions, GroupCommit};
use alivio_testkit::conformance::{data_key_store, outbox_store};
use alivio_testkit::database::TestDatabase;
use alivio_testkit::{data_key_store_conformance, outbox_store_conformance};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio_postgres::NoTls;

/// A database of its own for one case, and all that lies around the store on trial.
struct Clinic {
    database: Database,
    log: GroupCommit,
    sql: tokio_postgres::Client,
    /// Last, so that it is removed after everyone has left.
    _test: TestDatabase,
}

impl Clinic {
    async fn fresh() -> Arc<Self> {
        let test = TestDatabase::new().await.unwrap();
        let database = Database::new(test.url(), DatabaseOptions::default()).unwrap();
        let (sql, connection) = tokio_postgres::connect(test.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        Arc::new(Self { log: GroupCommit::start(database.clone(), 2), database, sql, _test: test })
    }

    async fn add_user(&self, role: Role) -> UserId {
        let user = StoredUser {
            id: UserId::generate(&SystemIds),
            identity: Sealed::from_bytes(vec![1]),
            role,
            professional_title: None,
            is_active: true,
            last_seen_at: None,
            created_at: at(),
        };
        let address = SystemIds.uuid().into_bytes();
        self.database.insert(&user, address, &Sensitive::new(String::new())).await.unwrap();
        user.id
    }

    async fn all_events(&self) -> Vec<Event> {
        let rows = self.sql.query("SELECT id, kind, payload, at FROM outbox", &[]).await.unwrap();
        rows.iter()
            .map(|row| Event {
                id: row.get::<_, Uuid>("id").into(),
                kind: Cow::Owned(row.get("kind")),
                payload: row.get::<_, Value>("payload"),
                at: row.get("at"),
            })
            .collect()
    }

    async fn members_version(&self, id: ConversationId) -> i64 {
        self.database.audience(id).await.unwrap().unwrap().members_version
    }

    /// Any event will do: the cases look only at those of their own domain.
    fn note(&self) -> Event {
        let id = ConversationId::generate(&SystemIds);
        let created_by = UserId::generate(&SystemIds);
        let note = ConversationCreated { conversation_id: id, created_by, participants: vec![] };
        Event::new(&SystemIds, at(), &note)
    }
}

fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

// Accounts

#[async_trait]
impl alivio_accounts::testing::World for Clinic {
    async fn user(&self, role: Role) -> UserId {
        self.add_user(role).await
    }

    async fn deactivate(&self, user: UserId) {
        let sql = "UPDATE users SET is_active = false WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&user.uuid()]).await.unwrap(), 1);
    }

    async fn set_role(&self, user: UserId, role: Role) {
        let sql = "UPDATE users SET role = $2 WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&user.uuid(), &role.as_str()]).await.unwrap(), 1);
    }

    async fn events(&self) -> Vec<Event> {
        self.all_events().await
    }
}

async fn users() -> alivio_accounts::testing::Fixture<dyn UserStore> {
    let world = Clinic::fresh().await;
    alivio_accounts::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_accounts::user_store_conformance!(users);

async fn sessions() -> alivio_accounts::testing::Fixture<dyn SessionStore> {
    let world = Clinic::fresh().await;
    alivio_accounts::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_accounts::session_store_conformance!(sessions);

// Conversations

#[async_trait]
impl alivio_conversations::testing::World for Clinic {
    async fn user(&self) -> UserId {
        self.add_user(Role::Doctor).await
    }

    async fn message(&self, conversation: ConversationId, sender: UserId, at: DateTime<Utc>) {
        let id = MessageId::generate(&SystemIds);
        let sent = MessageSent { conversation_id: conversation, message_id: id, sender_id: sender, seq: 0 };
        let entry = NewEntry {
            id,
            conversation_id: conversation,
            sender_id: sender,
            message_type: MessageType::Text,
            priority: Priority::Normal,
            content: Sealed::from_bytes(vec![1]),
            client_message_id: ClientMessageId::parse(&id.to_string()).unwrap(),
            fingerprint: [0; 16],
            created_at: at,
            event: Event::new(&SystemIds, at, &sent),
        };
        assert!(matches!(self.log.append(entry).await.unwrap(), Appended::Stored { .. }));
    }

    async fn events(&self) -> Vec<Event> {
        self.all_events().await
    }
}

async fn conversations() -> alivio_conversations::testing::Fixture {
    let world = Clinic::fresh().await;
    alivio_conversations::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_conversations::conversation_store_conformance!(conversations);

// Messages

#[async_trait]
impl alivio_messages::testing::World for Clinic {
    async fn user(&self) -> UserId {
        self.add_user(Role::Doctor).await
    }

    async fn conversation(&self, members: &[UserId]) -> ConversationId {
        let new = NewConversation {
            id: ConversationId::generate(&SystemIds),
            kind: Kind::Group,
            title: None,
            description: None,
            participants: members.iter().map(|user| (*user, ParticipantRole::Moderator)).collect(),
            created_by: members[0],
            created_at: at(),
            idempotency: None,
        };
        assert_eq!(self.database.create(&new, self.note()).await.unwrap(), Created::New);
        new.id
    }

    async fn add(&self, conversation: ConversationId, user: UserId) {
        let version = self.members_version(conversation).await;
        ConversationStore::add(&self.database, conversation, version, user, at(), self.note()).await.unwrap();
    }

    async fn remove(&self, conversation: ConversationId, user: UserId) {
        let version = self.members_version(conversation).await;
        self.database.remove(conversation, version, user, at(), self.note()).await.unwrap();
    }

    async fn close(&self, conversation: ConversationId) {
        let sql = "UPDATE conversations SET is_active = false WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&conversation.uuid()]).await.unwrap(), 1);
    }

    async fn events(&self) -> Vec<Event> {
        self.all_events().await
    }
}

async fn log() -> alivio_messages::testing::Fixture {
    let world = Clinic::fresh().await;
    alivio_messages::testing::Fixture { log: Arc::new(world.log.clone()), world }
}
alivio_messages::message_log_conformance!(log);

// Keys and outbox

async fn keys() -> data_key_store::Fixture {
    let world = Clinic::fresh().await;
    data_key_store::Fixture { store: Arc::new(world.database.clone()), world: Box::new(world) }
}
data_key_store_conformance!(keys);

#[async_trait]
impl outbox_store::World for Clinic {
    async fn publish(&self, event: &Event) {
        let sql = "INSERT INTO outbox (id, kind, payload, at, due_at) VALUES ($1, $2, $3, $4, $4)";
        let id = event.id.uuid();
        self.sql.execute(sql, &[&id, &event.kind.as_ref(), &event.payload, &event.at]).await.unwrap();
    }
}

async fn outbox() -> outbox_store::Fixture {
    let world = Clinic::fresh().await;
    outbox_store::Fixture { store: Arc::new(world.database.clone()), world }
}
outbox_store_conformance!(outbox);
