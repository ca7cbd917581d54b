//! The documented APIs, each a thin layer over the canonical one. They hold no rules of their own.

mod block_user;
mod chat_socket;
mod paths;
mod report_message;

pub(crate) use paths::translate;

pub(crate) fn routes(config: &mut actix_web::web::ServiceConfig) {
    config
        .service(chat_socket::open_chat)
        .service(block_user::block_user)
        .service(report_message::report_message);
}
