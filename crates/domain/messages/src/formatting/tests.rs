use alivio_kernel::ids::{UserId, Uuid};
use proptest::prelude::*;

use super::*;

const ANA: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn plainly(content: &str) -> Formatted {
    format(content, |_| None)
}

fn html(content: &str) -> String {
    plainly(content).html
}

/// Reads `html` as strictly as we write it and returns the text in it. Panics if there is anything that is not on the
/// list of what is allowed, or not nested properly.
fn text_of(html: &str) -> String {
    let mut open: Vec<&str> = Vec::new();
    let mut text = String::new();
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        match c {
            '<' => {
                let (tag, after) = rest[1..].split_once('>').expect("a tag ends");
                rest = after;
                if let Some(name) = tag.strip_prefix('/') {
                    assert_eq!(open.pop(), Some(name), "closes what is open: {html}");
                } else if tag == "br" {
                    text.push('\n');
                } else {
                    let name = tag.split(' ').next().expect("a name");
                    assert!(allowed(name, &tag[name.len()..]), "<{tag}> is not allowed: {html}");
                    assert!(name != "a" || !open.contains(&"a"), "a link in a link: {html}");
                    open.push(name);
                    assert!(open.len() <= 17, "too deep: {html}");
                }
            }
            '&' => {
                let (entity, after) = rest[1..].split_once(';').expect("an entity ends");
                rest = after;
                text.push(match entity {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "quot" => '"',
                    "#39" => '\'',
                    other => panic!("&{other};"),
                });
            }
            c => {
                assert!(!matches!(c, '>' | '"' | '\''), "unescaped: {html}");
                assert!(!c.is_control() || matches!(c, '\n' | '\t'), "a control character: {html:?}");
                text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    assert!(open.is_empty(), "all is closed: {html}");
    text
}

fn allowed(name: &str, attributes: &str) -> bool {
    let number = |prefix: &str| {
        let value = attributes.strip_prefix(prefix).and_then(|a| a.strip_suffix('"'));
        value.is_some_and(|value| value.parse::<u64>().is_ok())
    };
    match name {
        "p" | "strong" | "em" | "del" | "code" | "pre" | "ul" | "blockquote" => attributes.is_empty(),
        "ol" => attributes.is_empty() || number(" start=\""),
        "li" => attributes.is_empty() || number(" value=\""),
        "span" => attributes == format!(" class=\"mention\" data-user-id=\"{ANA}\""),
        "a" => {
            let href = attributes
                .strip_prefix(" href=\"")
                .and_then(|a| a.strip_suffix("\" rel=\"noopener noreferrer nofollow\""));
            href.is_some_and(|href| {
                let lower = href.to_lowercase();
                !href.contains(['"', '\'', '<', '>', ' '])
                    && ["http://", "https://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme))
            })
        }
        _ => false,
    }
}

/// The letters of a text: what must come through whatever the Markdown does.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).collect()
}

#[test]
fn markdown_becomes_the_html_that_the_table_says() {
    for (content, expected) in [
        (
            "Hola **Ana**, *bien* ~~mal~~ `x < y`",
            "<p>Hola <strong>Ana</strong>, <em>bien</em> <del>mal</del> <code>x &lt; y</code></p>",
        ),
        ("una\ndos\n\ntres", "<p>una<br>dos</p><p>tres</p>"),
        ("# Receta", "<p><strong>Receta</strong></p>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
        ("> cita", "<blockquote><p>cita</p></blockquote>"),
        ("```\na < b\n```", "<pre><code>a &lt; b\n</code></pre>"),
        (
            "[web](https://a.example/?x=1&y=2)",
            "<p><a href=\"https://a.example/?x=1&amp;y=2\" rel=\"noopener noreferrer nofollow\">web</a></p>",
        ),
        (
            "<ana@a.example>",
            "<p><a href=\"mailto:ana@a.example\" rel=\"noopener noreferrer nofollow\">ana@a.example</a></p>",
        ),
        (
            "ver https://a.example.",
            "<p>ver <a href=\"https://a.example\" rel=\"noopener noreferrer nofollow\">https://a.example</a>.</p>",
        ),
        (
            "![foto](https://a.example/f.png)",
            "<p><a href=\"https://a.example/f.png\" rel=\"noopener noreferrer nofollow\">foto</a></p>",
        ),
        ("---", "<p>---</p>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
    ] {
        assert_eq!(html(content), expected, "{content}");
        text_of(expected);
    }
}

#[test]
fn markdown_takes_nothing_of_what_clinicians_write() {
    for (content, shown) in [
        ("2*3*4 mg", "2*3*4 mg"),
        ("dosis 5**6**7", "dosis 5**6**7"),
        ("entre ~5~ y 10", "entre ~5~ y 10"),
        ("> 140 sistólica", "> 140 sistólica"),
        (">= 38 °C", ">= 38 °C"),
        ("+ 2 kg", "+ 2 kg"),
        ("[alergia]: penicilina", "[alergia]: penicilina"),
        ("[a]: b\n\n[a]: c\n[d\ne]: f", "[a]: b[a]: c\n[d\ne]: f"),
        ("[paracetamol](500mg)", "[paracetamol](500mg)"),
        ("[x](cada8h \"con comida\")", "[x](cada8h \"con comida\")"),
        ("SpO2 <90%", "SpO2 <90%"),
        ("a & b &lt; c", "a & b < c"),
        ("```dosis\n5 mg\n```", "dosis\n5 mg\n"),
    ] {
        assert_eq!(text_of(&html(content)), shown, "{content}");
    }
    // Numbers stay what was written, though Markdown would count on.
    assert_eq!(html("1. a\n3. b\n4. c"), "<ol><li>a</li><li value=\"3\">b</li><li>c</li></ol>");
    assert_eq!(html("5. ibuprofeno"), "<ol start=\"5\"><li>ibuprofeno</li></ol>");
    assert_eq!(plainly("1. a\n3. b").plain, "1. a\n3. b");
}

#[test]
fn the_plain_twin_reads_well_aloud() {
    let content =
        "# Plan\n\n**Hoy**: [guía](https://a.example)\nmañana\n\n- uno\n- dos\n  1. x\n\n> cita\n> más";
    assert_eq!(
        plainly(content).plain,
        "Plan\n\nHoy: guía (https://a.example)\nmañana\n\n- uno\n- dos\n  1. x\n\n> cita\n> más"
    );
    assert_eq!(plainly("<https://a.example>").plain, "https://a.example");
}

#[test]
fn those_who_may_be_named_are_and_nobody_else() {
    let ana: UserId = ANA.parse().unwrap();
    let other = Uuid::from_u128(7);
    let content = format!("Hola <@{ANA}>, **<@{ANA}>** y <@{other}> `<@{ANA}>`");
    let formatted = format(&content, |user| (user == ana).then_some("Ana <López>"));
    let span = format!("<span class=\"mention\" data-user-id=\"{ANA}\">@Ana &lt;López&gt;</span>");
    assert_eq!(
        formatted.html,
        format!("<p>Hola {span}, <strong>{span}</strong> y &lt;@{other}&gt; <code>&lt;@{ANA}&gt;</code></p>")
    );
    assert_eq!(formatted.plain, format!("Hola @Ana <López>, @Ana <López> y <@{other}> <@{ANA}>"));
    assert_eq!(formatted.mentions, [Mention { user_id: ana, display_name: "Ana <López>".to_owned() }]);
    assert_eq!(mentioned(&content), [ana, other.into()]);
    assert_eq!(mentioned(&format!("`<@{ANA}>`")), []);
}

#[test]
fn hashtags_are_told_once_and_not_in_code_or_addresses() {
    let formatted =
        plainly("#Diabetes **#diabetes** #niños `#no` https://a.example/#no [x](https://a.example/#no) # no");
    assert_eq!(formatted.hashtags, ["Diabetes", "niños"]);
}

#[test]
fn terms_are_found_across_markup() {
    assert_eq!(plainly("**presión** arterial").medical_terms, ["presión arterial"]);
}

#[test]
fn deep_nesting_ends_and_keeps_its_text() {
    for content in [
        format!("{} x", ">".repeat(2000)),
        format!("{}x", "- ".repeat(1500)),
        format!("{}x", "1. ".repeat(1500)),
        format!("{}x{}", "**a ".repeat(600), " a**".repeat(600)),
        format!("{}x{}", "[".repeat(2000), "](http://a.example)".repeat(150)),
        format!("{}x", "<".repeat(4999)),
        format!("{}x", "`".repeat(2499)),
        format!("{}x", "*a _b ".repeat(800)),
        format!("{}x", "![".repeat(2400)),
        format!("{}x", "> - ".repeat(1200)),
        format!("{}x", "&#".repeat(2400)),
        format!("{}x", "<!--".repeat(1200)),
        format!("{}x", "<a ".repeat(1600)),
        "#a ".repeat(1600),
        "http://a ".repeat(550),
        format!("<@{ANA}>").repeat(128),
    ] {
        let text = text_of(&html(&content));
        assert_eq!(text.contains('x'), content.contains('x'), "{}", &content[..20]);
    }
}

/// What is tried against pages that show text of others: tags, attributes, addresses, what parsers repair in other
/// ways than they read it (mXSS), Markdown as a carrier.
#[rustfmt::skip]
const ATTACKS: &[&str] = &[
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script/src=data:,alert(1)>",
    "<script>/* **bold** */alert(1)\n\nalert(2)</script>",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)//",
    "<img src=`x` onerror=alert(1)>",
    "<img/src/onerror=alert(1)>",
    "<img src=x:x onerror\u{a0}=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert`1`>",
    "<svg><script>alert&#40;1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><use href=\"data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'><image href='1' onerror='alert(1)'/></svg>#x\">",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<math><annotation-xml encoding=\"text/html\"><style><img src=x onerror=alert(1)></style>",
    "<math href=\"javascript:alert(1)\">x</math>",
    "<form><math><mtext></form><form><mglyph><svg><mtext><style><path id=\"</style><img onerror=alert(1) src>\">",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea><p title=\"</textarea><img src=x onerror=alert(1)>\">",
    "<title><a title=\"</title><img src=x onerror=alert(1)>\">",
    "<xmp><p title=\"</xmp><svg/onload=alert(1)>\">",
    "<template><script>alert(1)</script></template>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc=\"&lt;script&gt;alert(1)&lt;/script&gt;\"></iframe>",
    "<object data=data:text/html,<script>alert(1)</script>></object>",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<style>@import '//evil.example/x.css';</style>",
    "<div style=\"background:url(javascript:alert(1))\">x</div>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<form action=javascript:alert(1)><button>x</button></form>",
    "<button form=x formaction=javascript:alert(1)>x</button>",
    "<a href=javascript:alert(1)>x</a>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml version=\"1.0\"?><script>alert(1)</script>",
    "<!DOCTYPE html [<!ENTITY x \"<script>alert(1)</script>\">]>&x;",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](  javascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](<java\nscript:alert(1)>)",
    "[x](javascript&colon;alert(1))",
    "[x](javascript&#58;alert&#40;1&#41;)",
    "[x](&#1;javascript:alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](vbscript:msgbox(1))",
    "[x](file:///etc/passwd)",
    "[x](blob:https://a.example/1)",
    "[x](//evil.example)",
    "[x](\\\\evil.example)",
    "[x](https:\\\\evil.example)",
    "[x](https://a.example/\"onmouseover=\"alert(1))",
    "[x](https://a.example/'onmouseover='alert(1))",
    "[x](https://a.example \"t\\\" onmouseover=alert(1) x=\\\"\")",
    "[x](<https://a.example/><script>alert(1)</script>)",
    "[x](https://a.example/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;)",
    "[<script>alert(1)</script>](https://a.example)",
    "[a](https://a.example)[b][b]\n\n[b]: javascript:alert(1)",
    "![x](javascript:alert(1))",
    "![x](x\"onerror=\"alert(1))",
    "![\"onerror=\"alert(1)](https://a.example/x.png)",
    "[![x](https://a.example/x.png)](javascript:alert(1))",
    "[a [b](https://b.example) c](https://a.example)",
    "<javascript:alert(1)>",
    "<data:text/html,<script>alert(1)</script>>",
    "<https://a.example/\"onclick=\"alert(1)>",
    "<mailto:x@a.example?\"onclick=\"alert(1)>",
    "https://a.example/\"onmouseover=\"alert(1)",
    "https://a.example/<script>alert(1)</script>",
    "http://<svg/onload=alert(1)>",
    "`</code><script>alert(1)</script>`",
    "```\n</code></pre><script>alert(1)</script>\n```",
    "```\"><script>alert(1)</script>\nx\n```",
    "    </code></pre><script>alert(1)</script>",
    "<@01890a5d-ac96-774b-bcce-b302099a8057\"onclick=alert(1)>",
    "<@\"><script>alert(1)</script>>",
    "#<script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&amp;lt;script&amp;gt;alert(1)",
    "&#60;img src=x onerror=alert(1)&#62;",
    "\u{ff1c}script\u{ff1e}alert(1)\u{ff1c}/script\u{ff1e}",
    "<\u{0}script>alert(1)</script>",
    "<scr\u{2}ipt>alert(1)</scr\u{2}ipt>",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "1. <li onclick=alert(1)>x\n2. </li></ol><script>alert(1)</script>",
    "> </blockquote><script>alert(1)</script>",
    "- <ul><script>alert(1)</script>",
    "**<b onclick=alert(1)>x**</b>",
    "a\u{2028}<script>alert(1)</script>",
];

#[test]
fn attacks_are_shown_and_do_nothing() {
    assert!(ATTACKS.len() >= 60);
    let ana: UserId = ANA.parse().unwrap();
    for attack in ATTACKS {
        for content in [
            (*attack).to_owned(),
            format!("- {attack}"),
            format!("> {attack}"),
            format!("a **b {attack} c** d"),
        ] {
            let formatted = format(&content, |user| (user == ana).then_some("\"><script>alert(1)</script>"));
            let text = text_of(&formatted.html);
            // What could be carried out is in the text, where it is read.
            if attack.contains("alert(1)</script>") && !attack.contains('&') && !attack.contains("](<") {
                assert!(text.contains("alert(1)</script>"), "{content}: {text}");
            }
        }
    }
}

/// Pieces that Markdown and HTML are made of, put together at random.
fn markup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "\\PC{0,3}",
        3 => "[ \\n\\t*_~`#>+<&\\[\\]()!:\"'.0-9-]{1,4}",
        1 => prop::sample::select(vec![
            "[x](", "](http://a.example)", "](javascript:x)", "<script>", "</p>", "<!--", "-->", "<@01890a5d-ac96-774b-bcce-b302099a8057>",
            "https://a.example/", "```", "1. ", "- ", "> ", "\n\n", "&lt;", "&#0;", "&#2;", "<a@b.c>", "![", "    ", "~~", "[x]: y\n", "#tag",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is written: only what is allowed comes out, and both twins say the same.
    #[test]
    fn only_allowed_html_comes_out_and_the_twins_agree(content in markup()) {
        let ana: UserId = ANA.parse().unwrap();
        let formatted = format(&content, |user| (user == ana).then_some("Ana"));
        let shown = letters(&text_of(&formatted.html));
        // The plain twin adds the addresses of links, which begin like this.
        let plain = formatted.plain.replace(" (http://a.example)", "").replace(" (mailto:a@b.c)", "");
        if !content.contains("http") && !content.contains('@') {
            prop_assert_eq!(&shown, &letters(&plain));
        }
    }

    /// No letter is lost or added, unless an entity, an escape or a link stands for another.
    #[test]
    fn the_letters_of_the_text_come_through(content in markup()) {
        let content = content.replace(['&', '<', '('], "");
        prop_assert_eq!(letters(&text_of(&html(&content))), letters(&content));
    }

    /// Text without any markup comes through exactly.
    #[test]
    fn plain_words_come_through_exactly(content in "[a-zA-Záéíóúñ0-9,;.¿?¡! ]{0,100}") {
        let content = content.trim();
        prop_assume!(!content.starts_with(|c: char| c.is_ascii_digit()) && !content.contains("  "));
        prop_assert_eq!(text_of(&html(content)), content);
        prop_assert_eq!(plainly(content).plain, content);
    }

    #[test]
    fn any_text_at_all_is_formatted(content in ".{0,200}") {
        text_of(&plainly(&content.replace(char::is_control, "")).html);
        // Text that was never parsed as content does no harm either.
        let _ = plainly(&content);
    }
}
