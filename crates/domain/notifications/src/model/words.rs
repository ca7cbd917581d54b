//! The words of every letter. What they look like is in `tests/letters/`.

use std::fmt::Write as _;

use alivio_kernel::{Language, Role, Sensitive};

use super::{Letter, OutgoingMail, PublicOrigin, RenderedMail};

/// A letter before it is laid out.
struct Words<'a> {
    subject: &'static str,
    paragraphs: Vec<String>,
    /// To be typed by the reader: on a line of its own.
    to_type: Option<&'a str>,
    /// What the link does, its page, and the secret behind its `#`.
    link: Option<(&'static str, &'static str, Option<&'a str>)>,
    /// Under the link.
    note: &'static str,
}

/// Puts `mail` into words, with links to `origin`.
pub fn render(mail: &OutgoingMail, origin: &PublicOrigin) -> RenderedMail {
    let words = match mail.language {
        Language::Spanish => spanish(&mail.letter),
        Language::English => english(&mail.letter),
    };
    let link = words.link.map(|(label, page, token)| (label, address(origin, page, token)));
    RenderedMail {
        id: mail.id,
        to: mail.to.clone(),
        language: mail.language,
        kind: mail.letter.kind(),
        subject: words.subject.to_owned(),
        text: Sensitive::new(text(&words, link.as_ref(), mail.language)),
        html: Sensitive::new(html(&words, link.as_ref(), mail.language)),
    }
}

fn address(origin: &PublicOrigin, page: &str, token: Option<&str>) -> String {
    let mut address = format!("{}/{page}", origin.as_str());
    if let Some(token) = token {
        address.push_str("#token=");
        for byte in token.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                address.push(char::from(byte));
            } else {
                // Writing to a String does not fail.
                let _ = write!(address, "%{byte:02X}");
            }
        }
    }
    address
}

const fn signature(language: Language) -> &'static str {
    match language {
        Language::Spanish => "Alivio. Este mensaje es automático; no responda a él.",
        Language::English => "Alivio. This message was sent automatically; please do not reply.",
    }
}

fn text(words: &Words<'_>, link: Option<&(&str, String)>, language: Language) -> String {
    let mut blocks = words.paragraphs.clone();
    blocks.extend(words.to_type.map(|secret| format!("    {secret}")));
    blocks.extend(link.map(|(label, address)| format!("{label}:\n{address}")));
    blocks.push(words.note.to_owned());
    blocks.push(format!("-- \n{}", signature(language)));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n") + "\n"
}

fn html(words: &Words<'_>, link: Option<&(&str, String)>, language: Language) -> String {
    let mut body: String =
        words.paragraphs.iter().map(|paragraph| format!("<p>{}</p>\n", escaped(paragraph))).collect();
    if let Some(secret) = words.to_type {
        body += &format!("<p><code>{}</code></p>\n", escaped(secret));
    }
    if let Some((label, address)) = link {
        body += &format!("<p><a href=\"{}\">{}</a></p>\n", escaped(address), escaped(label));
    }
    if !words.note.is_empty() {
        body += &format!("<p>{}</p>\n", escaped(words.note));
    }
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head><meta charset=\"utf-8\"><title>{}</title></head>\n<body>\n\
         {body}<p><small>{}</small></p>\n</body>\n</html>\n",
        language.tag(),
        escaped(words.subject),
        escaped(signature(language)),
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn words<'a>(subject: &'static str, paragraphs: &[&str]) -> Words<'a> {
    Words {
        subject,
        paragraphs: paragraphs.iter().map(|&p| p.to_owned()).collect(),
        to_type: None,
        link: None,
        note: "",
    }
}

impl<'a> Words<'a> {
    fn link(self, label: &'static str, page: &'static str) -> Self {
        Self { link: Some((label, page, None)), ..self }
    }

    fn link_with(self, label: &'static str, page: &'static str, token: &'a Sensitive<String>) -> Self {
        Self { link: Some((label, page, Some(token.expose()))), ..self }
    }

    fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }
}

