//! One conversation with many sockets: what is said reaches everyone.

use std::sync::Arc;

use clap::Args;

use crate::Common;
use crate::client::{BenchError, COLLEAGUES, Clinic};
use crate::member::{Conversation, Member, Next, Part, play};
use crate::stats::{Report, Setting};

/// One conversation with many sockets in it.
///
/// Its members are four professionals of the demo clinic; each has as many sockets (devices) as it takes. Deliveries
/// are counted per socket, the sender's own included.
#[derive(Debug, Args)]
pub(crate) struct Room {
    /// Sockets in the conversation
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    members: u16,
    /// How many of them send [default: all]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    senders: Option<u16>,
}

impl Room {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Report, BenchError> {
        let (members, senders) =
            (usize::from(self.members), usize::from(self.senders.unwrap_or(self.members)));
        if senders > members {
            return Err(BenchError::Refused(format!("{senders} senders are more than {members} members")));
        }
        let clinic = Arc::new(Clinic::sign_in(&common.url, &common.password, &COLLEAGUES).await?);
        let (opener, others) = clinic.people.split_first().ok_or(BenchError::Silence)?;
        let id = clinic.open_group("bench: room", opener, others).await?;
        let wanted: Vec<_> =
            clinic.people.iter().cycle().take(members).map(|person| (person, id.as_str())).collect();
        let sockets = clinic.connect(&wanted).await?;

        let conversation = Conversation::new(id, senders);
        let sender = Part { first: common.in_flight, next: Some(Next::OnAck), cut_every: None };
        let people = clinic.people.iter().cycle();
        let members = sockets.into_iter().zip(people).enumerate().map(|(number, (socket, person))| Member {
            number,
            person: person.clone(),
            clinic: Arc::clone(&clinic),
            socket,
            conversation: conversation.clone(),
            part: if number < senders { sender } else { Part::LISTENER },
            said: 0,
            scribe: None,
        });
        let played = play(common, members.collect()).await?;
        let setting = Setting {
            load: "room".to_owned(),
            conversations: 1,
            senders,
            in_flight: common.in_flight,
            characters: common.size,
            measured: common.measured(),
        };
        Ok(Report::new(setting, &played))
    }
}
