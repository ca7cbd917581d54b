//! What people read, in Spanish and English (C-50).

use actix_web::http::header::{ACCEPT_LANGUAGE, HeaderMap};

pub(crate) use alivio_kernel::Language;

/// The one of our languages that `Accept-Language` likes best.
pub(crate) fn negotiate(headers: &HeaderMap) -> Language {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut best = (0.0, Language::default());
    for range in accepted.split(',') {
        let (tag, quality) = range.split_once(";q=").unwrap_or((range, "1"));
        let quality: f32 = quality.trim().parse().unwrap_or(0.0);
        let primary = tag.trim().split('-').next().unwrap_or("").to_ascii_lowercase();
        let language = match primary.as_str() {
            "es" => Language::Spanish,
            "en" => Language::English,
            _ => continue,
        };
        if quality > best.0 {
            best = (quality, language);
        }
    }
    best.1
}

/// What to tell people for `code`.
pub(crate) fn message(code: &str, language: Language) -> &'static str {
    let (_, spanish, english) = MESSAGES.iter().find(|(c, ..)| *c == code).unwrap_or(&UNKNOWN);
    match language {
        Language::Spanish => spanish,
        Language::English => english,
    }
}

const UNKNOWN: (&str, &str, &str) =
    ("", "No se pudo completar la solicitud.", "The request could not be completed.");

