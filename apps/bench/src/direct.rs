//! Many conversations of two: what most of a clinic's day looks like.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::Common;
use crate::client::{BenchError, CARLOS, Clinic, MARIA};
use crate::member::{Conversation, Member, Next, Part, play};
use crate::stats::{Report, Setting};

/// Many conversations of two.
///
/// Two people have one direct conversation, so these are groups of the same two doctors; each has two sockets of
/// its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct Direct {
    /// Conversations
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) pairs: u16,
    /// Who sends when
    #[arg(long, value_enum, default_value_t = Pattern::OneWay)]
    pub(crate) pattern: Pattern,
    /// Messages per second in all, whatever the server makes of them; instead of as many as it can take
    #[arg(long, value_name = "PER_SECOND", value_parser = positive, conflicts_with = "pattern")]
    pub(crate) rate: Option<f64>,
    /// How long each connection lasts, more or less, before it is cut and the socket comes back to resume
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub(crate) cut_every: Option<f64>,
}

/// Who sends when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    /// One sends, the next message when the last one is acknowledged
    OneWay,
    /// Both do
    Both,
    /// One answers what the other says
    PingPong,
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.001..=1_000_000.0).contains(&number) => Ok(number),
        _ => Err("a number between 0.001 and a million".to_owned()),
    }
}

impl Direct {
    /// The parts of the two.
    fn parts(&self, in_flight: u16) -> [Part; 2] {
        let cut_every = self.cut_every.map(Duration::from_secs_f64);
        let listens = Part { cut_every, ..Part::LISTENER };
        if let Some(rate) = self.rate {
            let interval = Duration::from_secs_f64(f64::from(self.pairs) / rate);
            return [Part { next: Some(Next::Every(interval)), ..listens }, listens];
        }
        let talks = Part { first: in_flight, next: Some(Next::OnAck), cut_every };
        match self.pattern {
            Pattern::OneWay => [talks, listens],
            Pattern::Both => [talks, talks],
            Pattern::PingPong => {
                let answers = Some(Next::OnDelivery);
                [Part { next: answers, ..talks }, Part { next: answers, ..listens }]
            }
        }
    }

    /// In words.
    fn name(&self) -> String {
        match self.rate {
            Some(rate) => format!("direct, {rate} messages per second"),
            None => {
                let pattern = self.pattern.to_possible_value();
                format!("direct, {}", pattern.as_ref().map_or("", |value| value.get_name()))
            }
        }
    }

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

        let parts = self.parts(common.in_flight);
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
                    said: 0,
                    scribe: None,
                });
            }
        }
        let played = play(common, members).await?;
        let setting = Setting {
            load: self.name(),
            conversations: ids.len(),
            senders: senders * ids.len(),
            in_flight: common.in_flight,
            characters: common.size,
            measured: common.measured(),
        };
        Ok(Report::new(setting, &played))
    }
}
