//! Questions that wait at the same time are asked together.
//!
//! A round trip costs as much as what is asked by it, and when many come back at once they all ask the same. Whoever
//! comes first is asked for at once; what comes meanwhile waits, and is asked by the next statement, in the order in
//! which it came. There is no timer, so a lone question waits for nobody. It is asked through connections of its own:
//! neither do those who come back wait for requests, nor requests for them.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alivio_kernel::BoxError;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use futures_util::FutureExt;
use tokio::sync::oneshot;

/// Questions of one kind that may wait. More come only if the database has stopped answering.
const ROOM: usize = 100_000;
/// After so long the outcome counts as unknown.
const DEADLINE: Duration = Duration::from_secs(10);

/// A statement that answers many questions.
pub(crate) trait Statement: 'static {
    /// What is asked.
    type Question: Send + Sync + 'static;
    /// What is answered.
    type Answer: Send + 'static;
    /// So many are answered at once.
    const MOST: usize;

    /// Answers all of `questions`, in their order.
    fn answer(
        connection: &mut AsyncPgConnection,
        questions: &[Self::Question],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, BoxError>> + Send;
}

type Reply<S> = oneshot::Sender<Result<<S as Statement>::Answer, BoxError>>;

/// What is asked by one statement, and who waits for which answer.
struct Group<S: Statement> {
    questions: Vec<S::Question>,
    replies: Vec<Reply<S>>,
}

struct Waiting<S: Statement> {
    questions: VecDeque<(S::Question, Reply<S>)>,
    /// Whether somebody asks for them.
    is_served: bool,
}

/// The questions that one statement answers.
pub(crate) struct Queue<S: Statement>(Arc<Mutex<Waiting<S>>>);

impl<S: Statement> Clone for Queue<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Statement> Default for Queue<S> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting { questions: VecDeque::new(), is_served: false })))
    }
}

impl<S: Statement> Queue<S> {
    /// The answer, once its turn has come.
    pub(crate) async fn ask(
        &self,
        pool: &Pool<AsyncPgConnection>,
        question: S::Question,
    ) -> Result<S::Answer, BoxError> {
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = self.lock();
            if waiting.questions.len() >= ROOM {
                return Err("too many wait for the database".into());
            }
            waiting.questions.push_back((question, reply));
            !std::mem::replace(&mut waiting.is_served, true)
        };
        if is_first {
            tokio::spawn(self.clone().serve(pool.clone()));
        }
        answer.await.map_err(|_| BoxError::from("the outcome is unknown"))?
    }

    /// Asks until nothing waits.
    async fn serve(self, pool: Pool<AsyncPgConnection>) {
        while let Some(Group { questions, replies }) = self.next() {
            // One that fails beyond measure must not leave those behind it waiting for ever.
            let asked = AssertUnwindSafe(ask::<S>(&pool, &questions)).catch_unwind().await;
            match asked.unwrap_or_else(|_| Err("the statement failed".into())) {
                // Some may have stopped waiting.
                Ok(answers) => replies.into_iter().zip(answers).for_each(|(reply, answer)| {
                    reply.send(Ok(answer)).ok();
                }),
                Err(error) => {
                    let error = error.to_string();
                    replies.into_iter().for_each(|reply| {
                        reply.send(Err(error.clone().into())).ok();
                    });
                }
            }
        }
    }

    /// What is to be asked next, of those who still want to know.
    fn next(&self) -> Option<Group<S>> {
        let (mut questions, mut replies) = (Vec::new(), Vec::new());
        let mut waiting = self.lock();
        while questions.len() < S::MOST
            && let Some((question, reply)) = waiting.questions.pop_front()
        {
            if !reply.is_closed() {
                questions.push(question);
                replies.push(reply);
            }
        }
        waiting.is_served = !questions.is_empty();
        waiting.is_served.then_some(Group { questions, replies })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask<S: Statement>(
    pool: &Pool<AsyncPgConnection>,
    questions: &[S::Question],
) -> Result<Vec<S::Answer>, BoxError> {
    let mut connection = pool.get().await?;
    let answers = tokio::time::timeout(DEADLINE, S::answer(&mut connection, questions)).await;
    let Ok(answers) = answers else {
        // It may answer what was asked before.
        drop(Object::take(connection));
        return Err("the database does not answer".into());
    };
    let answers = answers?;
    if answers.len() == questions.len() { Ok(answers) } else { Err("answers are missing".into()) }
}

/// One answer for each of `count` questions, where `rows` say by number, from 1, which one they answer.
pub(crate) fn in_order<R, A>(
    count: usize,
    rows: impl IntoIterator<Item = R>,
    ord: impl Fn(&R) -> i64,
    nothing: impl Fn() -> A,
    mut add: impl FnMut(&mut A, R),
) -> Vec<A> {
    let mut answers: Vec<A> = std::iter::repeat_with(nothing).take(count).collect();
    for row in rows {
        let place = usize::try_from(ord(&row) - 1).ok();
        if let Some(answer) = place.and_then(|place| answers.get_mut(place)) {
            add(answer, row);
        }
    }
    answers
}
