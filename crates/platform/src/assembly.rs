//! Ports → services → platform.

use std::collections::HashSet;
use std::sync::Arc;

use alivio_accounts::{
    ACTIVITY_GRAIN, Accounts, AccountsPorts, Administration, AdministrationPorts, Blocks, BlocksPorts,
    Contacts, ContactsPorts, Directory, Invitations, InvitationsPorts, LetterBox, Passwords, PasswordsPorts,
    Presences, PresencesPorts, Profiles, ProfilesPorts, Registrations, RegistrationsPorts, SecondFactor,
    SecondFactorPorts,
};
use alivio_audit::{BreakGlass, BreakGlassPorts, Trail, TrailPorts};
use alivio_conversations::{
    Conversations, ConversationsPorts, Emergencies, EmergenciesPorts, Hours, HoursPorts, Inboxes,
    InvitationLinks, People, Titles,
};
use alivio_files::{Files, FilesPorts};
use alivio_messages::{
    LiveFeed, Messages, MessagesPorts, Moderation, ModerationPorts, Retention, RetentionPorts, Search,
    SearchPorts,
};
use alivio_notifications::Notifications;
use alivio_outbox::{Reaction, Relay};
use moka::future::Cache;
use tokio::sync::Notify;

use crate::automated::Announcements;
use crate::bridges::{
    AdministratorsFromAccounts, AttachmentsFromFiles, CorrespondentsFromAccounts, LinkSecretsFromTokens,
    MembersFromConversations, NamesFromPeople, ReadersFromPeople, RoomsFromConversations,
    StandingsFromAccounts,
};
use crate::chores::{
    DestroyFiles, ExamineFiles, ExpireMessages, ForgetBroadcasts, ForgetUploads, IndexMessages,
    PurgeMessages, SweepBlobs, TidySearchIndex,
};
use crate::correspondence::{Correspondence, LettersByMail};
use crate::feed::ForgetChanges;
use crate::live::{
    Announcing, Door, EarPorts, Fellowship, Hub, LiveAnnouncer, Nodes, PresenceBoard, SharedPace, Silence,
    TailPorts, TellEveryNode,
};
use crate::mentions::Mentions;
use crate::opening_hours::{AdmissionByHours, CachedHours};
use crate::reactions::{self, Around};
use crate::session_cache::CachedSessions;
use crate::{Housekeeping, PeopleDirectory, Platform, Ports, Screens};

