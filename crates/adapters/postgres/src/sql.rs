//! Raw SQL that is prepared once per connection.

use alivio_kernel::ids::Uuid;
use diesel::QueryableByName;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};

/// A statement whose commit does not wait for the disk: only where what it did may be lost in a crash, with all that came
/// after it. It must join `unhurried`.
macro_rules! unhurried {
    ($($sql:tt)+) => {
        concat!("WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))", $($sql)+)
    };
}

/// The oldest transaction that is still at work: all before it are over, and what they changed can be seen by this very
/// statement. Transactions that only read have no number and hold nothing up.
macro_rules! horizon {
    () => {
        "pg_snapshot_xmin(pg_current_snapshot())"
    };
}

pub(crate) use {horizon, unhurried};

/// Wraps `sql_query(…)`, which diesel would otherwise prepare anew each time, since it cannot know that
/// the text is always the same. Only for texts that are: each different one stays prepared.
pub(crate) const fn prepared<Q>(query: Q) -> Prepared<Q> {
    Prepared(query)
}

pub(crate) struct Prepared<Q>(Q);

impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Prepared<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, Conn> diesel::RunQueryDsl<Conn> for Prepared<Q> {}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _backend: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

/// A row of which only the id is asked for.
#[derive(QueryableByName)]
pub(crate) struct Id {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
}

/// How many there are.
#[derive(QueryableByName)]
pub(crate) struct Count {
    #[diesel(sql_type = BigInt)]
    pub(crate) count: i64,
}
