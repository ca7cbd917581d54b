/// What became of a mail. Nothing is published: mail is where events end, and whoever sends it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The mailer has it.
    Accepted,
    /// It was refused for good, and must not be tried again.
    Refused {
        /// The other side's code, if there is one.
        status: Option<u16>,
    },
}
