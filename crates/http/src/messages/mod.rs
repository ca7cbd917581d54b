//! `/api/v1/conversations/{id}/messages` and the read marker.

mod body;
mod formatted;
mod history;
mod marks;
mod send;
mod warnings;

pub(crate) use body::{MessageBody, MessagePage, MessageTypeBody, PriorityBody};
pub(crate) use history::HistoryParams;
pub(crate) use marks::ReadMarkerBody;
pub(crate) use send::NewMessage;
pub(crate) use warnings::WarningBody;

pub(crate) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(send::send).service(history::history).service(marks::set_read_marker);
}
