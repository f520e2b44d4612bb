//! Rules for tags, comments and entities of HTML, XML and SSML. A tag is never spoken.

use super::{Rule, RuleMatch, characters};

/// Bytes behind an unknown tag that are searched for its end.
const TAG_REACH: usize = 4_096;

/// Rules for comments and tags.
pub(super) const TAGS: &[Rule] = &[
    (r"(?s)<!--.*?-->", |_| Some(" ".into())),
    (r"(?is)<(?:script\b[^>]*>.*?</script|style\b[^>]*>.*?</style) ?>", |_| Some(" ".into())),
    (r"(?s)<!\[CDATA\[(.*?)\]\]>", |found| Some(found.get(1).to_owned())),
    (r"(?:<!(?i:doctype)\b|<\?[a-z])[^<>]*>", |_| Some(" ".into())),
    (r"<(/?)([A-Za-z][A-Za-z0-9:-]*)((?:\s[^<>]*)?)(/?)>", tag),
];

/// Rules for entities. They come last, because `&lt;b&gt;` is no tag and `&#42;` no mark.
pub(super) const ENTITIES: &[Rule] =
    &[(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});", |found| {
        let decoded = html_escape::decode_html_entities(found.get(0));
        (decoded != found.get(0)).then(|| decoded.chars().map(characters::plain).collect())
    })];

/// Tags that begin a paragraph.
const BLOCKS: &str = "address article aside blockquote body caption dd details div dl dt figcaption figure footer \
    form h1 h2 h3 h4 h5 h6 head header hr html li main nav ol p pre section summary table tbody tfoot thead title tr \
    ul speak p s";
/// Tags within a line.
const INLINE: &str = "a abbr acronym audio b base bdi bdo big button canvas cite code col data del dfn em embed font \
    i iframe img input ins kbd label link map mark meta meter noscript object option output param picture q rp rt \
    ruby samp script select small source span strike strong style sub sup svg textarea time track tt u var video wbr \
    emphasis lang phoneme prosody say-as voice w lexicon token";
/// Attributes without a value.
const FLAGS: &str = "async autofocus autoplay checked controls default defer disabled hidden loop multiple muted \
    open readonly required reversed selected";

fn listed(table: &str, name: &str) -> bool {
    table.split_whitespace().any(|listed| listed.eq_ignore_ascii_case(name))
}

/// Replaces a tag by the pause that it makes. A name in brackets such as `<int>` is a tag only if it
/// is known, has attributes, or is closed.
fn tag(found: &RuleMatch<'_>) -> Option<String> {
    let (closing, name) = (!found.get(1).is_empty(), found.get(2));
    let attributes = found.get(3).trim().trim_end_matches('/');
    let closed = || {
        let reach = found.rest.floor_char_boundary(TAG_REACH.min(found.rest.len()));
        found.rest[..reach].contains(&format!("</{name}>"))
    };
    let plausible = attributes.contains('=') || attributes.split_whitespace().all(|flag| listed(FLAGS, flag));
    let block = listed(BLOCKS, name);
    let known = block || listed(INLINE, name) || ["br", "break", "td", "th"].contains(&name.to_lowercase().as_str());
    let empty = found.get(3).ends_with('/') || !found.get(4).is_empty();
    // `Vec<u>` and `a<b>c` name types and compare.
    let attached = name.len() == 1 && found.before().is_some_and(char::is_alphanumeric);
    let sure = closing || empty || attributes.contains('=');
    if !plausible || !(sure || (known && !attached) || closed()) {
        return None;
    }
    Some(match name.to_lowercase().as_str() {
        "br" => "\n".into(),
        "break" | "td" | "th" => ", ".into(),
        "img" => format!(" {} ", attribute(attributes, "alt")),
        "s" => String::new(),
        _ if block => "\n\n".into(),
        _ if known => String::new(),
        _ => " ".into(),
    })
}

/// Returns the value of an attribute; empty if it is not there.
fn attribute<'t>(attributes: &'t str, name: &str) -> &'t str {
    let value = attributes.split_once(name).and_then(|(_, tail)| tail.trim_start().strip_prefix('='));
    let value = value.map(str::trim_start).unwrap_or_default();
    let quote = value.chars().next().filter(|quote| "\"'".contains(*quote));
    quote.and_then(|quote| value[1..].split(quote).next()).unwrap_or_default()
}
