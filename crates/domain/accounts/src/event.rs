use alivio_kernel::ids::{ContactRequestId, InvitationId, MailedSecretId, RegistrationId, SessionId, UserId};
use alivio_kernel::{DomainEvent, Role};
use serde::{Deserialize, Serialize};

use crate::{CredentialStatus, RevocationReason};

/// A session was ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// The session.
    pub session_id: SessionId,
    /// Whose it was.
    pub user_id: UserId,
    /// Why.
    pub reason: RevocationReason,
}

impl DomainEvent for SessionRevoked {
    const KIND: &'static str = "accounts.session_revoked";
}

/// The sessions of a user were ended before their time: all, or all but one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsRevoked {
    /// Whose they were.
    pub user_id: UserId,
    /// The one that goes on.
    pub except: Option<SessionId>,
    /// Why.
    pub reason: RevocationReason,
}

impl DomainEvent for SessionsRevoked {
    const KIND: &'static str = "accounts.sessions_revoked";
}

/// Someone signed in from a device or a network that the account has not been used from of late (S0-233).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusualSignIn {
    /// Whose account it is.
    pub user_id: UserId,
    /// The session that was opened.
    pub session_id: SessionId,
}

impl DomainEvent for UnusualSignIn {
    const KIND: &'static str = "accounts.unusual_sign_in";
}

/// A second factor was turned on or off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactorChanged {
    /// Whose.
    pub user_id: UserId,
    /// Whether it is on now.
    pub is_on: bool,
}

impl DomainEvent for SecondFactorChanged {
    const KIND: &'static str = "accounts.second_factor_changed";
}

/// Someone wants to sign up. Whether the address is taken is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationBegun {
    /// What waits for the address to be confirmed.
    pub registration_id: RegistrationId,
}

impl DomainEvent for RegistrationBegun {
    const KIND: &'static str = "accounts.registration_begun";
}

/// There is a new account: someone signed up, or took an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRegistered {
    /// Whose account it is.
    pub user_id: UserId,
    /// What it is for.
    pub role: Role,
}

impl DomainEvent for UserRegistered {
    const KIND: &'static str = "accounts.user_registered";
}

/// Someone was invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationIssued {
    /// The invitation.
    pub invitation_id: InvitationId,
}

impl DomainEvent for InvitationIssued {
    const KIND: &'static str = "accounts.invitation_issued";
}

/// An account was given a password that only leads to setting another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemporaryPasswordIssued {
    /// Whose.
    pub user_id: UserId,
    /// What the password is made from.
    pub secret_id: MailedSecretId,
}

impl DomainEvent for TemporaryPasswordIssued {
    const KIND: &'static str = "accounts.temporary_password_issued";
}

/// Someone has forgotten the password of an address, which may well have no account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordResetRequested {
    /// What the token is made from.
    pub request_id: MailedSecretId,
    /// The blind index of the address, in hexadecimal digits.
    pub email_index: String,
}

impl DomainEvent for PasswordResetRequested {
    const KIND: &'static str = "accounts.password_reset_requested";
}

/// A user has another password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// Who.
    pub user_id: UserId,
}

impl DomainEvent for PasswordChanged {
    const KIND: &'static str = "accounts.password_changed";
}

/// Someone's names, picture or published entry changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileChanged {
    /// Whose.
    pub user_id: UserId,
}

impl DomainEvent for ProfileChanged {
    const KIND: &'static str = "accounts.profile_changed";
}

/// Someone decided about a professional's credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsDecided {
    /// The professional.
    pub user_id: UserId,
    /// `verified` or `rejected`.
    pub status: CredentialStatus,
}

impl DomainEvent for CredentialsDecided {
    const KIND: &'static str = "accounts.credentials_decided";
}

/// Someone was asked to become a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactRequested {
    /// The request.
    pub request_id: ContactRequestId,
    /// Who asks.
    pub from: UserId,
    /// Who is to hear of it. Nobody, if it reaches no one or they were told of another today: the event is stored
    /// all the same, so that the time it takes does not tell who exists (PR-06).
    pub to: Option<UserId>,
}

impl DomainEvent for ContactRequested {
    const KIND: &'static str = "accounts.contact_requested";
}

/// Two people became contacts of each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactAccepted {
    /// Who had asked.
    pub from: UserId,
    /// Who accepted.
    pub to: UserId,
}

impl DomainEvent for ContactAccepted {
    const KIND: &'static str = "accounts.contact_accepted";
}

/// Someone blocked someone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserBlocked {
    /// Who blocks.
    pub blocker: UserId,
    /// Whom.
    pub blocked: UserId,
}

impl DomainEvent for UserBlocked {
    const KIND: &'static str = "accounts.user_blocked";
}

/// Someone lifted their block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserUnblocked {
    /// Who blocked.
    pub blocker: UserId,
    /// Whom.
    pub blocked: UserId,
}

impl DomainEvent for UserUnblocked {
    const KIND: &'static str = "accounts.user_unblocked";
}

/// A patient and a professional who attends them are no longer on speaking terms: for the clinic to look at (C-42).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CareBlockRaised {
    /// Who blocks.
    pub blocker: UserId,
    /// Whom.
    pub blocked: UserId,
}

impl DomainEvent for CareBlockRaised {
    const KIND: &'static str = "accounts.care_block_raised";
}