pub(crate) fn assemble(ports: Ports) -> (Platform, Relay, Housekeeping, Fellowship) {
    #[cfg(feature = "planted-bugs")]
    let ports = crate::planted::ports(ports);
    let (clock, ids) = (|| Arc::clone(&ports.clock), || Arc::clone(&ports.ids));
    let (sealer, audit) = (|| Arc::clone(&ports.sealer), || Arc::clone(&ports.audit));
    let users = || Arc::clone(&ports.users);

    // Who people are
    let sessions = Arc::new(CachedSessions::new(Arc::clone(&ports.sessions)));
    let accounts = Accounts::new(AccountsPorts {
        users: users(),
        sessions: Arc::clone(&sessions) as _,
        second_factors: Arc::clone(&ports.second_factors),
        policy: ports.sign_in_policy.clone(),
        passwords: Arc::clone(&ports.passwords),
        tokens: Arc::clone(&ports.tokens),
        password_store: Arc::clone(&ports.password_store),
        guards: Arc::clone(&ports.guards),
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
    });
    let second_factor = SecondFactor::new(
        accounts.clone(),
        SecondFactorPorts {
            factors: Arc::clone(&ports.second_factors),
            codes: Arc::clone(&ports.one_time_codes),
            passwords: Arc::clone(&ports.passwords),
            tokens: Arc::clone(&ports.tokens),
            sealer: sealer(),
            audit: audit(),
            clock: clock(),
            ids: ids(),
        },
    );
    let notifications = Notifications::new(Arc::clone(&ports.mailer), ports.public_origin.clone());
    let letters = || Arc::new(LettersByMail(notifications.clone())) as Arc<dyn LetterBox>;
    let registrations = Registrations::new(
        accounts.clone(),
        RegistrationsPorts {
            store: Arc::clone(&ports.registrations),
            letters: letters(),
            audit: audit(),
            is_open: ports.open_registration,
        },
    );
    let invitations = Invitations::new(
        accounts.clone(),
        InvitationsPorts { store: Arc::clone(&ports.invitations), letters: letters(), audit: audit() },
    );
    let passwords = Passwords::new(accounts.clone(), PasswordsPorts { letters: letters(), audit: audit() });
    let administration = Administration::new(AdministrationPorts {
        administration: Arc::clone(&ports.administration),
        users: users(),
        audit: audit(),
        passwords: Arc::clone(&ports.passwords),
        tokens: Arc::clone(&ports.tokens),
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
    });

    // What they show of themselves, and whom they know
    let profiles_ports = ProfilesPorts {
        profiles: Arc::clone(&ports.profiles),
        directory: Arc::clone(&ports.directory),
        images: Arc::clone(&ports.images),
        audit: audit(),
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
        policy: ports.directory_policy,
    };
    let (profiles, directory) = (Profiles::new(profiles_ports.clone()), Directory::new(profiles_ports));
    let people = PeopleDirectory::new(accounts.clone(), Arc::clone(&ports.profiles));
    let contacts = Contacts::new(ContactsPorts {
        contacts: Arc::clone(&ports.contacts),
        users: users(),
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
    });
    let blocks = Blocks::new(BlocksPorts {
        blocks: Arc::clone(&ports.blocks),
        users: users(),
        audit: audit(),
        clock: clock(),
        ids: ids(),
    });

    // What they say, and who hears it
    let wake = Arc::<Notify>::default();
    let nodes = Nodes::new(Arc::clone(&ports.node_bus), ports.ids.uuid(), Arc::clone(&wake));
    let hub = Arc::new(Hub::new(clock(), ids(), wake));
    let rooms = Arc::new(RoomsFromConversations::new(Arc::clone(&ports.conversations)));
    let silence = Arc::new(Silence::new(Arc::clone(&ports.blocks), Arc::clone(&rooms) as _));
    let presence = Arc::new(PresenceBoard::new(
        (Arc::clone(&hub), nodes.clone()),
        Presences::new(PresencesPorts { presence: Arc::clone(&ports.presence), clock: clock(), ids: ids() }),
        accounts.clone(),
        people.clone(),
        clock(),
        ports.presence_grace,
    ));
    let standings: Arc<dyn People> = Arc::new(StandingsFromAccounts::new(users(), Arc::clone(&ports.blocks)));
    let conversations = Conversations::new(ConversationsPorts {
        store: Arc::clone(&ports.conversations),
        people: Arc::clone(&standings),
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
    });
    let invitation_links = InvitationLinks::new(
        conversations.clone(),
        Arc::clone(&ports.invitation_links),
        Arc::new(LinkSecretsFromTokens(Arc::clone(&ports.tokens))),
    );
    let inboxes = Inboxes::new(Arc::clone(&ports.inbox), Arc::new(NamesFromPeople(people.clone())), sealer());
    let hours = Hours::new(HoursPorts {
        store: Arc::new(CachedHours::new(Arc::clone(&ports.hours))),
        conversations: Arc::clone(&ports.conversations),
        people: Arc::clone(&standings),
        clock: clock(),
        ids: ids(),
        default: ports.default_hours.clone(),
    });
    let emergencies = Emergencies::new(EmergenciesPorts {
        store: Arc::clone(&ports.emergencies),
        people: standings,
        administrators: Arc::new(AdministratorsFromAccounts(Arc::clone(&ports.administration))),
        clock: clock(),
        ids: ids(),
        policy: ports.emergency_policy.clone(),
    });
    let mentions = Mentions::new(people.clone(), Arc::clone(&ports.conversations));
    let here: Arc<dyn LiveFeed> = Arc::new(LiveAnnouncer::new(
        Arc::clone(&hub),
        people.clone(),
        mentions.clone(),
        Arc::clone(&silence),
        Arc::clone(&rooms) as _,
    ));
    #[cfg(feature = "planted-bugs")]
    let here = crate::planted::live(here);
    let live: Arc<dyn LiveFeed> = Arc::new(Announcing::new(Arc::clone(&here), nodes.clone()));
    let files = Files::new(FilesPorts {
        uploads: Arc::clone(&ports.uploads),
        files: Arc::clone(&ports.files),
        examinations: Arc::clone(&ports.examinations),
        grants: Arc::clone(&ports.file_grants),
        annotations: Arc::clone(&ports.file_annotations),
        blobs: Arc::clone(&ports.blobs),
        content: Arc::clone(&ports.content_sealer),
        scanner: Arc::clone(&ports.scanner),
        workshop: Arc::clone(&ports.workshop),
        secrets: Arc::new(LinkSecretsFromTokens(Arc::clone(&ports.tokens))),
        names: Arc::new(ReadersFromPeople(people.clone())),
        policy: ports.file_policy,
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
    });
    let pace = Arc::new(SharedPace::new(Arc::clone(&ports.pace)));
    let messages = Messages::new(MessagesPorts {
        log: Arc::clone(&ports.messages),
        changes: Arc::clone(&ports.message_changes),
        policy: ports.change_policy,
        granted: Arc::clone(&ports.granted_messages),
        feed: Arc::clone(&ports.feed),
        reader: Arc::clone(&ports.message_reader),
        scheduled: Arc::clone(&ports.scheduled_messages),
        drafts: Arc::clone(&ports.message_drafts),
        attachments: Arc::new(AttachmentsFromFiles(files.clone())),
        correspondents: Arc::new(CorrespondentsFromAccounts::new(users(), Arc::clone(&ports.conversations))),
        live,
        rooms: Arc::clone(&rooms) as _,
        pace: Arc::clone(&pace) as _,
        screening: ports.screening,
        hours: Arc::new(AdmissionByHours(hours.clone())),
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
    });
    let moderation = Moderation::new(
        messages.clone(),
        ModerationPorts {
            store: Arc::clone(&ports.moderation),
            sink: audit(),
            sealer: sealer(),
            clock: clock(),
            ids: ids(),
        },
    );
    let titles = Titles::new(Arc::clone(&ports.titles), sealer());
    let search = Search::new(SearchPorts {
        index: Arc::clone(&ports.search_index),
        tokeniser: Arc::clone(&ports.tokeniser),
        lexicon: Arc::clone(&ports.lexicon),
        sealer: sealer(),
        clock: clock(),
    });
    let retention = Retention::new(RetentionPorts {
        shredder: Arc::clone(&ports.shredder),
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
    });
    let screens = Screens::new(
        people.clone(),
        mentions.clone(),
        messages.clone(),
        inboxes.clone(),
        Arc::clone(&presence),
        Arc::clone(&silence),
        clock(),
    );

    // What is known of all that
    let trail = Trail::new(TrailPorts {
        reader: Arc::clone(&ports.audit_reader),
        sink: audit(),
        clock: clock(),
        ids: ids(),
    });
    let break_glass = BreakGlass::new(BreakGlassPorts {
        grants: Arc::clone(&ports.grants),
        membership: Arc::new(MembersFromConversations::new(Arc::clone(&ports.conversations))),
        sink: audit(),
        sealer: sealer(),
        clock: clock(),
        ids: ids(),
    });

    let around = Around {
        hub: Arc::clone(&hub),
        sessions,
        people: people.clone(),
        conversations: conversations.clone(),
        messages: messages.clone(),
        files: files.clone(),
        rooms: Arc::clone(&rooms),
        hours: hours.clone(),
        emergencies: emergencies.clone(),
        announcements: Announcements::new(accounts.clone(), messages.clone()),
        search: search.clone(),
        retention: retention.clone(),
        administration: administration.clone(),
        registrations: registrations.clone(),
        invitations: invitations.clone(),
        passwords: passwords.clone(),
        profiles: profiles.clone(),
        correspondence: Correspondence::new(accounts.clone(), notifications.clone()),
    };
    let on_every_node = reactions::on_every_node(&around);
    let kinds: HashSet<_> = on_every_node.iter().map(|reaction| reaction.kind()).collect();
    let mut reactions: Vec<Arc<dyn Reaction>> = Vec::new();
    for kind in kinds {
        let (broadcasts, nodes) = (Arc::clone(&ports.broadcasts), nodes.clone());
        reactions.push(Arc::new(TellEveryNode { kind, broadcasts, nodes }));
    }
    reactions.extend(reactions::all(&around));
    let fellowship = Fellowship::new(
        TailPorts {
            hub: Arc::clone(&hub),
            messages: messages.clone(),
            live: here,
            broadcasts: Arc::clone(&ports.broadcasts),
            reactions: on_every_node,
        },
        EarPorts {
            nodes: nodes.clone(),
            hub: Arc::clone(&hub),
            people: people.clone(),
            presence: Arc::clone(&presence),
            silence: Arc::clone(&silence),
            pace,
            clock: clock(),
        },
    );
    let relay = Relay::new(Arc::clone(&ports.outbox), clock(), reactions, Arc::clone(&ports.outbox_wake));
    let grain = ACTIVITY_GRAIN.to_std().unwrap_or_default();
    // One line each; see [`crate::Chore`].
    let housekeeping = Housekeeping::new(vec![
        Arc::new(ForgetChanges(messages.clone())),
        Arc::new(ExpireMessages(messages.clone())),
        Arc::new(PurgeMessages(messages.clone())),
        Arc::new(IndexMessages::new(search.clone(), ports.ids.uuid())),
        Arc::new(TidySearchIndex(search.clone())),
        Arc::new(ForgetBroadcasts(Arc::clone(&ports.broadcasts))),
        Arc::new(ExamineFiles(files.clone())),
        Arc::new(ForgetUploads(files.clone())),
        Arc::new(DestroyFiles(files.clone())),
        Arc::new(SweepBlobs(files.clone())),
    ]);
    let platform = Platform {
        accounts,
        second_factor,
        registrations,
        invitations,
        passwords,
        administration,
        profiles,
        directory,
        contacts,
        blocks,
        presence,
        trail,
        break_glass,
        conversations,
        invitation_links,
        inboxes,
        hours,
        emergencies,
        messages,
        files,
        moderation,
        titles,
        search,
        retention,
        screens,
        hub,
        notifications,
        limiter: Arc::clone(&ports.limiter),
        mailbox: ports.mailbox.clone(),
        people,
        epoch: ports.epoch,
        door: Arc::new(Door::new(ports.door, ids())),
        nodes,
        mentions,
        dependencies: ports.dependencies.clone().into(),
        silence,
        rooms,
        touched: Cache::builder().max_capacity(100_000).time_to_live(grain).build(),
    };
    (platform, relay, housekeeping, fellowship)
}