/// Pages of the client that letters lead to.
mod page {
    pub(super) const CONFIRM_EMAIL: &str = "confirm-email";
    pub(super) const ACCEPT_INVITATION: &str = "accept-invitation";
    pub(super) const SIGN_IN: &str = "sign-in";
    pub(super) const FORGOT_PASSWORD: &str = "forgot-password";
    pub(super) const RESET_PASSWORD: &str = "reset-password";
}

fn spanish(letter: &Letter) -> Words<'_> {
    match letter {
        Letter::ConfirmEmail { token } => words(
            "Confirme su dirección de correo",
            &["Alguien, seguramente usted, abrió una cuenta de Alivio con esta dirección.",
                "Confirme que es suya. La página le pedirá la contraseña que eligió:",
            ],
        )
        .link_with("Confirmar la dirección", page::CONFIRM_EMAIL, token)
        .note("El enlace funciona una sola vez. Si no fue usted, no haga nada."),
        Letter::AlreadyRegistered => words(
            "Ya tiene una cuenta",
            &[
                "Alguien, quizás usted, quiso abrir una cuenta de Alivio con esta dirección, que ya tiene una.",
                "No hace falta otra. Si ha olvidado la contraseña, puede elegir una nueva:",
            ],
        )
        .link("Elegir una contraseña nueva", page::FORGOT_PASSWORD)
        .note("Si no fue usted, no haga nada: su cuenta no ha cambiado."),
        Letter::Invitation { token, role } => {
            let role = match role {
                Role::Patient => "paciente",
                Role::Doctor => "profesional médico",
                Role::Student => "estudiante",
                Role::MedicalAdmin => "administrador clínico",
                Role::ItAdmin => "administrador técnico",
            };
            let mut words = words("Invitación a Alivio", &[]);
            words.paragraphs.push(format!("Le invitan a abrir una cuenta de Alivio como {role}."));
            words
                .link_with("Aceptar la invitación", page::ACCEPT_INVITATION, token)
                .note("El enlace funciona una sola vez y es solo para usted: no lo reenvíe.")
        }
        Letter::TemporaryPassword { password } => Words {
            to_type: Some(password.expose()),
            ..words(
                "Su contraseña temporal",
                &[
                    "Con esta contraseña puede entrar en Alivio una sola vez, durante 24 horas. Después elegirá la suya:",
                ],
            )
            .link("Entrar", page::SIGN_IN)
            .note("Nadie de Alivio le pedirá nunca su contraseña.")
        },
        Letter::PasswordReset { token } => words(
            "Elija una contraseña nueva",
            &["Alguien, seguramente usted, pidió una contraseña nueva para su cuenta de Alivio."],
        )
        .link_with("Elegir una contraseña nueva", page::RESET_PASSWORD, token)
        .note(
            "El enlace funciona una sola vez, durante una hora. Si no fue usted, no haga nada: su contraseña sigue \
             siendo la misma.",
        ),
        Letter::PasswordChanged => words(
            "Su contraseña ha cambiado",
            &[
                "La contraseña de su cuenta de Alivio ha cambiado, y todas las sesiones que estaban abiertas han \
                 terminado.",
                "Si no fue usted, elija otra cuanto antes y avise a su clínica:",
            ],
        )
        .link("Elegir una contraseña nueva", page::FORGOT_PASSWORD),
        Letter::UnusualSignIn => words(
            "Inicio de sesión poco habitual",
            &[
                "Alguien ha entrado en su cuenta de Alivio desde un dispositivo o un lugar que no conocíamos.",
                "Si fue usted, no haga nada. Si no, elija otra contraseña cuanto antes:",
            ],
        )
        .link("Elegir una contraseña nueva", page::FORGOT_PASSWORD),
        Letter::SessionEvicted => words(
            "Se ha cerrado una de sus sesiones",
            &[
                "Ha entrado en Alivio desde más dispositivos de los que se permiten a la vez, y se ha cerrado la sesión \
                 más antigua.",
                "Si no fue usted, elija otra contraseña cuanto antes:",
            ],
        )
        .link("Elegir una contraseña nueva", page::FORGOT_PASSWORD),
        Letter::TokenReused => words(
            "Hemos cerrado una de sus sesiones por precaución",
            &[
                "Una sesión de su cuenta de Alivio se ha usado desde dos sitios a la vez. Puede que alguien la haya \
                 copiado, y por eso la hemos cerrado.",
                "Entre de nuevo. Si no sabe a qué se debe, elija otra contraseña cuanto antes y avise a su clínica:",
            ],
        )
        .link("Elegir una contraseña nueva", page::FORGOT_PASSWORD),
        Letter::SecondFactorOn => words(
            "Verificación en dos pasos activada",
            &[
                "Desde ahora, para entrar en su cuenta de Alivio hace falta también un código de una aplicación de \
                 autenticación. Las demás sesiones que estaban abiertas han terminado.",
                "Si no fue usted, elija otra contraseña cuanto antes y avise a su clínica:",
            ],
        )
        .link("Elegir una contraseña nueva", page::FORGOT_PASSWORD),
        Letter::SecondFactorOff => words(
            "Verificación en dos pasos desactivada",
            &[
                "Desde ahora, para entrar en su cuenta de Alivio ya no hace falta un código de una aplicación de \
                 autenticación.",
                "Si no fue usted ni lo pidió a su clínica, elija otra contraseña cuanto antes y avísela:",
            ],
        )
        .link("Elegir una contraseña nueva", page::FORGOT_PASSWORD),
        Letter::AccountDeactivated => words(
            "Su cuenta está desactivada",
            &["Su cuenta de Alivio ha sido desactivada. Si cree que es un error, diríjase a su clínica."],
        ),
        Letter::CredentialsVerified => words(
            "Sus credenciales están verificadas",
            &["Hemos comprobado sus credenciales profesionales. Ya puede usar Alivio por completo:"],
        )
        .link("Entrar", page::SIGN_IN),
        Letter::CredentialsRejected => words(
            "No hemos podido verificar sus credenciales",
            &["Sus credenciales profesionales no se han aceptado. El motivo está en su perfil, donde puede corregirlas:"],
        )
        .link("Entrar", page::SIGN_IN),
        Letter::ContactRequested => {
            words("Nueva solicitud de contacto", &["Alguien quiere ser su contacto en Alivio. Entre para ver quién es:"])
                .link("Entrar", page::SIGN_IN)
        }
        Letter::BreakGlassUsed => words(
            "Acceso de emergencia utilizado",
            &[
                "Un administrador ha abierto una conversación con el acceso de emergencia. Queda registrado quién, cuándo \
                 y por qué.",
                "Revise el registro de auditoría:",
            ],
        )
        .link("Entrar", page::SIGN_IN),
        Letter::ConversationOpenedByAdmin => words(
            "Acceso de emergencia a una de sus conversaciones",
            &[
                "Un administrador de su clínica ha abierto una de sus conversaciones en una emergencia. Queda registrado \
                 quién, cuándo y por qué.",
                "Puede pedir explicaciones a su clínica en cualquier momento.",
            ],
        ),
        Letter::CareBlockRaised => words(
            "Un bloqueo afecta a la atención de un paciente",
            &[
                "Un paciente y un profesional que lo atiende han dejado de escribirse: uno ha bloqueado al otro. Sus \
                 consultas y emergencias siguen abiertas.",
                "Compruebe que la atención está asegurada:",
            ],
        )
        .link("Entrar", page::SIGN_IN),
        Letter::ManyDownloaded => words(
            "Alguien ha descargado muchos archivos",
            &[
                "Alguien ha descargado muchos archivos en pocos minutos. Puede ser su trabajo, o alguien que ha entrado con \
                 su cuenta.",
                "Revise quién y cuáles en el registro de auditoría (file.bulk_download):",
            ],
        )
        .link("Entrar", page::SIGN_IN),
        Letter::EmergencyPaged => words(
            "Aviso urgente: un paciente pide ayuda",
            &["Un paciente pide ayuda urgente y le avisamos a usted.",
                "Entre y confirme que lo atiende. Si nadie lo confirma pronto, se avisará a otras personas:",
            ],
        )
        .link("Entrar", page::SIGN_IN),
    }
}

