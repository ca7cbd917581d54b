//! What is sealed of a conversation.

use alivio_kernel::Sealer;
use alivio_kernel::ids::ConversationId;
use serde::{Deserialize, Serialize};

use crate::model::{context, tag_key};
use crate::{Conversation, Details, Error, Metadata, NewDetails, StoredConversation, StoredLabels};

/// The words of [`Metadata`], as they are sealed.
#[derive(Serialize, Deserialize)]
struct Words {
    consultation_type: Option<String>,
    tags: Vec<String>,
}

/// The keyed digest that a tag is found by.
pub(super) fn tag_digest(sealer: &dyn Sealer, tag: &str) -> [u8; 16] {
    sealer.blind_index("conversations.tags", tag_key(tag.trim()).as_bytes())
}

pub(super) async fn seal_details(
    sealer: &dyn Sealer,
    id: ConversationId,
    details: &Details,
) -> Result<NewDetails, Error> {
    let Metadata { consultation_type, tags, .. } = &details.metadata;
    let mut labels = StoredLabels::default();
    if consultation_type.is_some() || !tags.is_empty() {
        let words = Words { consultation_type: consultation_type.clone(), tags: tags.clone() };
        let words = serde_json::to_vec(&words).map_err(|e| Error::Unavailable(e.into()))?;
        labels.sealed = Some(sealer.seal(&context(id, "labels"), &words).await?);
        labels.tags = tags.iter().map(|tag| tag_digest(sealer, tag)).collect();
    }
    let mut sealed = [None, None];
    for (sealed, (column, text)) in
        sealed.iter_mut().zip([("title", &details.title), ("description", &details.description)])
    {
        if let Some(text) = text {
            *sealed = Some(sealer.seal(&context(id, column), text.as_bytes()).await?);
        }
    }
    let [title, description] = sealed;
    Ok(NewDetails {
        title,
        description,
        settings: details.settings,
        metadata: Metadata { consultation_type: None, tags: Vec::new(), ..details.metadata.clone() },
        labels,
        expires_at: details.expires_at,
    })
}

/// Opens the texts of all `rows` at once.
pub(super) async fn unseal<'a>(
    sealer: &dyn Sealer,
    rows: impl IntoIterator<Item = &'a StoredConversation> + Clone,
) -> Result<Vec<Conversation>, Error> {
    let sealed: Vec<_> = rows
        .clone()
        .into_iter()
        .flat_map(|row| {
            let id = row.conversation.id;
            [
                ("title", &row.title),
                ("description", &row.description),
                ("labels", &row.labels),
                ("closed_reason", &row.closed_reason),
            ]
            .into_iter()
            .filter_map(move |(column, text)| Some((context(id, column), text.as_ref()?)))
        })
        .collect();
    // What was destroyed is not there.
    let mut opened = sealer.open_remaining(&sealed).await?.into_iter();
    let mut next = |present: bool| if present { opened.next().flatten() } else { None };
    let text = |plain: Option<Vec<u8>>| {
        plain.map(String::from_utf8).transpose().map_err(|e| Error::Unavailable(e.into()))
    };
    rows.into_iter()
        .map(|row| {
            let mut conversation = row.conversation.clone();
            conversation.title = text(next(row.title.is_some()))?;
            conversation.description = text(next(row.description.is_some()))?;
            if let Some(words) = next(row.labels.is_some()) {
                let words: Words =
                    serde_json::from_slice(&words).map_err(|e| Error::Unavailable(e.into()))?;
                conversation.metadata.consultation_type = words.consultation_type;
                conversation.metadata.tags = words.tags;
            }
            let reason = text(next(row.closed_reason.is_some()))?;
            if let Some(closed) = &mut conversation.closed {
                closed.reason = reason;
            }
            Ok(conversation)
        })
        .collect()
}
