//! Rule 7: a message that was acknowledged before another was sent stands before it in the log.

use super::{Rule, Violation, known_before};
use crate::case::Room;

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let sent = room.sendings.iter().filter(|sending| !sending.is_put_off());
    let stored: Vec<_> = sent.filter_map(|sending| Some((sending, sending.message?.seq))).collect();
    let spans: Vec<_> =
        stored.iter().map(|(sending, seq)| (sending.began(), sending.acknowledged(), *seq)).collect();
    let mut found = Vec::new();
    for ((sending, seq), known) in stored.iter().zip(known_before(&spans)) {
        if let Some((earlier, line)) = known.filter(|(earlier, _)| earlier > seq) {
            let what = format!("sent after {earlier} was acknowledged");
            let lines = [line, sending.began()];
            found.push(room.violation(Rule::RealTime, what).at(*seq).of(sending.who.process).shown_by(lines));
        }
    }
    found
}
