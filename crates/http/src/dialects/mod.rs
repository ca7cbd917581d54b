//! The documented APIs, each a thin layer over the canonical one. They hold no rules of their own.

mod chat_socket;

pub(crate) fn routes(config: &mut actix_web::web::ServiceConfig) {
    config.service(chat_socket::open_chat);
}