fn english(letter: &Letter) -> Words<'_> {
    match letter {
        Letter::ConfirmEmail { token } => words(
            "Confirm your e-mail address",
            &["Someone, most likely you, opened an Alivio account with this address.",
                "Confirm that it is yours. The page asks for the password that you chose:",
            ],
        )
        .link_with("Confirm the address", page::CONFIRM_EMAIL, token)
        .note("The link works once. If it was not you, do nothing."),
        Letter::AlreadyRegistered => words(
            "You already have an account",
            &[
                "Someone, perhaps you, tried to open an Alivio account with this address, which already has one.",
                "You do not need another. If you have forgotten the password, you can choose a new one:",
            ],
        )
        .link("Choose a new password", page::FORGOT_PASSWORD)
        .note("If it was not you, do nothing: your account has not changed."),
        Letter::Invitation { token, role } => {
            let role = match role {
                Role::Patient => "a patient",
                Role::Doctor => "a medical professional",
                Role::Student => "a student",
                Role::MedicalAdmin => "a clinic administrator",
                Role::ItAdmin => "an IT administrator",
            };
            let mut words = words("Invitation to Alivio", &[]);
            words.paragraphs.push(format!("You are invited to open an Alivio account as {role}."));
            words
                .link_with("Accept the invitation", page::ACCEPT_INVITATION, token)
                .note("The link works once and is for you alone: do not forward it.")
        }
        Letter::TemporaryPassword { password } => Words {
            to_type: Some(password.expose()),
            ..words(
                "Your temporary password",
                &["With this password you can sign in to Alivio once, within 24 hours. Then you choose your own:"],
            )
            .link("Sign in", page::SIGN_IN)
            .note("Nobody at Alivio will ever ask you for your password.")
        },
        Letter::PasswordReset { token } => words(
            "Choose a new password",
            &["Someone, most likely you, asked for a new password for your Alivio account."],
        )
        .link_with("Choose a new password", page::RESET_PASSWORD, token)
        .note("The link works once, within one hour. If it was not you, do nothing: your password is still the same."),
        Letter::PasswordChanged => words(
            "Your password has changed",
            &[
                "The password of your Alivio account has changed, and all sessions that were open have ended.",
                "If it was not you, choose another as soon as you can and tell your clinic:",
            ],
        )
        .link("Choose a new password", page::FORGOT_PASSWORD),
        Letter::UnusualSignIn => words(
            "Unusual sign-in",
            &[
                "Someone has signed in to your Alivio account from a device or a place that we did not know.",
                "If it was you, do nothing. If not, choose another password as soon as you can:",
            ],
        )
        .link("Choose a new password", page::FORGOT_PASSWORD),
        Letter::SessionEvicted => words(
            "One of your sessions was closed",
            &[
                "You signed in to Alivio on more devices than are allowed at once, and the oldest session was closed.",
                "If it was not you, choose another password as soon as you can:",
            ],
        )
        .link("Choose a new password", page::FORGOT_PASSWORD),
        Letter::TokenReused => words(
            "We closed one of your sessions as a precaution",
            &[
                "A session of your Alivio account was used from two places at once. Someone may have copied it, so we \
                 closed it.",
                "Sign in again. If you do not know why, choose another password as soon as you can and tell your clinic:",
            ],
        )
        .link("Choose a new password", page::FORGOT_PASSWORD),
        Letter::SecondFactorOn => words(
            "Two-step verification is on",
            &[
                "From now on, signing in to your Alivio account also takes a code of an authenticator app. The other \
                 sessions that were open have ended.",
                "If it was not you, choose another password as soon as you can and tell your clinic:",
            ],
        )
        .link("Choose a new password", page::FORGOT_PASSWORD),
        Letter::SecondFactorOff => words(
            "Two-step verification is off",
            &[
                "From now on, signing in to your Alivio account no longer takes a code of an authenticator app.",
                "If it was not you, nor your clinic at your request, choose another password as soon as you can and \
                 tell your clinic:",
            ],
        )
        .link("Choose a new password", page::FORGOT_PASSWORD),
        Letter::AccountDeactivated => words(
            "Your account is deactivated",
            &["Your Alivio account has been deactivated. If you think that is a mistake, turn to your clinic."],
        ),
        Letter::CredentialsVerified => words(
            "Your credentials are verified",
            &["We have checked your professional credentials. You can now use all of Alivio:"],
        )
        .link("Sign in", page::SIGN_IN),
        Letter::CredentialsRejected => words(
            "We could not verify your credentials",
            &["Your professional credentials were not accepted. The reason is in your profile, where you can correct them:"],
        )
        .link("Sign in", page::SIGN_IN),
        Letter::ContactRequested => {
            words("New contact request", &["Someone wants to be your contact on Alivio. Sign in to see who it is:"])
                .link("Sign in", page::SIGN_IN)
        }
        Letter::BreakGlassUsed => words(
            "Emergency access used",
            &[
                "An administrator has opened a conversation by emergency access. Who, when and why is on record.",
                "Review the audit trail:",
            ],
        )
        .link("Sign in", page::SIGN_IN),
        Letter::ConversationOpenedByAdmin => words(
            "Emergency access to one of your conversations",
            &[
                "An administrator of your clinic has opened one of your conversations in an emergency. Who, when and why \
                 is on record.",
                "You may ask your clinic for an explanation at any time.",
            ],
        ),
        Letter::CareBlockRaised => words(
            "A block affects the care of a patient",
            &[
                "A patient and a professional who attends them no longer write to each other: one has blocked the other. \
                 Their consultations and emergencies stay open.",
                "Please make sure that care is assured:",
            ],
        )
        .link("Sign in", page::SIGN_IN),
        Letter::ManyDownloaded => words(
            "Someone has downloaded many files",
            &[
                "Someone has downloaded many files within a few minutes. It may be their work, or someone who has entered \
                 by their account.",
                "See who and which in the audit trail (file.bulk_download):",
            ],
        )
        .link("Sign in", page::SIGN_IN),
        Letter::EmergencyPaged => words(
            "Urgent: a patient asks for help",
            &["A patient asks for urgent help, and you are the one we call.",
                "Sign in and confirm that you take care of it. If nobody does soon, others will be called:",
            ],
        )
        .link("Sign in", page::SIGN_IN),
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::{EventId, Uuid};

    use super::*;

    fn rendered(letter: Letter) -> RenderedMail {
        let mail = OutgoingMail {
            id: EventId::from(Uuid::nil()),
            to: Sensitive::new("ana@clinic.example".to_owned()),
            language: Language::English,
            letter,
        };
        render(&mail, &PublicOrigin::parse("https://app.example/").unwrap())
    }

    #[test]
    fn whatever_a_secret_holds_stays_within_its_place() {
        let evil = || Sensitive::new("a\"><script>&\n#x=1 ñ".to_owned());
        for letter in [
            Letter::PasswordReset { token: evil() },
            Letter::ConfirmEmail { token: evil() },
            Letter::Invitation { token: evil(), role: Role::Doctor },
            Letter::TemporaryPassword { password: evil() },
        ] {
            let has_link = !matches!(letter, Letter::TemporaryPassword { .. });
            let mail = rendered(letter);
            assert!(!mail.html.expose().contains("<script"), "{}", mail.html.expose());
            if has_link {
                let link = "#token=a%22%3E%3Cscript%3E%26%0A%23x%3D1%20%C3%B1\n";
                assert!(mail.text.expose().contains(link), "{}", mail.text.expose());
            }
        }
    }

    #[test]
    fn the_secret_is_behind_the_hash() {
        let mail = rendered(Letter::PasswordReset { token: Sensitive::new("alp_-_1".to_owned()) });
        assert!(mail.text.expose().contains("\nhttps://app.example/reset-password#token=alp_-_1\n"));
        assert!(mail.html.expose().contains("href=\"https://app.example/reset-password#token=alp_-_1\""));
    }
}
