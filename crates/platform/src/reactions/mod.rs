//! Consequences: one file each, named after what it does. All are idempotent.

mod account_deactivated_sends_letter;
mod acknowledgement_due_escalates;
mod break_glass_opened_alerts_everyone;
mod break_glass_opened_sends_letters;
mod care_block_raised_alerts_administrators;
mod contact_requested_sends_letter;
mod content_destroyed_erases_files;
mod content_destroyed_forgets_keys;
mod content_destroyed_leaves_index;
mod conversation_created_reaches_participants;
mod conversation_updated_reaches_participants;
mod credentials_decided_sends_letter;
mod emergency_acknowledged_stands_down;
mod emergency_escalated_says_so;
mod emergency_opened_says_what_to_do;
mod emergency_paged_alerts_people;
mod emergency_paged_sends_letters;
mod emergency_resolved_tells_everyone;
mod file_annotated_reaches_viewers;
mod file_changed_reaches_viewers;
mod file_deleted_reaches_viewers;
mod file_destroyed_forgets_keys;
mod file_quarantined_reaches_uploader;
mod file_ready_reaches_viewers;
mod file_uploaded_is_examined;
mod file_withdrawn_reaches_person;
mod invitation_issued_sends_letter;
mod many_downloaded_alerts_administrators;
mod message_outside_hours_is_answered;
mod participant_added_reaches_everyone;
mod participant_removed_narrows_sockets;
mod password_changed_sends_letter;
mod password_reset_requested_sends_letter;
mod profile_changed_refreshes_names;
mod registration_begun_sends_letter;
mod scheduled_message_due_is_sent;
mod second_factor_changed_sends_letter;
mod session_revoked_closes_sockets;
mod session_revoked_sends_letter;
mod sessions_revoked_closes_sockets;
mod temporary_password_issued_sends_letter;
mod unusual_sign_in_sends_letter;
mod user_registered_publishes_entry;

use std::sync::Arc;

use alivio_accounts::{Administration, Invitations, Passwords, Profiles, Registrations};
use alivio_conversations::{Conversations, Emergencies, Hours};
use alivio_files::Files;
use alivio_messages::{Messages, Retention, Search};
use alivio_outbox::Reaction;

use crate::automated::Announcements;
use crate::bridges::RoomsFromConversations;
use crate::correspondence::Correspondence;
use crate::live::Hub;
use crate::people::PeopleDirectory;
use crate::session_cache::CachedSessions;
use crate::viewers::Viewers;

/// What lies around the reactions.
pub(crate) struct Around {
    pub(crate) hub: Arc<Hub>,
    pub(crate) sessions: Arc<CachedSessions>,
    pub(crate) people: PeopleDirectory,
    pub(crate) conversations: Conversations,
    pub(crate) messages: Messages,
    pub(crate) files: Files,
    pub(crate) rooms: Arc<RoomsFromConversations>,
    pub(crate) hours: Hours,
    pub(crate) emergencies: Emergencies,
    pub(crate) announcements: Announcements,
    pub(crate) search: Search,
    pub(crate) retention: Retention,
    pub(crate) administration: Administration,
    pub(crate) registrations: Registrations,
    pub(crate) invitations: Invitations,
    pub(crate) passwords: Passwords,
    pub(crate) profiles: Profiles,
    pub(crate) correspondence: Correspondence,
}

