//! `/api/v1/messages`, `/api/v1/conversations/{id}/messages`, the read marker, and what is not sent yet.

mod body;
mod changes;
mod drafts;
mod formatted;
mod forward;
mod history;
mod marks;
mod payload;
mod reactions;
mod read;
mod receipts;
mod scheduled;
mod send;
mod warnings;

pub(crate) use body::{MessageBody, MessagePage, MessageTypeBody, PriorityBody};
pub(crate) use history::HistoryParams;
pub(crate) use marks::ReadMarkerBody;
pub(crate) use payload::{PayloadBody, attachments};
pub(crate) use send::NewMessage;
pub(crate) use warnings::WarningBody;

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config
        .service(send::send)
        .service(history::history)
        .service(read::own)
        // Before the messages, of which none is called `scheduled`.
        .service(scheduled::list)
        .service(scheduled::find)
        .service(scheduled::change)
        .service(scheduled::cancel)
        .service(read::one)
        .service(read::one_of)
        .service(forward::forward)
        .service(drafts::put_draft)
        .service(drafts::get_draft)
        .service(drafts::delete_draft)
        .service(drafts::list_drafts)
        .service(marks::set_read_marker)
        .service(marks::mark_read)
        .service(changes::edit)
        .service(changes::take_back)
        .service(changes::correct)
        .service(changes::read_wordings)
        .service(reactions::set)
        .service(reactions::clear)
        .service(receipts::list)
        .service(receipts::set);
}
