//! The words of a message as they look.

use alivio_messages::formatting;
use alivio_platform::MessageView;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The words of a message as they look, made by the server when they are read (S0-52 … S0-55).
#[derive(Serialize, ToSchema)]
#[schema(as = FormattedContent)]
pub(super) struct FormattedContentBody {
    /// HTML that is safe to put into a page: of a subset of Markdown, everything else is shown as written.
    #[schema(
        example = "<p>Su <strong>presión arterial</strong> está bien, <span class=\"mention\" data-user-id=\"0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e\">@Ana López</span></p>"
    )]
    html: String,
    /// The same without HTML, for screen readers and notifications.
    #[schema(example = "Su presión arterial está bien, @Ana López")]
    plain: String,
    /// Who is named by `<@user-id>` and is in the conversation.
    mentions: Vec<MentionBody>,
    /// The words behind `#`.
    #[schema(example = json!(["diabetes"]))]
    hashtags: Vec<String>,
    /// Medical terms in Spanish and English, in lower case.
    #[schema(example = json!(["presión arterial"]))]
    medical_terms: Vec<String>,
    /// The version of the list of terms.
    #[schema(example = 1)]
    lexicon_version: u32,
}

/// Someone named in a message.
#[derive(Serialize, ToSchema)]
#[schema(as = Mention)]
struct MentionBody {
    /// Who.
    user_id: Uuid,
    /// Their name.
    #[schema(example = "Ana López")]
    display_name: String,
}

impl FormattedContentBody {
    pub(super) fn of(content: &str, view: &MessageView) -> Self {
        let name = |user| {
            let person = view.mentioned.iter().find(|person| person.id == user)?;
            Some(person.display_name.expose().as_str())
        };
        let formatted = formatting::format(content, name);
        let mention = |mention: formatting::Mention| MentionBody {
            user_id: mention.user_id.uuid(),
            display_name: mention.display_name,
        };
        Self {
            html: formatted.html,
            plain: formatted.plain,
            mentions: formatted.mentions.into_iter().map(mention).collect(),
            hashtags: formatted.hashtags,
            medical_terms: formatted.medical_terms,
            lexicon_version: formatting::LEXICON_VERSION,
        }
    }
}
