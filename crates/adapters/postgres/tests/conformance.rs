//! Every MUST of every port, against a real PostgreSQL.
#![cfg(test)]

use std::borrow::Cow;
use std::sync::Arc;

use alivio_accounts::testing::credential_stores::CredentialStores;
use alivio_accounts::{
    Block, BlockStore, ContactStore, CredentialEpoch, GuardStore, PresenceStore, SecondFactorStore,
    SessionStore, StoredUser, UserAdministration, UserStore,
};
use alivio_audit::{AuditReader, Ended, GRANT_LIFETIME, GrantStore, NewGrant};
use alivio_conversations::{
    ConversationCreated, ConversationStore, Created, Kind, Metadata, NewConversation, ParticipantRole,
    Purpose, Settings, StoredLabels, WithoutMessages,
};
use alivio_kernel::ids::{
    ConversationId, DataKeyId, FileId, GrantId, MessageId, ReportId, SessionId, UserId, Uuid,
};
use alivio_kernel::sealing::{DataKeyStore, KeyState, WrappedKey};
use alivio_kernel::{
    AuditEntry, AuditSink, Caller, Effects, Event, IdSource, Language, Origin, PageSize, Role, Sealed,
    Sensitive, SystemIds,
};
use alivio_messages::testing::change_log;
use alivio_messages::{
    Anchor, Appended, ClientMessageId, GrantedLog, Header, HistoryQuery, Mark, MessageLog, NewEntry, Pass,
};
use alivio_postgres::{Database, DatabaseOptions, GroupCommit};
use alivio_testkit::conformance::{broadcasts, data_key_store, outbox_store};
use alivio_testkit::database::TestDatabase;
use alivio_testkit::server::eventually;
use alivio_testkit::{broadcasts_conformance, data_key_store_conformance, outbox_store_conformance};
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
    test: TestDatabase,
}

