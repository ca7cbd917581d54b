//! Markdown into HTML and into plain text, side by side.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use alivio_kernel::ids::UserId;
use alivio_kernel::text::fold;
use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TextMergeWithOffset};

use super::Mention;
use super::text_run::{Part, is_page, parts};

/// Elements inside each other. What is deeper loses its element, not its text.
const MAX_DEPTH: usize = 16;
/// Keeps something from being Markdown. Messages hold no control characters, so it stands for nothing else.
const GUARD: char = '\u{2}';

pub(super) struct Rendered {
    pub(super) html: String,
    pub(super) plain: String,
    pub(super) mentions: Vec<Mention>,
    pub(super) hashtags: Vec<String>,
}

pub(super) fn render<'n>(content: &str, names: &dyn Fn(UserId) -> Option<&'n str>) -> Rendered {
    let source = guarded(content);
    let mut writer = Writer {
        source: &source,
        names,
        html: String::with_capacity(content.len() + 16),
        plain: Plain::default(),
        open: Vec::new(),
        lists: Vec::new(),
        depth: 0,
        code: 0,
        links: 0,
        mentions: Vec::new(),
        hashtags: Vec::new(),
        folded_hashtags: HashSet::new(),
    };
    let events = Parser::new_ext(&source, Options::ENABLE_STRIKETHROUGH).into_offset_iter();
    for (event, range) in TextMergeWithOffset::new(events) {
        writer.event(event, range);
    }
    Rendered {
        html: writer.html,
        plain: writer.plain.finish(),
        mentions: writer.mentions,
        hashtags: writer.hashtags,
    }
}

/// `content` without the Markdown that would take something away: definitions of links are not shown at all, and a
/// line that begins with a comparison or a sign is not a quote or a list.
fn guarded(content: &str) -> String {
    let mut source = String::with_capacity(content.len() + 16);
    for line in content.split_inclusive('\n') {
        let text = line.trim_start_matches([' ', '\t']);
        let compares = text.strip_prefix('>').is_some_and(|rest| {
            rest.trim_start_matches(['>', ' ', '\t']).starts_with(|c: char| c.is_ascii_digit() || c == '=')
        });
        source.push_str(&line[..line.len() - text.len()]);
        if compares || text.starts_with('+') {
            source.push(GUARD);
        }
        source.push_str(text);
    }
    if source.contains("]:") { source.replace("]:", "]\u{2}:") } else { source }
}

/// What was said, without the guards and without what an entity may have brought in.
fn clean(text: &str) -> Cow<'_, str> {
    let bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(bad) { text.replace(bad, "").into() } else { text.into() }
}

fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
}

