//! Configuration → adapters → platform.

use std::sync::Arc;

use alivio_crypto::{Argon2Hasher, EddsaTokens, EnvelopeSealer, KeyRing, TotpCodes};
use alivio_files::Workshop;
use alivio_imaging::Shrinker;
use alivio_kernel::{BoxError, Limiter, LocalLimiter, LoneNode, NodeBus, Sensitive, SystemClock, SystemIds};
use alivio_media::{ChildWorkshop, WorkshopOptions};
use alivio_messages::LocalPace;
use alivio_messages::formatting::medical_terms;
use alivio_notifications::{Mailbox, Mailer};
use alivio_outbox::Relay;
use alivio_platform::live::Fellowship;
use alivio_platform::{Dependency, Housekeeping, Platform, Ports};
use alivio_postgres::cluster::{Cluster, ClusterConfig};
use alivio_postgres::{Database, DatabaseOptions, GroupCommit, migrate};
use alivio_redis::{RedisBus, RedisLimiter};
use alivio_sandbox::SandboxMailbox;
use alivio_sendgrid::{SendGrid, SendGridOptions};
use alivio_smtp::{Smtp, SmtpOptions};
use async_trait::async_trait;

use crate::config::{Config, Environment, MailConfig};
use crate::files::{self, BlobsDependency, ScannerDependency};
use crate::metrics::Watched;

/// Tokens of another installation are refused, whatever key they carry.
const ISSUER: &str = "alivio";
/// Tasks that write messages. More than two make PostgreSQL slower.
const WRITERS: usize = 2;
/// Sign-ins that may wait for their turn at the password hash.
const SIGN_IN_QUEUE: usize = 64;
/// Pictures that are made small at once, and that may wait for their turn.
const PICTURES: (usize, usize) = (2, 16);
/// Files that are worked on at once, each in a child that may use half a gibibyte, and that may wait for their turn.
const WORKSHOP: (usize, usize) = (2, 64);
const DATABASE: &str = "alivio";

struct DatabaseDependency(Database);

#[async_trait]
impl Dependency for DatabaseDependency {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), BoxError> {
        Ok(self.0.ping().await?)
    }
}

struct RedisDependency(Arc<RedisBus>);

#[async_trait]
impl Dependency for RedisDependency {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn check(&self) -> Result<(), BoxError> {
        Ok(self.0.ping().await?)
    }

    /// People go on talking without it, and hear of each other a little later.
    fn is_needed(&self) -> bool {
        false
    }
}

/// The way to the other nodes, if there is Redis.
fn node_bus(config: &Config) -> Result<Option<Arc<RedisBus>>, BoxError> {
    let Some(url) = &config.redis_url else { return Ok(None) };
    Ok(Some(Arc::new(RedisBus::open(url).map_err(|error| format!("REDIS_URL: {error}"))?)))
}

/// Where the data are: someone's server, or our own private one.
pub(crate) struct Storage {
    pub(crate) url: String,
    cluster: Option<Cluster>,
}

impl Storage {
    /// Does `work` with it, and closes it however that ends. If both fail, it is the work's error that is told.
    pub(crate) async fn with<T>(
        config: &Config,
        work: impl AsyncFnOnce(&Self) -> Result<T, BoxError>,
    ) -> Result<T, BoxError> {
        let storage = Self::open(config).await?;
        let done = work(&storage).await;
        let closed = storage.close().await;
        done.and_then(|done| closed.map(|()| done))
    }

    /// Finds or starts PostgreSQL.
    async fn open(config: &Config) -> Result<Self, BoxError> {
        if let Some(url) = &config.database_url {
            return Ok(Self { url: url.clone(), cluster: None });
        }
        let cluster = Cluster::start(ClusterConfig::new(&config.data_dir)).await?;
        cluster.ensure_database(DATABASE).await?;
        Ok(Self { url: cluster.url(DATABASE), cluster: Some(cluster) })
    }

