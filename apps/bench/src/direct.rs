//! Many conversations of two: what most of a clinic's day looks like.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::Common;
use crate::client::{BenchError, CARLOS, Clinic, MARIA};
use crate::member::{Conversation, Member, Next, Part, play};
use crate::stats::{Report, Setting};

/// Many conversations of two.
///
/// Two people have one direct conversation, so these are groups of the same two doctors; each has two sockets of
/// its own.
#[derive(Debug, Args)]
pub(crate) struct Direct {
    /// Conversations
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Who sends when
    #[arg(long, value_enum, default_value_t = Pattern::OneWay)]
    pattern: Pattern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pattern {
    /// One sends, the next message when the last one is acknowledged
    OneWay,
    /// Both do
    Both,
    /// One answers what the other says
    PingPong,
}

impl Pattern {
    /// The parts of the two.
    const fn parts(self, in_flight: u16) -> [Part; 2] {
        let talks = Part { first: in_flight, next: Some(Next::OnAck) };
        match self {
            Self::OneWay => [talks, Part { first: 0, next: None }],
            Self::Both => [talks, talks],
            Self::PingPong => {
                let answers = Some(Next::OnDelivery);
                [Part { first: in_flight, next: answers }, Part { first: 0, next: answers }]
            }
        }
    }
}

impl Direct {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Report, BenchError> {
        let clinic = Arc::new(Clinic::sign_in(&common.url, &common.password, &[MARIA, CARLOS]).await?);
        let [maria, carlos] = clinic.people.as_slice() else { return Err(BenchError::Silence) };
        let mut ids = Vec::new();
        for pair in 1..=self.pairs {
            ids.push(
                clinic
                    .open_group(&format!("bench: pair {pair}"), maria, std::slice::from_ref(carlos))
                    .await?,
            );
        }
        let wanted: Vec<_> =
            ids.iter().flat_map(|id| [(maria, id.as_str()), (carlos, id.as_str())]).collect();
        let mut sockets = clinic.connect(&wanted).await?.into_iter().enumerate();

        let parts = self.pattern.parts(common.in_flight);
        let senders = parts.iter().filter(|part| part.next.is_some()).count();
        let mut members = Vec::new();
        for id in &ids {
            let conversation = Conversation::new(id.clone(), senders);
            for ((part, person), (number, socket)) in parts.into_iter().zip([maria, carlos]).zip(&mut sockets)
            {
                let (person, clinic) = (person.clone(), Arc::clone(&clinic));
                members.push(Member {
                    number,
                    person,
                    clinic,
                    socket,
                    conversation: conversation.clone(),
                    part,
                });
            }
        }
        let played = play(common, members).await?;
        let pattern = self.pattern.to_possible_value();
        let setting = Setting {
            load: format!("direct, {}", pattern.as_ref().map_or("", |value| value.get_name())),
            conversations: ids.len(),
            senders: senders * ids.len(),
            in_flight: common.in_flight,
            characters: common.size,
            measured: common.measured(),
        };
        Ok(Report::new(setting, &played))
    }
}
