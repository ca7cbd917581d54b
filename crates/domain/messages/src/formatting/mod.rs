//! How the words of a message look: HTML made here from a safe subset of Markdown, and a plain twin of it.
//!
//! All of it is a pure function of the words and of the names of the people mentioned. It is made when a message is
//! read and stored nowhere (S0-52 … S0-55, S4-88, S4-90).
//!
//! | Markdown | HTML |
//! |---|---|
//! | paragraphs, line breaks | `p`, `br`; a line break in the text is one on the screen |
//! | `**strong**`, `*emphasis*`, `~~struck~~` | `strong`, `em`, `del`; not inside a word or number: `2*3*4` stays |
//! | headings | `p` and `strong` |
//! | lists | `ul`, `ol start`, `li value`: numbers stay what was written |
//! | quotes | `blockquote`; `> 140` and `+ 2` at the start of a line are a comparison and a sign |
//! | code | `code`, `pre` |
//! | links, bare `http://…`, images | `a`, to `http`, `https` and `mailto` only |
//! | `<@user-id>` | `span class="mention"`, if the person is one of those who may be named |
//!
//! Everything else is text and shown as written, HTML too.

mod lexicon;
mod render;
#[cfg(test)]
mod tests;
mod text_run;

use alivio_kernel::ids::UserId;

pub use lexicon::{LEXICON_VERSION, medical_terms};

/// Someone named in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Who.
    pub user_id: UserId,
    /// Their name now.
    pub display_name: String,
}

/// How the words of a message look.
#[derive(Clone, PartialEq, Eq)]
pub struct Formatted {
    /// HTML that is safe to put into a page.
    pub html: String,
    /// The same without HTML, for screen readers and notifications (S0-210).
    pub plain: String,
    /// Who is named, each once, in the order of the text.
    pub mentions: Vec<Mention>,
    /// The words behind `#`, each once, in the order of the text.
    pub hashtags: Vec<String>,
    /// The medical terms, in lower case and otherwise as written, each once, in the order of the text.
    pub medical_terms: Vec<String>,
}

/// Formats `content`. `name` tells the names of those who may be mentioned.
pub fn format<'n>(content: &str, name: impl Fn(UserId) -> Option<&'n str>) -> Formatted {
    let rendered = render::render(content, &name);
    let medical_terms = medical_terms(&rendered.plain);
    Formatted {
        html: rendered.html,
        plain: rendered.plain,
        mentions: rendered.mentions,
        hashtags: rendered.hashtags,
        medical_terms,
    }
}

/// Whom `content` mentions, whether or not they may be: each once, in the order of the text.
pub fn mentioned(content: &str) -> Vec<UserId> {
    // Any name will do: what counts is where a mention can stand, which is not in code.
    render::render(content, &|_| Some("")).mentions.into_iter().map(|mention| mention.user_id).collect()
}