    /// Stops PostgreSQL if it is ours.
    async fn close(self) -> Result<(), BoxError> {
        match self.cluster {
            Some(cluster) => Ok(cluster.stop().await?),
            None => Ok(()),
        }
    }
}

/// The keys; in development they are made up when there are none.
pub(crate) fn keys(config: &Config) -> Result<KeyRing, BoxError> {
    match config.environment {
        Environment::Development => Ok(KeyRing::load_or_create(&config.keys_file)?),
        Environment::Production => Ok(KeyRing::load(&config.keys_file).map_err(|error| {
            format!("{error} (ALIVIO_KEYS_FILE; `alivio keygen` makes one, once, for all nodes)")
        })?),
    }
}

/// Where untrusted content is worked on.
pub(crate) fn workshop() -> Arc<dyn Workshop> {
    Arc::new(ChildWorkshop::new(WorkshopOptions::of_this_program(WORKSHOP.0, WORKSHOP.1)))
}

/// Mail by SendGrid.
pub(crate) fn sendgrid(api_key: &Sensitive<String>, from: &str) -> Result<SendGrid, BoxError> {
    Ok(SendGrid::new(SendGridOptions::new(api_key.clone(), from))?)
}

/// Mail by SMTP.
pub(crate) fn smtp(url: &Sensitive<String>, from: &str) -> Result<Smtp, BoxError> {
    Ok(Smtp::new(SmtpOptions::new(url.clone(), from)).map_err(|error| format!("SMTP_URL: {error}"))?)
}

/// Whoever takes mail away, and the mailbox if that is a sandbox.
type Post = (Arc<dyn Mailer>, Option<Arc<dyn Mailbox>>);

fn post(config: &MailConfig) -> Result<Post, BoxError> {
    Ok(match config {
        MailConfig::SendGrid { api_key, from } => (Arc::new(sendgrid(api_key, from)?), None),
        MailConfig::Smtp { url, from } => (Arc::new(smtp(url, from)?), None),
        MailConfig::Sandbox => {
            let mailbox = Arc::new(SandboxMailbox::new(Arc::new(SystemClock)));
            (Arc::clone(&mailbox) as _, Some(mailbox))
        }
    })
}

/// Does `work` with a platform that serves nobody, as [`Storage::with`] does.
pub(crate) async fn with_platform<T>(
    config: &Config,
    work: impl AsyncFnOnce(Platform) -> Result<T, BoxError>,
) -> Result<T, BoxError> {
    Storage::with(config, async |storage| {
        let (platform, ..) = platform(config, storage).await?;
        work(platform).await
    })
    .await
}

