//! How an adapter proves itself: the suites of the ports that belong to no domain. Those of the domains
//! are in the domains, as `alivio_messages::testing` and so on.
//!
//! ```text
//! async fn keys() -> data_key_store::Fixture { … }          // an empty, isolated instance per case
//! alivio_testkit::data_key_store_conformance!(keys);        // → one named #[tokio::test] per case
//! async fn outbox() -> outbox_store::Fixture { … }
//! alivio_testkit::outbox_store_conformance!(outbox);
//! // and likewise broadcasts_conformance!, limiter_conformance!, node_bus_conformance!
//! ```

pub mod broadcasts;
pub mod data_key_store;
pub mod limiter;
pub mod node_bus;
pub mod outbox_store;

#[cfg(test)]
mod tests {
    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        for source in [
            include_str!("broadcasts.rs"),
            include_str!("data_key_store.rs"),
            include_str!("limiter.rs"),
            include_str!("node_bus.rs"),
            include_str!("outbox_store.rs"),
        ] {
            let list = source.split("macro_rules!").nth(1).unwrap();
            for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let case = case.split('(').next().unwrap();
                assert!(list.lines().any(|line| line.trim() == case), "{case} is not listed");
            }
        }
    }
}
