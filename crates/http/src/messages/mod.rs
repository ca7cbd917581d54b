//! `/api/v1/conversations/{id}/messages` and the read marker.

mod body;
mod changes;
mod history;
mod marks;
mod reactions;
mod receipts;
mod send;

pub(crate) use body::{MessageBody, MessagePage, MessageTypeBody, PriorityBody};
pub(crate) use history::HistoryParams;
pub(crate) use marks::ReadMarkerBody;
pub(crate) use send::NewMessage;

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config
        .service(send::send)
        .service(history::history)
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