/// The product over migrated storage.
pub(crate) async fn platform(
    config: &Config,
    storage: &Storage,
) -> Result<(Platform, Relay, Housekeeping, Fellowship, Watched), BoxError> {
    let (mailer, mailbox) = post(config.mail()?)?;
    let public_origin = config.public_origin()?.clone();
    let (blobs, scanner) = (files::blobs(&config.files)?, files::scanner(config).await?);
    let redis = node_bus(config)?;
    let ring = keys(config)?;
    migrate(&storage.url).await?;
    let options = DatabaseOptions { connections: config.database_connections, ..DatabaseOptions::default() };
    let database = Database::new(&storage.url, options)?;
    match database.check_durability().await {
        Err(error) if config.environment == Environment::Production => return Err(error.into()),
        Err(error) => tracing::warn!(%error, "database.not_durable"),
        Ok(()) => {}
    }
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let store = Arc::new(database.clone());
    let sealer =
        EnvelopeSealer::new(&ring, Arc::clone(&store) as _, Arc::clone(&clock) as _, Arc::clone(&ids) as _);
    sealer.check().await?;
    let sealer = Arc::new(sealer);
    let mut dependencies: Vec<Arc<dyn Dependency>> = vec![Arc::new(DatabaseDependency(database.clone()))];
    dependencies.push(Arc::new(BlobsDependency(Arc::clone(&blobs))));
    dependencies.push(Arc::new(ScannerDependency(Arc::clone(&scanner))));
    dependencies.extend(redis.clone().map(|redis| Arc::new(RedisDependency(redis)) as _));
    let limiter = LocalLimiter::new(Arc::clone(&clock) as _);
    let (node_bus, limiter): (Arc<dyn NodeBus>, Arc<dyn Limiter>) = match redis {
        Some(redis) => {
            let limiter = RedisLimiter::new(&redis, limiter, Arc::clone(&sealer) as _);
            (redis, Arc::new(limiter))
        }
        None => (Arc::new(LoneNode), Arc::new(limiter)),
    };
    let watched = Watched { database: database.clone(), sealer: Arc::clone(&sealer) };
    let hashers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let (platform, relay, housekeeping, fellowship) = Platform::new(Ports {
        clock,
        ids,
        sealer: Arc::clone(&sealer) as _,
        tokeniser: Arc::clone(&sealer) as _,
        content_sealer: sealer,
        titles: Arc::clone(&store) as _,
        search_index: Arc::clone(&store) as _,
        lexicon: Arc::new(|text: &str| !medical_terms(text).is_empty()),
        shredder: Arc::clone(&store) as _,
        users: Arc::clone(&store) as _,
        contacts: Arc::clone(&store) as _,
        blocks: Arc::clone(&store) as _,
        presence: Arc::clone(&store) as _,
        presence_grace: config.presence_grace,
        door: config.door,
        audit: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        second_factors: Arc::clone(&store) as _,
        one_time_codes: Arc::new(TotpCodes),
        sign_in_policy: config.sign_in_policy.clone(),
        passwords: Arc::new(Argon2Hasher::new(hashers, SIGN_IN_QUEUE)),
        password_store: Arc::clone(&store) as _,
        guards: Arc::clone(&store) as _,
        registrations: Arc::clone(&store) as _,
        invitations: Arc::clone(&store) as _,
        open_registration: config.open_registration,
        tokens: Arc::new(EddsaTokens::new(&ring, ISSUER)),
        administration: Arc::clone(&store) as _,
        audit_reader: Arc::clone(&store) as _,
        grants: Arc::clone(&store) as _,
        granted_messages: Arc::clone(&store) as _,
        feed: Arc::clone(&store) as _,
        message_reader: Arc::clone(&store) as _,
        scheduled_messages: Arc::clone(&store) as _,
        message_drafts: Arc::clone(&store) as _,
        profiles: Arc::clone(&store) as _,
        directory: Arc::clone(&store) as _,
        directory_policy: config.directory,
        images: Arc::new(Shrinker::new(PICTURES.0, PICTURES.1)),
        conversations: Arc::clone(&store) as _,
        message_changes: Arc::clone(&store) as _,
        change_policy: config.change_policy,
        inbox: Arc::clone(&store) as _,
        invitation_links: Arc::clone(&store) as _,
        hours: Arc::clone(&store) as _,
        default_hours: config.chat_hours.clone(),
        emergencies: Arc::clone(&store) as _,
        emergency_policy: config.emergency_policy.clone(),
        messages: Arc::new(GroupCommit::start(database.clone(), WRITERS)),
        limiter,
        pace: Arc::new(LocalPace::new(config.pace)),
        screening: config.screening,
        moderation: Arc::clone(&store) as _,
        uploads: Arc::clone(&store) as _,
        files: Arc::clone(&store) as _,
        examinations: Arc::clone(&store) as _,
        file_grants: Arc::clone(&store) as _,
        file_annotations: Arc::clone(&store) as _,
        blobs,
        scanner,
        workshop: workshop(),
        file_policy: config.file_policy,
        mailer,
        mailbox,
        public_origin,
        broadcasts: Arc::clone(&store) as _,
        epoch: database.epoch().await?,
        outbox: store,
        outbox_wake: database.wake(),
        node_bus,
        dependencies,
    });
    Ok((platform, relay, housekeeping, fellowship, watched))
}
