//! A history without a mistake breaks no rule; with one mistake in it, it breaks the rule about that.
#![cfg(test)]

mod again;
mod mistakes;
mod model;

use alivio_checker::{Rule, check, read, write};
use proptest::prelude::*;

use model::history;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_history_without_a_mistake_breaks_no_rule(seed: u64, steps in 0..600_usize) {
        let (lines, end) = history(seed, steps);
        prop_assert_eq!(check(&lines, &end), Vec::new());
    }

    #[test]
    fn a_mistake_breaks_the_rule_about_it(seed: u64, rule in prop::sample::select(&Rule::ALL[..])) {
        let (mut lines, mut end) = history(seed, 600);
        let mut chance = model::Chance(seed);
        // Not every history has a place for every mistake.
        prop_assume!(mistakes::make(rule, &mut lines, &mut end, &mut chance).is_some());
        let found = check(&lines, &end);
        prop_assert!(found.iter().any(|violation| violation.rule == rule), "not seen: {:#?}", found);
        let all_shown = found.iter().all(|violation| violation.lines.iter().all(|line| *line < lines.len()));
        prop_assert!(all_shown);
    }

    #[test]
    fn a_history_survives_its_file(seed: u64) {
        let (lines, end) = history(seed, 200);
        let mut file = Vec::new();
        write(&lines, &end, &mut file).unwrap();
        prop_assert_eq!(read(&file[..]).unwrap(), (lines, end));
        prop_assert!(!String::from_utf8(file).unwrap().contains("words"));
    }
}

#[test]
fn every_mistake_can_be_made() {
    for rule in Rule::ALL {
        let made = (0..20).filter(|seed| {
            let (mut lines, mut end) = history(*seed, 600);
            mistakes::make(rule, &mut lines, &mut end, &mut model::Chance(*seed)).is_some()
        });
        assert!(made.count() >= 10, "{rule:?} is hardly tested");
    }
}

/// Seconds in a debug build; a quadratic rule would take hours.
#[test]
fn a_long_history_is_checked_quickly() {
    use alivio_checker::{
        Action, ConversationEnd, Digest, End, Membership, Message, Recorder, Seen, Stored, Who,
    };
    let recorder = Recorder::default();
    let writer = Who { process: 1, user: "a".into() };
    let reader = Who { process: 2, user: "b".into() };
    let mut conversation = ConversationEnd { id: "c".into(), ..ConversationEnd::default() };
    for user in ["a", "b"] {
        conversation.memberships.push(Membership {
            user: user.into(),
            from: 1,
            until: None,
            is_founder: true,
        });
    }
    recorder.happened(&reader, "c", Action::Listen { from: 0 });
    for seq in 1..=100_000 {
        let (id, client_id, digest) = (format!("m{seq}"), format!("{seq}"), Digest::of("x"));
        let send = Action::Send { client_id: client_id.clone(), digest, stored: None };
        let ticket = recorder.invoke(&writer, "c", send);
        let stored = Some(Stored { message: id.clone(), seq, is_new: Some(true) });
        recorder.ok(ticket, Action::Send { client_id: client_id.clone(), digest, stored });
        let seen = Seen {
            seq,
            message: id.clone(),
            sender: "a".into(),
            client_id: client_id.clone(),
            version: 1,
            digest: Some(digest),
        };
        recorder.happened(&reader, "c", Action::Deliver(seen));
        conversation.messages.push(Message {
            seq,
            id,
            sender: "a".into(),
            client_id,
            version: 1,
            is_deleted: false,
            corrects: None,
            wordings: None,
        });
    }
    let (lines, end) = (recorder.lines(), End { conversations: vec![conversation] });
    let began = std::time::Instant::now();
    assert_eq!(check(&lines, &end), Vec::new());
    assert!(began.elapsed().as_secs() < 20, "{:?} for {} lines", began.elapsed(), lines.len());
}