/// Code, Spanish, English.
const MESSAGES: &[(&str, &str, &str)] = &[
    (
        "administrator_exists",
        "Ya existe un administrador activo.",
        "There is an active administrator already.",
    ),
    (
        "already_corrected",
        "Este mensaje ya fue corregido por otro.",
        "This message was already corrected by another.",
    ),
    ("already_participant", "Usted participa en esta conversación.", "You are in this conversation."),
    (
        "already_verified",
        "Ese número de licencia ya está verificado.",
        "That licence number is verified already.",
    ),
    (
        "attachment_not_found",
        "No existen esos archivos, o no puede adjuntarlos aquí.",
        "There are no such files, or none that you may attach here.",
    ),
    ("bad_request", "La solicitud no es válida.", "The request is not valid."),
    (
        "break_glass_open",
        "Ya tiene un acceso de emergencia abierto a esta conversación.",
        "You already hold open emergency access to this conversation.",
    ),
    (
        "busy",
        "Hay demasiados inicios de sesión a la vez. Inténtelo de nuevo en un momento.",
        "Too many people are signing in at once. Try again in a moment.",
    ),
    (
        "cannot_block_admin",
        "No se puede bloquear a la administración de la clínica.",
        "The administration of the clinic cannot be blocked.",
    ),
    ("checksum_mismatch", "El archivo no es el que usted vio.", "The file is not the one you have seen."),
    (
        "client_message_id_reused",
        "Ese identificador de mensaje ya se usó para otro mensaje.",
        "That client message id was used for another message.",
    ),
    (
        "clinician_required",
        "Este tipo de conversación necesita un profesional médico.",
        "This kind of conversation needs a medical professional.",
    ),
    ("clinicians_only", "Solo el personal clínico puede hacer esto.", "Only clinicians can do this."),
    (
        "codes_locked",
        "Demasiados códigos incorrectos. Espere antes de volver a intentarlo.",
        "Too many wrong codes. Wait before you try again.",
    ),
    ("consent_required", "El paciente no ha dado su consentimiento.", "The patient has not agreed."),
    (
        "content_destroyed",
        "El contenido de esta conversación fue destruido y ya no admite mensajes.",
        "The content of this conversation was destroyed, and it takes no more messages.",
    ),
    (
        "content_not_allowed",
        "El mensaje incumple las normas de la conversación y no se ha enviado.",
        "The message breaks the rules of the conversation and was not sent.",
    ),
    ("conversation_closed", "La conversación está cerrada.", "The conversation is closed."),
    (
        "conversation_not_allowed",
        "No puede iniciar conversación con este usuario.",
        "You cannot start a conversation with this user.",
    ),
    (
        "csrf_token_invalid",
        "La solicitud no viene de la página en la que inició sesión.",
        "The request did not come from the page you signed in to.",
    ),
    (
        "direct_chat_blocked",
        "No puede enviar mensajes directos a este usuario.",
        "You cannot send direct messages to this user.",
    ),
    (
        "direct_conversation_exists",
        "Ya existe una conversación directa entre ustedes.",
        "You already have a direct conversation.",
    ),
    (
        "direct_conversation_fixed",
        "Los participantes de una conversación directa no cambian.",
        "The participants of a direct conversation do not change.",
    ),
    (
        "downloads_exhausted",
        "Este archivo ya se descargó tantas veces como se permite.",
        "This file was downloaded as often as it may be.",
    ),
    (
        "edit_window_over",
        "Ya no se puede editar este mensaje. Envíe una corrección.",
        "This message can no longer be edited. Send a correction.",
    ),
    (
        "email_taken",
        "Esa dirección de correo ya tiene una cuenta.",
        "That e-mail address already has an account.",
    ),
    (
        "emergency_is_called",
        "Las emergencias se piden por el canal de emergencias.",
        "Emergencies are called through the emergency channel.",
    ),
    ("emergency_over", "Esta emergencia ya ha terminado.", "This emergency is over."),
    ("file_expired", "El acceso a este archivo ha caducado.", "Access to this file has expired."),
    (
        "file_failed",
        "El archivo está dañado y no se puede abrir.",
        "The file is damaged and cannot be opened.",
    ),
    (
        "file_pending",
        "El archivo se está analizando. Inténtelo de nuevo en un momento.",
        "The file is being scanned. Try again in a moment.",
    ),
    (
        "file_quarantined",
        "El archivo no es seguro y no se puede abrir.",
        "The file is not safe and cannot be opened.",
    ),
    (
        "file_refused",
        "El contenido de este archivo no se admite.",
        "The content of this file is not accepted.",
    ),
    (
        "file_sharing_disabled",
        "En esta conversación no se comparten archivos.",
        "Files are not shared in this conversation.",
    ),
    ("file_too_large", "El archivo excede el tamaño máximo permitido.", "The file is larger than allowed."),
    (
        "file_type_not_allowed",
        "Este tipo de archivo no está permitido en conversaciones médicas.",
        "This type of file is not allowed in medical conversations.",
    ),
    ("forbidden", "No tiene permiso para hacer esto.", "You are not allowed to do this."),
    (
        "forbidden_origin",
        "No se permite conectar desde esta página.",
        "Connecting from this page is not allowed.",
    ),
    (
        "forwarding_not_allowed",
        "Este mensaje no se puede reenviar ahí.",
        "This message must not be forwarded there.",
    ),
    (
        "idempotency_key_reused",
        "Esa clave de idempotencia ya se usó para otra solicitud.",
        "That idempotency key was used for another request.",
    ),
    ("internal_error", "Ha ocurrido un error inesperado.", "Something unexpected went wrong."),
    ("invalid_code", "El código no es correcto o ya se usó.", "The code is wrong or was used before."),
    (
        "invalid_credentials",
        "El correo o la contraseña no son correctos.",
        "The e-mail address or the password is wrong.",
    ),
    (
        "invalid_refresh_token",
        "El token de renovación no es válido. Inicie sesión de nuevo.",
        "The refresh token is not valid. Sign in again.",
    ),
    (
        "invalid_secret",
        "El código o enlace no es válido, ha caducado o ya se usó.",
        "The code or link is not valid, has expired, or was used before.",
    ),
    ("invalid_ticket", "El ticket no es válido o ya se usó.", "The ticket is not valid or was used before."),
    (
        "invalid_token",
        "El token de acceso no es válido o ha caducado.",
        "The access token is not valid or has expired.",
    ),
    (
        "last_administrator",
        "El último administrador activo debe seguir siéndolo.",
        "The last active administrator must stay one.",
    ),
    ("last_moderator", "El último moderador no puede salir.", "The last moderator cannot leave."),
    ("link_invalid", "El enlace no es válido o ha caducado.", "The link is not valid or has expired."),
    ("malformed_json", "El cuerpo no es JSON válido.", "The body is not valid JSON."),
    (
        "message_deletion_disabled",
        "En esta conversación no se pueden eliminar mensajes.",
        "Messages cannot be deleted in this conversation.",
    ),
    (
        "message_editing_disabled",
        "En esta conversación no se pueden editar mensajes.",
        "Messages cannot be edited in this conversation.",
    ),
    ("message_gone", "El mensaje fue eliminado o ha caducado.", "The message was deleted or has expired."),
    (
        "method_not_allowed",
        "Este recurso no admite ese método.",
        "This resource does not support that method.",
    ),
    (
        "moderator_required",
        "Alguien debe moderar la conversación.",
        "Someone must moderate the conversation.",
    ),
    (
        "network_not_allowed",
        "Desde esta red no se puede iniciar sesión.",
        "One cannot sign in from this network.",
    ),
    (
        "no_step_pending",
        "Este inicio de sesión no espera ningún código.",
        "This sign-in does not wait for a code.",
    ),
    ("not_a_moderator", "Solo un moderador puede hacerlo.", "Only a moderator can do this."),
    (
        "not_for_this_purpose",
        "Una conversación de este tipo y propósito no lo admite.",
        "A conversation of this type and purpose cannot have that.",
    ),
    ("not_found", "No se encontró.", "Not found."),
    (
        "not_the_patient",
        "Solo se comparten archivos del paciente de esta conversación.",
        "Only files of the patient of this conversation are shared.",
    ),
    (
        "not_the_sender",
        "Solo puede hacerlo quien envió el mensaje.",
        "Only whoever sent the message can do this.",
    ),
    (
        "not_the_uploader",
        "Solo puede hacerlo quien subió el archivo.",
        "Only whoever uploaded the file can do this.",
    ),
    (
        "nothing_to_decide",
        "No hay credenciales pendientes de decisión.",
        "There are no credentials waiting for a decision.",
    ),
    (
        "outside_chat_hours",
        "El chat está cerrado a esta hora. Si es urgente, use el canal de emergencias.",
        "The chat is closed at this hour. If it is urgent, use the emergency channel.",
    ),
    ("patients_do_not_moderate", "Un paciente no puede moderar.", "A patient cannot moderate."),
    ("payload_too_large", "El cuerpo es demasiado grande.", "The body is too large."),
    (
        "phi_not_allowed",
        "Aquí no puede constar quién es el paciente. Quite los datos que lo identifican.",
        "Nobody may tell here who the patient is. Remove what identifies them.",
    ),
    ("range_not_satisfiable", "Esa parte del archivo no existe.", "There is no such part of the file."),
    ("rate_limited", "Demasiadas solicitudes. Espere un momento.", "Too many requests. Wait a moment."),
    (
        "registration_closed",
        "Aquí las cuentas se crean por invitación.",
        "Accounts are made by invitation here.",
    ),
    (
        "report_transition_not_allowed",
        "El aviso no puede pasar a ese estado.",
        "The report cannot move to that state.",
    ),
    ("request_timeout", "La solicitud tardó demasiado en llegar.", "The request took too long to arrive."),
    (
        "role_not_assignable",
        "Un paciente no puede pasar a ser personal ni al revés.",
        "A patient cannot become staff, nor staff a patient.",
    ),
    (
        "scheduled_message_settled",
        "El mensaje programado ya se envió, se canceló o se rechazó.",
        "The scheduled message was sent, taken back or refused already.",
    ),
    ("second_factor_off", "La verificación en dos pasos no está activada.", "Two-step verification is off."),
    (
        "second_factor_on",
        "La verificación en dos pasos ya está activada.",
        "Two-step verification is already on.",
    ),
    (
        "second_factor_required",
        "Su clínica exige la verificación en dos pasos.",
        "Your clinic requires two-step verification.",
    ),
    (
        "session_ended",
        "La sesión ha terminado. Inicie sesión de nuevo.",
        "The session has ended. Sign in again.",
    ),
    ("signature_not_asked", "Este archivo no necesita firma.", "No signature is asked for on this file."),
    (
        "stale",
        "Alguien cambió esto al mismo tiempo. Inténtelo de nuevo.",
        "Someone changed this at the same time. Try again.",
    ),
    (
        "step_required",
        "Falta un paso para completar el inicio de sesión.",
        "One step is missing before the sign-in is complete.",
    ),
    ("storage_full", "No queda espacio para guardar el archivo.", "There is no room left to store the file."),
    (
        "too_many_annotations",
        "Este archivo ya tiene demasiadas anotaciones.",
        "This file has too many annotations already.",
    ),
    (
        "too_many_contact_requests",
        "Tiene demasiadas solicitudes de contacto pendientes.",
        "You have too many open contact requests.",
    ),
    (
        "too_many_reactions",
        "El mensaje ya tiene demasiadas reacciones distintas.",
        "The message has too many different reactions already.",
    ),
    (
        "too_many_sockets",
        "Tiene demasiadas conexiones abiertas. Cierre alguna.",
        "You have too many connections open. Close one.",
    ),
    (
        "tus_version",
        "Esa versión del protocolo de subida no se admite.",
        "That version of the upload protocol is not supported.",
    ),
    ("unauthenticated", "Debe iniciar sesión.", "You must sign in."),
    (
        "unavailable",
        "El servicio no está disponible en este momento. Inténtelo de nuevo.",
        "The service is not available right now. Try again.",
    ),
    ("unknown_command", "Comando desconocido.", "Unknown command."),
    (
        "unsupported_body",
        "El cuerpo no es del tipo que se espera aquí.",
        "The body is not of the type that is taken here.",
    ),
    (
        "unsupported_image",
        "La imagen debe ser un PNG o JPEG válido de hasta 4096 píxeles por lado.",
        "The picture must be a valid PNG or JPEG of at most 4096 pixels a side.",
    ),
    ("unsupported_media_type", "El cuerpo debe ser application/json.", "The body must be application/json."),
    ("upgrade_required", "Esta dirección solo admite WebSocket.", "This address only speaks WebSocket."),
    ("upload_incomplete", "El archivo no llegó completo.", "The file did not arrive whole."),
    ("upload_offset_mismatch", "La subida continúa en otro punto.", "The upload goes on elsewhere."),
    ("validation_failed", "Un campo tiene un valor no válido.", "A field has an invalid value."),
];

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn negotiated(accept: &str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_str(accept).unwrap());
        super::negotiate(&headers)
    }

    #[test]
    fn the_best_liked_of_our_languages_wins() {
        assert_eq!(negotiated("en"), Language::English);
        assert_eq!(negotiated("en-GB,en;q=0.9"), Language::English);
        assert_eq!(negotiated("fr, en;q=0.5, es;q=0.8"), Language::Spanish);
        assert_eq!(negotiated("de"), Language::Spanish);
        assert_eq!(negotiated("en;q=nonsense"), Language::Spanish);
        assert_eq!(super::negotiate(&HeaderMap::new()), Language::Spanish);
    }

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(MESSAGES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn every_code_of_every_domain_has_words() {
        use alivio_kernel::ids::{ConversationId, UserId, Uuid};
        use alivio_kernel::{DomainError, FieldError, Rule};
        let field = FieldError::new("f", Rule::Empty);
        let source = || "source".into();
        let errors: Vec<Box<dyn DomainError>> = {
            use alivio_accounts::Error as A;
            use alivio_audit::Error as U;
            use alivio_conversations::{DenialReason, Error as C};
            use alivio_files::Error as F;
            use alivio_messages::Error as M;
            vec![
                Box::new(A::InvalidCredentials),
                Box::new(A::InvalidToken),
                Box::new(A::InvalidRefreshToken),
                Box::new(A::InvalidTicket),
                Box::new(A::SessionEnded),
                Box::new(A::InvalidSecret),
                Box::new(A::RegistrationClosed),
                Box::new(A::EmailTaken),
                Box::new(A::LastAdministrator),
                Box::new(A::AdministratorExists),
                Box::new(A::RoleNotAssignable),
                Box::new(A::NotFound),
                Box::new(A::Stale),
                Box::new(A::AlreadyVerified),
                Box::new(A::NothingToDecide),
                Box::new(A::UnsupportedImage),
                Box::new(A::TooManyContactRequests),
                Box::new(A::CannotBlockAdmin),
                Box::new(A::Busy),
                Box::new(A::Field(field)),
                Box::new(A::Unavailable(source())),
                Box::new(U::NotFound),
                Box::new(U::AlreadyParticipant),
                Box::new(U::GrantOpen),
                Box::new(U::Stale),
                Box::new(U::Denied(alivio_kernel::Denied::OwnAccount)),
                Box::new(U::Field(field)),
                Box::new(U::Unavailable(source())),
                Box::new(C::NotFound),
                Box::new(C::NotAModerator),
                Box::new(C::ClinicianRequired),
                Box::new(C::NotAllowed {
                    target_user_id: UserId::from(Uuid::nil()),
                    reason: DenialReason::NoMedicalRelationship,
                }),
                Box::new(C::DirectExists { conversation_id: ConversationId::from(Uuid::nil()) }),
                Box::new(C::DirectIsFixed),
                Box::new(C::LastModerator),
                Box::new(C::ModeratorRequired),
                Box::new(C::PatientsDoNotModerate),
                Box::new(C::NotForThisPurpose { field: "purpose" }),
                Box::new(C::Closed),
                Box::new(C::KeyReused),
                Box::new(C::Stale),
                Box::new(C::Field(field)),
                Box::new(C::Unavailable(source())),
                Box::new(M::NotFound),
                Box::new(M::Closed),
                Box::new(M::Blocked),
                Box::new(M::ClientMessageIdReused),
                Box::new(M::NotTheSender),
                Box::new(M::Gone),
                Box::new(M::EditingDisabled),
                Box::new(M::DeletionDisabled),
                Box::new(M::EditWindowOver),
                Box::new(M::AlreadyCorrected { by: alivio_kernel::ids::MessageId::from(Uuid::nil()) }),
                Box::new(M::Stale),
                Box::new(M::TooManyReactions),
                Box::new(M::TooMany { limit: 20, wait: chrono::TimeDelta::seconds(1) }),
                Box::new(M::NotAllowed(Vec::new())),
                Box::new(M::NotAllowed(vec![alivio_messages::screening::Finding {
                    kind: alivio_messages::screening::FindingKind::Phi,
                    rule: "email",
                }])),
                Box::new(M::Denied(alivio_kernel::Denied::Involved)),
                Box::new(M::NotThere),
                Box::new(M::Field(field)),
                Box::new(M::Unavailable(source())),
                Box::new(F::NotFound),
                Box::new(F::NotTheSubject),
                Box::new(F::TooLarge { size: Some(2), max: 1 }),
                Box::new(F::TypeNotAllowed { found: "unknown" }),
                Box::new(F::Unfit(alivio_files::Unfit::Bomb)),
                Box::new(F::Incomplete),
                Box::new(F::WrongOffset { offset: 1 }),
                Box::new(F::NotActive(alivio_files::State::Pending)),
                Box::new(F::NotActive(alivio_files::State::Quarantined)),
                Box::new(F::NotActive(alivio_files::State::Failed)),
                Box::new(F::Expired),
                Box::new(F::ConsentRequired),
                Box::new(F::DownloadsExhausted),
                Box::new(F::NotTheUploader),
                Box::new(F::CliniciansOnly),
                Box::new(F::TooManyAnnotations),
                Box::new(F::LinkInvalid),
                Box::new(F::SignatureNotAsked),
                Box::new(F::ChecksumMismatch),
                Box::new(F::Full),
            ]
        };
        for error in errors {
            assert!(MESSAGES.iter().any(|(code, ..)| *code == error.code()), "{}", error.code());
        }
    }
}