/// What the end of an element does.
enum Close {
    Nothing,
    /// Writes these tags, of this depth.
    Tags(&'static str, usize),
    Code(Option<(&'static str, usize)>),
    /// Ends a link whose text begins there in the plain twin.
    Link {
        begin: usize,
        url: String,
        title: String,
    },
    /// Ends Markdown that is shown as written.
    Written(String),
    Quote {
        shown: bool,
    },
    List,
    Item {
        indent: usize,
    },
}

struct List {
    shown: bool,
    ordered: bool,
    /// No item has come yet.
    first: bool,
    /// The number that the next item has by itself.
    next: u64,
}

struct Writer<'s, 'n, 'f> {
    source: &'s str,
    names: &'f (dyn Fn(UserId) -> Option<&'n str> + 'f),
    html: String,
    plain: Plain,
    open: Vec<Close>,
    lists: Vec<List>,
    depth: usize,
    code: usize,
    links: usize,
    mentions: Vec<Mention>,
    hashtags: Vec<String>,
    folded_hashtags: HashSet<String>,
}

impl Writer<'_, '_, '_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => {
                let close = self.start(tag, &range);
                self.open.push(close);
            }
            Event::End(_) => {
                if let Some(close) = self.open.pop() {
                    self.end(close);
                }
            }
            Event::Code(code) => {
                let close = self.tags("<code>", "</code>", 1);
                self.write(&clean(&code));
                self.end(close);
            }
            Event::SoftBreak | Event::HardBreak => self.write("\n"),
            Event::Rule => {
                self.plain.block();
                let close = self.tags("<p>", "</p>", 1);
                self.write(clean(self.source[range].trim()).as_ref());
                self.end(close);
            }
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.text(&clean(&text)),
            Event::TaskListMarker(_) => self.write(&self.source[range]),
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: &Range<usize>) -> Close {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => {
                self.plain.block();
                self.tags("<p>", "</p>", 1)
            }
            Tag::Heading { .. } => {
                self.plain.block();
                self.tags("<p><strong>", "</strong></p>", 2)
            }
            Tag::BlockQuote(_) => {
                self.plain.block();
                self.plain.indent.push_str("> ");
                let shown = self.depth < MAX_DEPTH;
                if shown {
                    self.html.push_str("<blockquote>");
                    self.depth += 1;
                }
                Close::Quote { shown }
            }
            Tag::CodeBlock(kind) => {
                self.plain.block();
                let close = self.tags("<pre><code>", "</code></pre>", 2);
                self.code += 1;
                // What stands behind the fence is the name of a language, or something that was said.
                if let CodeBlockKind::Fenced(info) = kind
                    && !info.is_empty()
                {
                    self.write(&clean(&info));
                    self.write("\n");
                }
                match close {
                    Close::Tags(tags, depth) => Close::Code(Some((tags, depth))),
                    _ => Close::Code(None),
                }
            }
            Tag::List(first) => self.list(first),
            Tag::Item => self.item(range),
            Tag::Emphasis => self.marked("*", range, "<em>", "</em>"),
            Tag::Strong => self.marked("**", range, "<strong>", "</strong>"),
            Tag::Strikethrough => self.marked("~~", range, "<del>", "</del>"),
            Tag::Link { link_type, dest_url, title, .. } => self.link(link_type, "[", &dest_url, &title),
            Tag::Image { link_type, dest_url, title, .. } => self.link(link_type, "![", &dest_url, &title),
            _ => Close::Nothing,
        }
    }

    fn end(&mut self, close: Close) {
        match close {
            Close::Nothing => {}
            Close::Tags(tags, depth) => {
                if tags == "</p>" {
                    let kept = self.html.trim_end_matches("<br>").len();
                    self.html.truncate(kept);
                }
                self.html.push_str(tags);
                self.depth -= depth;
            }
            Close::Code(tags) => {
                self.code -= 1;
                if let Some((tags, depth)) = tags {
                    self.html.push_str(tags);
                    self.depth -= depth;
                }
            }
            Close::Link { begin, url, title } => {
                if self.plain.text.len() == begin {
                    self.write(&url);
                }
                if !title.is_empty() {
                    self.write(&format!(" ({title})"));
                }
                self.html.push_str("</a>");
                self.depth -= 1;
                self.links -= 1;
                if !self.plain.text[begin..].contains(url.strip_prefix("mailto:").unwrap_or(&url)) {
                    self.plain.push(&format!(" ({url})"));
                }
            }
            Close::Written(text) => self.write(&text),
            Close::Quote { shown } => {
                let kept = self.plain.indent.len() - 2;
                self.plain.indent.truncate(kept);
                if shown {
                    self.html.push_str("</blockquote>");
                    self.depth -= 1;
                }
            }
            Close::List => {
                if let Some(List { shown: true, ordered, .. }) = self.lists.pop() {
                    self.html.push_str(if ordered { "</ol>" } else { "</ul>" });
                    self.depth -= 1;
                }
            }
            Close::Item { indent } => {
                self.plain.indent.truncate(indent);
                if self.lists.last().is_some_and(|list| list.shown) {
                    self.html.push_str("</li>");
                    self.depth -= 1;
                }
            }
        }
    }

    fn tags(&mut self, open: &str, close: &'static str, depth: usize) -> Close {
        if self.depth + depth > MAX_DEPTH {
            return Close::Nothing;
        }
        self.html.push_str(open);
        self.depth += depth;
        Close::Tags(close, depth)
    }

    fn list(&mut self, first: Option<u64>) -> Close {
        self.plain.block();
        // Its items must fit, too.
        let shown = self.depth + 2 <= MAX_DEPTH;
        if shown {
            self.html.push_str(&match first {
                None => "<ul>".to_owned(),
                Some(1) => "<ol>".to_owned(),
                Some(first) => format!("<ol start=\"{first}\">"),
            });
            self.depth += 1;
        }
        self.lists.push(List { shown, ordered: first.is_some(), first: true, next: first.unwrap_or(1) });
        Close::List
    }

    fn item(&mut self, range: &Range<usize>) -> Close {
        let Some(list) = self.lists.last_mut() else { return Close::Nothing };
        if !list.first {
            self.plain.line();
        }
        list.first = false;
        let mut tag = "<li>".to_owned();
        let mut marker = "- ".to_owned();
        if list.ordered {
            // Markdown counts on from the first number; people mean the one that they write.
            let written = self.source[range.clone()].trim_start();
            let digits = written.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
            let number = written[..digits].parse().unwrap_or(list.next);
            if number != list.next {
                tag = format!("<li value=\"{number}\">");
            }
            marker = format!("{number}. ");
            list.next = number + 1;
        }
        if list.shown {
            self.html.push_str(&tag);
            self.depth += 1;
        }
        let indent = self.plain.indent.len();
        self.plain.push(&marker);
        self.plain.fresh = true;
        self.plain.indent.push_str("  ");
        Close::Item { indent }
    }

    /// Emphasis of some kind; as written inside a word or a number, or if the marker is not exactly `marker`.
    fn marked(
        &mut self,
        marker: &'static str,
        range: &Range<usize>,
        open: &str,
        close: &'static str,
    ) -> Close {
        let kind = &marker[..1];
        let written = &self.source[range.start..];
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let inside = written.starts_with('*')
            && (touches(self.source[..range.start].trim_end_matches('*').chars().next_back())
                || touches(self.source[range.end..].trim_start_matches('*').chars().next()));
        let short = kind == "~" && !written.starts_with("~~");
        if inside || short {
            let marker = if short { kind } else { marker };
            self.write(marker);
            return Close::Written(marker.to_owned());
        }
        self.tags(open, close, 1)
    }

    fn link(&mut self, link_type: LinkType, opening: &str, url: &str, title: &str) -> Close {
        let (url, title) = (clean(url).into_owned(), clean(title).into_owned());
        let autolink = matches!(link_type, LinkType::Autolink | LinkType::Email);
        let url = if link_type == LinkType::Email { format!("mailto:{url}") } else { url };
        if self.links > 0 || self.depth >= MAX_DEPTH || !(is_page(&url) || is_mailbox(&url)) {
            self.write(if autolink { "<" } else { opening });
            return Close::Written(match (autolink, title.is_empty()) {
                (true, _) => ">".to_owned(),
                (false, true) => format!("]({url})"),
                (false, false) => format!("]({url} \"{title}\")"),
            });
        }
        self.anchor(&url);
        self.depth += 1;
        self.links += 1;
        Close::Link { begin: self.plain.text.len(), url, title }
    }

    fn anchor(&mut self, url: &str) {
        self.html.push_str("<a href=\"");
        escape(url, &mut self.html);
        self.html.push_str("\" rel=\"noopener noreferrer nofollow\">");
    }

    fn text(&mut self, text: &str) {
        if self.code > 0 {
            return self.write(text);
        }
        let before = self.plain.text.chars().next_back();
        for part in parts(text, before) {
            match part {
                Part::Text(text) => self.write(text),
                Part::Mention(user, written) => self.mention(user, written),
                Part::Hashtag(word) => {
                    if self.folded_hashtags.insert(fold(word)) {
                        self.hashtags.push(word.to_owned());
                    }
                    self.write("#");
                    self.write(word);
                }
                Part::Link(url) if self.links == 0 && self.depth < MAX_DEPTH => {
                    self.anchor(url);
                    self.write(url);
                    self.html.push_str("</a>");
                }
                Part::Link(url) => self.write(url),
            }
        }
    }

    fn mention(&mut self, user: UserId, written: &str) {
        let Some(name) = (self.names)(user) else { return self.write(written) };
        self.html.push_str(&format!("<span class=\"mention\" data-user-id=\"{user}\">"));
        self.write(&format!("@{}", clean(name)));
        self.html.push_str("</span>");
        if self.mentions.iter().all(|mention| mention.user_id != user) {
            self.mentions.push(Mention { user_id: user, display_name: name.to_owned() });
        }
    }

    fn write(&mut self, text: &str) {
        self.plain.push(text);
        if self.code > 0 {
            return escape(text, &mut self.html);
        }
        for (n, line) in text.split('\n').enumerate() {
            if n > 0 {
                self.html.push_str("<br>");
            }
            escape(line, &mut self.html);
        }
    }
}

fn is_mailbox(url: &str) -> bool {
    let address = url.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")).map(|_| &url[7..]);
    address.is_some_and(|address| {
        address.contains('@') && !address.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}

/// The plain twin as it grows.
#[derive(Default)]
struct Plain {
    text: String,
    /// What each line begins with here.
    indent: String,
    /// Whether the line holds nothing but the mark of a list's item.
    fresh: bool,
}

impl Plain {
    /// Begins a new line.
    fn line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.fresh = false;
    }

    /// Begins a new line, after an empty one between those that stand by themselves. The mark of an item has begun one.
    fn block(&mut self) {
        if self.text.is_empty() || self.fresh {
            return;
        }
        self.line();
        if self.indent.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn push(&mut self, text: &str) {
        for (n, line) in text.split('\n').enumerate() {
            if n > 0 {
                self.text.push('\n');
            }
            if !line.is_empty() {
                if self.text.is_empty() || self.text.ends_with('\n') {
                    self.text.push_str(&self.indent);
                }
                self.text.push_str(line);
                self.fresh = false;
            }
        }
    }

    fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text
    }
}
