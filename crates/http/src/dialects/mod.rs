//! The documented APIs, each a thin layer over the canonical one. They hold no rules of their own.
//!
//! [`table`] has a row for every documented method and path. [`translate`] serves such a request as the canonical route
//! that its row names; `s0` … `s4` put what goes in and comes out into the words of each document.

mod chat_socket;
mod document;
mod row;
mod s0;
mod s1;
mod s2;
mod s4;
mod table;
mod translate;

pub(crate) use document::document;
pub(crate) use translate::{translate, within};

pub(crate) fn routes(config: &mut actix_web::web::ServiceConfig) {
    config.service(chat_socket::open_chat);
}