/// What every node does, because each has people connected to it and remembers things.
pub(crate) fn on_every_node(around: &Around) -> Vec<Arc<dyn Reaction>> {
    let hub = || Arc::clone(&around.hub);
    let sessions = || Arc::clone(&around.sessions);
    let viewers = || Viewers { hub: hub(), files: around.files.clone(), people: around.people.clone() };
    vec![
        Arc::new(emergency_acknowledged_stands_down::React::new(hub())),
        Arc::new(emergency_paged_alerts_people::React::new(hub())),
        Arc::new(emergency_resolved_tells_everyone::React::new(hub())),
        Arc::new(break_glass_opened_alerts_everyone::React::new(hub(), around.administration.clone())),
        Arc::new(content_destroyed_forgets_keys::React::new(around.retention.clone())),
        Arc::new(conversation_created_reaches_participants::React::new(hub())),
        Arc::new(conversation_updated_reaches_participants::React::new(
            hub(),
            around.conversations.clone(),
            Arc::clone(&around.rooms),
        )),
        Arc::new(file_annotated_reaches_viewers::React(viewers())),
        Arc::new(file_changed_reaches_viewers::React(viewers())),
        Arc::new(file_deleted_reaches_viewers::React(viewers())),
        Arc::new(file_destroyed_forgets_keys::React::new(around.files.clone())),
        Arc::new(file_withdrawn_reaches_person::React::new(hub())),
        Arc::new(file_quarantined_reaches_uploader::React::new(hub())),
        Arc::new(file_ready_reaches_viewers::React(viewers())),
        Arc::new(participant_added_reaches_everyone::React::new(hub(), around.people.clone())),
        Arc::new(participant_removed_narrows_sockets::React::new(
            hub(),
            around.conversations.clone(),
            around.people.clone(),
        )),
        Arc::new(profile_changed_refreshes_names::React::new(around.people.clone())),
        Arc::new(session_revoked_closes_sockets::React::new(hub(), sessions())),
        Arc::new(sessions_revoked_closes_sockets::React::new(hub(), sessions())),
    ]
}

/// What is done once, by whichever node gets to it.
pub(crate) fn all(around: &Around) -> Vec<Arc<dyn Reaction>> {
    let correspondence = || around.correspondence.clone();
    let administration = || around.administration.clone();
    let announcements = || around.announcements.clone();
    let number = || around.emergencies.policy().number.clone();
    vec![
        Arc::new(acknowledgement_due_escalates::React::new(around.emergencies.clone())),
        Arc::new(emergency_escalated_says_so::React::new(announcements(), number())),
        Arc::new(emergency_opened_says_what_to_do::React::new(announcements(), number())),
        Arc::new(emergency_paged_sends_letters::React::new(correspondence())),
        Arc::new(message_outside_hours_is_answered::React::new(around.hours.clone(), announcements())),
        Arc::new(account_deactivated_sends_letter::React::new(correspondence())),
        Arc::new(break_glass_opened_sends_letters::React::new(administration(), correspondence())),
        Arc::new(care_block_raised_alerts_administrators::React::new(administration(), correspondence())),
        Arc::new(contact_requested_sends_letter::React::new(correspondence())),
        Arc::new(content_destroyed_erases_files::React::new(around.files.clone())),
        Arc::new(content_destroyed_leaves_index::React::new(around.search.clone())),
        Arc::new(credentials_decided_sends_letter::React::new(correspondence())),
        Arc::new(file_uploaded_is_examined::React::new(around.files.clone())),
        Arc::new(invitation_issued_sends_letter::React::new(around.invitations.clone())),
        Arc::new(many_downloaded_alerts_administrators::React::new(administration(), correspondence())),
        Arc::new(password_changed_sends_letter::React::new(around.passwords.clone())),
        Arc::new(password_reset_requested_sends_letter::React::new(around.passwords.clone())),
        Arc::new(registration_begun_sends_letter::React::new(around.registrations.clone())),
        Arc::new(scheduled_message_due_is_sent::React::new(around.messages.clone())),
        Arc::new(second_factor_changed_sends_letter::React::new(correspondence())),
        Arc::new(session_revoked_sends_letter::React::new(correspondence())),
        Arc::new(temporary_password_issued_sends_letter::React::new(around.invitations.clone())),
        Arc::new(unusual_sign_in_sends_letter::React::new(correspondence())),
        Arc::new(user_registered_publishes_entry::React::new(
            around.invitations.clone(),
            around.profiles.clone(),
        )),
    ]
}