impl Clinic {
    async fn fresh() -> Arc<Self> {
        let test = TestDatabase::new().await.unwrap();
        let database = Database::new(test.url(), DatabaseOptions::default()).unwrap();
        let (sql, connection) = tokio_postgres::connect(test.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        Arc::new(Self { log: GroupCommit::start(database.clone(), 2), database, sql, test })
    }

    async fn add_user(&self, role: Role) -> UserId {
        let user = StoredUser {
            id: UserId::generate(&SystemIds),
            identity: Sealed::from_bytes(vec![1]),
            role,
            professional_title: None,
            language: Language::Spanish,
            is_active: true,
            last_seen_at: None,
            created_at: at(),
        };
        let address = SystemIds.uuid().into_bytes();
        UserStore::insert(&self.database, &user, address, &Sensitive::new(String::new())).await.unwrap();
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
                due: None,
            })
            .collect()
    }

    async fn members_version(&self, id: ConversationId) -> i64 {
        ConversationStore::audience(&self.database, id).await.unwrap().unwrap().members_version
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

/// A message of no words.
fn entry(conversation: ConversationId, sender: UserId, at: DateTime<Utc>) -> NewEntry {
    let id = MessageId::generate(&SystemIds);
    let name = ClientMessageId::parse(&id.to_string()).unwrap();
    NewEntry {
        header: Header::new(id, conversation, sender, name, at),
        content: Some(Sealed::from_bytes(vec![1])),
        payload: None,
        fingerprint: [0; 16],
        event: None,
        flag: None,
        files: Vec::new(),
    }
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

    async fn relate(&self, patient: UserId, professional: UserId) {
        self.database.relate(patient, professional, at()).await.unwrap();
    }

    async fn open_session(&self, user: UserId) -> SessionId {
        let id = SessionId::generate(&SystemIds);
        let sql = "INSERT INTO sessions (id, user_id, created_at, expires_at, last_active_at)
                   VALUES ($1, $2, $3, $3, $3)";
        assert_eq!(self.sql.execute(sql, &[&id.uuid(), &user.uuid(), &at()]).await.unwrap(), 1);
        id
    }

    async fn epoch(&self, user: UserId) -> CredentialEpoch {
        let sql = "SELECT credential_epoch FROM users WHERE id = $1";
        CredentialEpoch(self.sql.query_one(sql, &[&user.uuid()]).await.unwrap().get(0))
    }

    async fn revocations(&self, user: UserId) -> Vec<Option<String>> {
        let sql = "SELECT revoked_reason FROM sessions WHERE user_id = $1";
        let rows = self.sql.query(sql, &[&user.uuid()]).await.unwrap();
        rows.iter().map(|row| row.get("revoked_reason")).collect()
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

async fn profiles() -> alivio_accounts::testing::Fixture<dyn alivio_accounts::testing::profile_store::Profiles>
{
    let world = Clinic::fresh().await;
    alivio_accounts::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_accounts::profile_store_conformance!(profiles);
async fn factors() -> alivio_accounts::testing::Fixture<dyn SecondFactorStore> {
    let world = Clinic::fresh().await;
    alivio_accounts::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_accounts::second_factor_store_conformance!(factors);
#[async_trait]
impl alivio_accounts::testing::Surroundings for Clinic {
    async fn user(&self, role: Role) -> UserId {
        self.add_user(role).await
    }

    async fn user_with_address(&self, role: Role, index: [u8; 16]) -> UserId {
        let id = self.add_user(role).await;
        let sql = "UPDATE users SET email_index = $2 WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&id.uuid(), &index.to_vec()]).await.unwrap(), 1);
        id
    }

    async fn deactivate(&self, user: UserId) {
        alivio_accounts::testing::World::deactivate(self, user).await;
    }

    async fn direct(&self, one: UserId, other: UserId) -> ConversationId {
        alivio_messages::testing::World::direct(self, one, other).await
    }

    async fn group(&self, members: &[UserId]) -> ConversationId {
        alivio_messages::testing::World::conversation(self, members).await
    }

    async fn events(&self) -> Vec<Event> {
        self.all_events().await
    }
}

async fn acquaintance() -> alivio_accounts::testing::Acquaintance {
    let world = Clinic::fresh().await;
    let store = Arc::new(world.database.clone());
    alivio_accounts::testing::Acquaintance {
        contacts: Arc::clone(&store) as Arc<dyn ContactStore>,
        blocks: Arc::clone(&store) as Arc<dyn BlockStore>,
        presence: store as Arc<dyn PresenceStore>,
        world,
    }
}
alivio_accounts::contact_store_conformance!(acquaintance);
alivio_accounts::block_store_conformance!(acquaintance);
alivio_accounts::presence_store_conformance!(acquaintance);
async fn guards() -> alivio_accounts::testing::Fixture<dyn GuardStore> {
    let world = Clinic::fresh().await;
    alivio_accounts::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_accounts::guard_store_conformance!(guards);

async fn credentials() -> alivio_accounts::testing::Fixture<dyn CredentialStores> {
    let world = Clinic::fresh().await;
    alivio_accounts::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_accounts::credential_stores_conformance!(credentials);

// Conversations

#[async_trait]
impl alivio_conversations::testing::World for Clinic {
    async fn user(&self) -> UserId {
        self.add_user(Role::Doctor).await
    }

    async fn message(&self, conversation: ConversationId, sender: UserId, at: DateTime<Utc>) {
        let entry = entry(conversation, sender, at);
        assert!(matches!(self.log.append(entry).await.unwrap(), Appended::Stored { .. }));
    }

    async fn events(&self) -> Vec<Event> {
        self.all_events().await
    }

    async fn audited(&self) -> Vec<String> {
        let rows = self.sql.query("SELECT action FROM audit_log", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

async fn conversations() -> alivio_conversations::testing::Fixture {
    let world = Clinic::fresh().await;
    alivio_conversations::testing::Fixture {
        store: Arc::new(world.database.clone()),
        inbox: Arc::new(WithoutMessages::new(world.database.clone())),
        links: Arc::new(world.database.clone()),
        world,
    }
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
            purpose: Purpose::default(),
            settings: Settings::default(),
            title: None,
            description: None,
            metadata: Metadata::default(),
            labels: StoredLabels::default(),
            expires_at: None,
            notifies_creator: true,
            participants: members.iter().map(|user| (*user, ParticipantRole::Moderator)).collect(),
            created_by: members[0],
            created_at: at(),
            idempotency: None,
        };
        assert_eq!(self.database.create(&new, self.note()).await.unwrap(), Created::New);
        new.id
    }

    async fn direct(&self, one: UserId, other: UserId) -> ConversationId {
        let id = ConversationId::generate(&SystemIds);
        let new = NewConversation {
            id,
            kind: Kind::Direct,
            purpose: Purpose::default(),
            settings: Settings::default(),
            title: None,
            description: None,
            metadata: Metadata::default(),
            labels: StoredLabels::default(),
            expires_at: None,
            notifies_creator: true,
            participants: [one, other].map(|user| (user, ParticipantRole::Member)).to_vec(),
            created_by: one,
            created_at: at(),
            idempotency: None,
        };
        assert_eq!(self.database.create(&new, self.note()).await.unwrap(), Created::New);
        id
    }

    async fn block(&self, blocker: UserId, blocked: UserId) {
        let block = Block { blocker, blocked, created_at: at() };
        BlockStore::block(&self.database, &block, false, &Effects::default()).await.unwrap();
    }

    async fn unblock(&self, blocker: UserId, blocked: UserId) {
        BlockStore::unblock(&self.database, blocker, blocked, &Effects::default()).await.unwrap();
    }

    async fn add(&self, conversation: ConversationId, user: UserId) {
        let version = self.members_version(conversation).await;
        ConversationStore::add(&self.database, conversation, version, user, at(), self.note()).await.unwrap();
    }

    async fn remove(&self, conversation: ConversationId, user: UserId) {
        let version = self.members_version(conversation).await;
        ConversationStore::remove(&self.database, conversation, version, user, at(), self.note())
            .await
            .unwrap();
    }

    async fn close(&self, conversation: ConversationId) {
        let sql = "UPDATE conversations SET is_active = false WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&conversation.uuid()]).await.unwrap(), 1);
    }

    async fn leisure(&self, members: &[UserId]) -> ConversationId {
        let id = alivio_messages::testing::World::conversation(self, members).await;
        let sql = "UPDATE conversations SET purpose = 'study_group' WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&id.uuid()]).await.unwrap(), 1);
        id
    }

    async fn hide_receipts(&self, conversation: ConversationId) {
        let sql =
            r#"UPDATE conversations SET settings = settings || '{"read_receipts": false}' WHERE id = $1"#;
        assert_eq!(self.sql.execute(sql, &[&conversation.uuid()]).await.unwrap(), 1);
    }

    async fn notes(&self, conversation: ConversationId) -> Vec<(String, Option<MessageId>)> {
        let sql = "SELECT kind, message_id FROM changes WHERE conversation_id = $1 ORDER BY xid, id";
        let rows = self.sql.query(sql, &[&conversation.uuid()]).await.unwrap();
        rows.iter()
            .map(|row| (row.get("kind"), row.get::<_, Option<Uuid>>("message_id").map(MessageId::from)))
            .collect()
    }

    async fn events(&self) -> Vec<Event> {
        self.all_events().await
    }

    async fn flags(&self) -> Vec<(ReportId, MessageId)> {
        let sql = "SELECT id, message_id FROM message_reports WHERE kind = 'flag'";
        let rows = self.sql.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get::<_, Uuid>(0).into(), row.get::<_, Uuid>(1).into())).collect()
    }
}

async fn log() -> alivio_messages::testing::Fixture {
    let world = Clinic::fresh().await;
    alivio_messages::testing::Fixture { log: Arc::new(world.log.clone()), world }
}
alivio_messages::message_log_conformance!(log);

/// Those who append hold several marks in any order: to wait for one of them with others in hand would be a deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_somebody_holds_keeps_no_other_back() {
    use alivio_messages::testing::World;
    const HOLD: &str = "SELECT FROM participants WHERE user_id = $1 FOR UPDATE";
    let clinic = Clinic::fresh().await;
    let people = [clinic.user().await, clinic.user().await];
    let conversation = World::conversation(&*clinic, &people).await;
    alivio_conversations::testing::World::message(&*clinic, conversation, people[0], at()).await;
    let (mut other, connection) = tokio_postgres::connect(clinic.test.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let held = other.transaction().await.unwrap();
    held.execute(HOLD, &[&people[0].uuid()]).await.unwrap();

    let mut moves = people.map(|person| {
        let log = clinic.log.clone();
        let target = Anchor::Seq(1);
        tokio::spawn(async move { log.advance(person, conversation, Mark::Delivered, &target, at()).await })
    });
    assert!((&mut moves[1]).await.unwrap().unwrap().is_some_and(|moved| moved.moved));
    assert!(!moves[0].is_finished(), "it is held");
    held.rollback().await.unwrap();
    assert!((&mut moves[0]).await.unwrap().unwrap().is_some_and(|moved| moved.moved));
}

/// Whoever moves the same marks, or says something meanwhile, changes the row that is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_mark_goes_on_from_where_it_was_left() {
    use alivio_messages::testing::World;
    const WAITING: &str = "
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0";
    for (meanwhile, is_behind) in
        [("delivered_up_to = 2, read_up_to = 1", false), ("own_total = own_total + 1", true)]
    {
        let clinic = Clinic::fresh().await;
        let person = clinic.user().await;
        let conversation = World::conversation(&*clinic, &[person, clinic.user().await]).await;
        for _ in 0..2 {
            alivio_conversations::testing::World::message(&*clinic, conversation, person, at()).await;
        }
        let (mut other, connection) = tokio_postgres::connect(clinic.test.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let held = other.transaction().await.unwrap();
        let change = format!("UPDATE participants SET {meanwhile} WHERE user_id = $1");
        held.execute(&change, &[&person.uuid()]).await.unwrap();
        let log = clinic.log.clone();
        let waiting = tokio::spawn(async move {
            log.advance(person, conversation, Mark::Delivered, &Anchor::Seq(1), at()).await
        });
        let waits = async || clinic.sql.query_one(WAITING, &[]).await.unwrap().get::<_, i64>(0) > 0;
        eventually("the move waits", waits).await;
        held.commit().await.unwrap();
        let moved = waiting.await.unwrap().unwrap().unwrap();
        assert_eq!(moved.moved, is_behind, "{meanwhile}");
        assert_eq!(moved.marks.delivered_up_to, if is_behind { 1 } else { 2 });
        assert_eq!(moved.marks.read_up_to, if is_behind { 0 } else { 1 });
    }
}

/// A transaction that has noted something and not committed.
struct Open(tokio_postgres::Client);

#[async_trait]
impl change_log::Pending for Open {
    async fn commit(self: Box<Self>) {
        self.0.batch_execute("COMMIT").await.unwrap();
    }
}

impl Clinic {
    async fn note_change(&self, conversation: ConversationId, kind: &str, only: Option<UserId>) {
        let sql = "INSERT INTO changes (conversation_id, kind, only_for, at) VALUES ($1, $2, $3, $4)";
        let only = only.map(|user| user.uuid());
        self.sql.execute(sql, &[&conversation.uuid(), &kind, &only, &at()]).await.unwrap();
    }
}

#[async_trait]
impl change_log::Around for Clinic {
    async fn begin(&self, conversation: ConversationId, kind: &str) -> Box<dyn change_log::Pending> {
        let (client, connection) = tokio_postgres::connect(self.test.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN").await.unwrap();
        let sql = "INSERT INTO changes (conversation_id, kind, message_id, seq, at)
            SELECT $1, $2, m.id, m.seq, $3 FROM (SELECT gen_random_uuid() AS id, 1 AS seq) m";
        client.execute(sql, &[&conversation.uuid(), &kind, &at()]).await.unwrap();
        Box::new(Open(client))
    }

    async fn pause(&self) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    async fn note_for(&self, conversation: ConversationId, kind: &str, only: UserId) {
        self.note_change(conversation, kind, Some(only)).await;
    }
}

async fn change_logs() -> change_log::Fixture {
    let world = Clinic::fresh().await;
    change_log::Fixture { changes: Arc::new(world.database.clone()), log: Arc::new(world.log.clone()), world }
}
alivio_messages::change_log_conformance!(change_logs);
async fn changes() -> alivio_messages::testing::ChangesFixture {
    let world = Clinic::fresh().await;
    let (changes, log) = (Arc::new(world.database.clone()), Arc::new(world.log.clone()));
    alivio_messages::testing::ChangesFixture { changes, log, world }
}
alivio_messages::message_changes_conformance!(changes);

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

#[async_trait]
impl broadcasts::Pending for Open {
    async fn commit(self: Box<Self>) {
        self.0.batch_execute("COMMIT").await.unwrap();
    }
}

#[async_trait]
impl broadcasts::World for Clinic {
    async fn begin(&self, event: &Event) -> Box<dyn broadcasts::Pending> {
        let (client, connection) = tokio_postgres::connect(self.test.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN").await.unwrap();
        let sql = "INSERT INTO broadcasts (event_id, kind, payload, at) VALUES ($1, $2, $3, $4)";
        client.execute(sql, &[&event.id.uuid(), &event.kind, &event.payload, &event.at]).await.unwrap();
        Box::new(Open(client))
    }

    async fn age(&self) {
        let sql = "UPDATE broadcasts SET noted_at = noted_at - interval '2 hours'";
        self.sql.batch_execute(sql).await.unwrap();
    }
}

async fn clinic_broadcasts() -> broadcasts::Fixture {
    let world = Clinic::fresh().await;
    broadcasts::Fixture { broadcasts: Arc::new(world.database.clone()), world }
}
broadcasts_conformance!(clinic_broadcasts);

// Audit

#[async_trait]
impl alivio_audit::testing::World for Clinic {
    async fn admin(&self) -> UserId {
        self.add_user(Role::MedicalAdmin).await
    }

    async fn conversation(&self) -> (ConversationId, i64) {
        let members = [self.add_user(Role::Doctor).await, self.add_user(Role::Doctor).await];
        let id = alivio_messages::testing::World::conversation(self, &members).await;
        (id, self.members_version(id).await)
    }

    async fn add_somebody(&self, conversation: ConversationId) {
        let somebody = self.add_user(Role::Doctor).await;
        alivio_messages::testing::World::add(self, conversation, somebody).await;
    }

    async fn record(&self, entries: &[AuditEntry]) {
        AuditSink::record(&self.database, entries).await.unwrap();
    }

    async fn trail_length(&self) -> usize {
        let row = self.sql.query_one("SELECT count(*) FROM audit_log", &[]).await.unwrap();
        usize::try_from(row.get::<_, i64>(0)).unwrap()
    }

    async fn events(&self) -> Vec<Event> {
        self.all_events().await
    }
}

async fn trail() -> alivio_audit::testing::Fixture<dyn AuditReader> {
    let world = Clinic::fresh().await;
    alivio_audit::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_audit::audit_reader_conformance!(trail);

async fn grants() -> alivio_audit::testing::Fixture<dyn GrantStore> {
    let world = Clinic::fresh().await;
    alivio_audit::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_audit::grant_store_conformance!(grants);

async fn administration() -> alivio_accounts::testing::Fixture<dyn UserAdministration> {
    let world = Clinic::fresh().await;
    alivio_accounts::testing::Fixture { store: Arc::new(world.database.clone()), world }
}
alivio_accounts::user_administration_conformance!(administration);

async fn scheduled() -> alivio_messages::testing::scheduled_store::Stores {
    let world = Clinic::fresh().await;
    let store = Arc::new(world.database.clone());
    alivio_messages::testing::scheduled_store::Stores { scheduled: store.clone(), drafts: store, world }
}
alivio_messages::scheduled_store_conformance!(scheduled);

// What is read by a grant: it takes a grant and a log, which two domains own.

struct Emergency {
    clinic: Arc<Clinic>,
    conversation: ConversationId,
    admin: UserId,
    grant: GrantId,
}

impl Emergency {
    /// A conversation of two with five messages, and a grant to it.
    async fn new() -> Self {
        let clinic = Clinic::fresh().await;
        let (conversation, version) = alivio_audit::testing::World::conversation(&*clinic).await;
        let (admin, grant) = (clinic.add_user(Role::MedicalAdmin).await, GrantId::generate(&SystemIds));
        let sender =
            ConversationStore::audience(&clinic.database, conversation).await.unwrap().unwrap().members[0];
        for _ in 0..5 {
            alivio_conversations::testing::World::message(&*clinic, conversation, sender, at()).await;
        }
        let new = NewGrant {
            id: grant,
            admin_id: admin,
            conversation_id: conversation,
            reason: Sealed::from_bytes(vec![1]),
            opened_at: at(),
            expires_at: at() + GRANT_LIFETIME,
            members_version: version,
        };
        GrantStore::open(&clinic.database, &new, Effects::default()).await.unwrap();
        Self { clinic, conversation, admin, grant }
    }

    fn pass(&self) -> Pass {
        let caller = Caller {
            user_id: self.admin,
            role: Role::MedicalAdmin,
            session_id: SessionId::generate(&SystemIds),
            address: None,
        };
        Pass {
            grant_id: self.grant,
            holder: self.admin,
            conversation_id: self.conversation,
            audit: vec![AuditEntry::by(&SystemIds, at(), &caller, "conversation.read_by_break_glass")],
        }
    }

    async fn read(&self, pass: &Pass, query: &HistoryQuery, now: DateTime<Utc>) -> Option<Vec<i64>> {
        let page = self.clinic.database.granted_history(pass, query, now).await.unwrap()?;
        assert_eq!(page.marks.len(), 2);
        Some(page.messages.iter().map(|message| message.seq).collect())
    }

    async fn trail_length(&self) -> usize {
        alivio_audit::testing::World::trail_length(&*self.clinic).await
    }
}

fn page_of(n: i64) -> PageSize {
    PageSize::parse(Some(n), 50).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_reads_all_of_the_log_and_every_page_is_recorded() {
    let emergency = Emergency::new().await;
    let newest = HistoryQuery::Newest { offset: 1, size: page_of(2) };
    assert_eq!(emergency.read(&emergency.pass(), &newest, at()).await, Some(vec![4, 3, 2]));
    let before = HistoryQuery::Before(Anchor::Seq(3), page_of(50));
    assert_eq!(emergency.read(&emergency.pass(), &before, at()).await, Some(vec![2, 1]));
    let after = HistoryQuery::After(Anchor::Seq(3), page_of(50));
    assert_eq!(emergency.read(&emergency.pass(), &after, at()).await, Some(vec![4, 5]));
    // An empty page tells something, too.
    let nothing = HistoryQuery::After(Anchor::Seq(5), page_of(50));
    assert_eq!(emergency.read(&emergency.pass(), &nothing, at()).await, Some(vec![]));
    assert_eq!(emergency.trail_length().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_over_or_anothers_reads_and_records_nothing() {
    let emergency = Emergency::new().await;
    let newest = HistoryQuery::Newest { offset: 0, size: page_of(50) };
    let (pass, other) = (emergency.pass(), emergency.clinic.add_user(Role::MedicalAdmin).await);
    let (elsewhere, _) = alivio_audit::testing::World::conversation(&*emergency.clinic).await;
    let wrong = [
        Pass { holder: other, ..pass.clone() },
        Pass { conversation_id: elsewhere, ..pass.clone() },
        Pass { grant_id: GrantId::generate(&SystemIds), ..pass.clone() },
    ];
    for wrong in wrong {
        assert_eq!(emergency.read(&wrong, &newest, at()).await, None, "{wrong:?}");
    }
    assert!(emergency.read(&pass, &newest, at() + TimeDelta::minutes(59)).await.is_some());
    assert_eq!(emergency.read(&pass, &newest, at() + TimeDelta::minutes(60)).await, None);
    let end = GrantStore::end(&emergency.clinic.database, emergency.grant, other, at(), Effects::default());
    assert_eq!(end.await.unwrap(), Ended::Ended);
    assert_eq!(emergency.read(&pass, &newest, at()).await, None);
    assert_eq!(emergency.trail_length().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_read() {
    let emergency = Emergency::new().await;
    emergency.clinic.sql.batch_execute("DROP TABLE audit_log").await.unwrap();
    let newest = HistoryQuery::Newest { offset: 0, size: page_of(50) };
    let read = emergency.clinic.database.granted_history(&emergency.pass(), &newest, at()).await;
    assert!(matches!(read, Err(alivio_messages::Error::Unavailable(_))), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_rewrites_the_trail_not_even_its_owner() {
    let clinic = Clinic::fresh().await;
    let entry = AuditEntry::from_origin(&SystemIds, at(), &Origin::default(), "sign_in.refused");
    AuditSink::record(&clinic.database, &[entry]).await.unwrap();
    let is_superuser: String =
        clinic.sql.query_one("SELECT current_setting('is_superuser')", &[]).await.unwrap().get(0);
    assert_eq!(is_superuser, "on", "the tests' own connection is the strongest there is");
    let name = format!("owner_{}", SystemIds.uuid().simple());
    clinic
        .sql
        .batch_execute(&format!(
            "CREATE ROLE {name}; GRANT USAGE, CREATE ON SCHEMA public TO {name}; ALTER TABLE audit_log OWNER TO {name}"
        ))
        .await
        .unwrap();
    for role in ["NONE", name.as_str()] {
        clinic.sql.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        for change in ["UPDATE audit_log SET reason = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"] {
            let refused = clinic.sql.batch_execute(change).await.unwrap_err();
            assert_eq!(refused.code().map(|code| code.code()), Some("42501"), "{role}: {change}: {refused}");
        }
        let rows: i64 = clinic.sql.query_one("SELECT count(*) FROM audit_log", &[]).await.unwrap().get(0);
        assert_eq!(rows, 1);
    }
    let back = format!(
        "RESET ROLE; ALTER TABLE audit_log OWNER TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}"
    );
    clinic.sql.batch_execute(&back).await.unwrap();
}

// Files

#[async_trait]
impl alivio_files::testing::file_stores::World for Clinic {
    async fn user(&self, role: Role) -> UserId {
        self.add_user(role).await
    }

    async fn session(&self, user: UserId) -> SessionId {
        let id = alivio_accounts::testing::World::open_session(self, user).await;
        let sql = "UPDATE sessions SET expires_at = expires_at + interval '1 hour' WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&id.uuid()]).await.unwrap(), 1);
        id
    }

    async fn end(&self, session: SessionId) {
        let sql = "UPDATE sessions SET revoked_at = now(), revoked_reason = 'signed_out' WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&session.uuid()]).await.unwrap(), 1);
    }

    async fn conversation(&self, members: &[UserId]) -> ConversationId {
        alivio_messages::testing::World::conversation(self, members).await
    }

    async fn direct(&self, one: UserId, other: UserId) -> ConversationId {
        alivio_messages::testing::World::direct(self, one, other).await
    }

    async fn block(&self, blocker: UserId, blocked: UserId) {
        alivio_messages::testing::World::block(self, blocker, blocked).await;
    }

    async fn close(&self, conversation: ConversationId) {
        alivio_messages::testing::World::close(self, conversation).await;
    }

    async fn add(&self, conversation: ConversationId, user: UserId) {
        alivio_messages::testing::World::add(self, conversation, user).await;
    }

    async fn remove(&self, conversation: ConversationId, user: UserId) {
        alivio_messages::testing::World::remove(self, conversation, user).await;
    }

    async fn say(&self, conversation: ConversationId, sender: UserId, files: &[FileId]) -> MessageId {
        let mut entry = entry(conversation, sender, at());
        entry.files = files.to_vec();
        let id = entry.id;
        assert!(matches!(self.log.append(entry).await.unwrap(), Appended::Stored { .. }));
        id
    }

    async fn take_back(&self, message: MessageId) {
        let sql = "UPDATE messages SET deleted_at = now() WHERE id = $1";
        assert_eq!(self.sql.execute(sql, &[&message.uuid()]).await.unwrap(), 1);
    }

    async fn audited(&self) -> Vec<String> {
        alivio_conversations::testing::World::audited(self).await
    }

    async fn make_key(&self, file: FileId) {
        let key = WrappedKey {
            id: DataKeyId::generate(&SystemIds),
            scope_kind: "file".to_owned(),
            scope_id: file.uuid(),
            version: 1,
            state: KeyState::Active,
            kek_version: 1,
            wrapped: vec![1],
            created_at: at(),
        };
        DataKeyStore::insert(&self.database, key).await.unwrap();
    }

    async fn keys(&self, file: FileId) -> usize {
        let sql = "SELECT count(*) FROM data_keys WHERE scope_id = $1 AND state <> 'destroyed'";
        let row = self.sql.query_one(sql, &[&file.uuid()]).await.unwrap();
        usize::try_from(row.get::<_, i64>(0)).unwrap()
    }
}

async fn file_stores() -> alivio_files::testing::file_stores::Stores {
    let world = Clinic::fresh().await;
    let store = Arc::new(world.database.clone());
    alivio_files::testing::file_stores::Stores {
        uploads: store.clone(),
        files: store.clone(),
        examinations: store.clone(),
        grants: store.clone(),
        annotations: store,
        world,
    }
}
alivio_files::file_stores_conformance!(file_stores);
alivio_files::annotation_store_conformance!(file_stores);
