//! Rules for marks that arrange a text and have no sound: Markdown and its relatives. They come
//! before the text is cut into sentences, so that headings and items end like sentences.

use super::{Rule, RuleMatch};

/// Rules for code and for control sequences that were written as text.
pub(super) const CODE: &[Rule] = &[
    (r"\\(?:x1[bB]|033|u001[bB]|e)\[[0-9;]*[A-Za-z]", |_| Some(String::new())),
    // Control sequences that lost their first character.
    (r"\[[0-9]{1,3}(?:;[0-9]{1,3})*m", |found| (found.after() != Some(']')).then(String::new)),
    (r"(?m)^ ?(?:`{3,}|~{3,})[A-Za-z0-9+#._-]* ?$", |_| Some(String::new())),
    // Quotes that begin with a backtick, and end with an apostrophe, are no code.
    (r"`{1,3}([^`\n]+)`{1,3}", |found| {
        let joined = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
        (!joined(found.before()) && !joined(found.after())).then(|| code(found.get(1)))
    }),
    // Formulas of LaTeX. `$5_000 and US$` is money.
    (r"\$([^$\n]{1,80})\$", latex),
];

/// Rules for lines, links and emphasis.
pub(super) const RULES: &[Rule] = &[
    // A reply from the first line on is seen by its letter; `> 5` compares there.
    (r"(?m)^ ?(?:> ?)+", |found| {
        let compares = found.head.is_empty()
            && !found.rest.starts_with(|next: char| next.is_alphabetic() || "*_#\"'[!".contains(next));
        (!compares).then(String::new)
    }),
    (r"\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]", |found| {
        Some(format!("{}{}.", &found.get(1)[..1], found.get(1)[1..].to_lowercase()))
    }),
    (r"!\[([^\[\]\n]*)\](?:\([^()\n]*\)|\[[^\[\]\n]*\])", |found| Some(found.get(1).to_owned())),
    (r"(?m)^ ?\[[^\[\]\n^]+\]: ?<?(?:[a-z]+://|/|#|\.|mailto:|www\.)\S*(?: [\x22'(][^\n]*)? ?$", |_| {
        Some(String::new())
    }),
    (r"\[([^\[\]\n]*)\]\(([^()\s]*(?:\([^()\s]*\))?[^()\s]*)(?: [\x22'][^\n]*?[\x22'])?\)", link),
    (r"\[([^\[\]\n]+)\]\[[^\[\]\n]*\]", |found| {
        let citation = found.get(1).bytes().all(|byte| byte.is_ascii_digit());
        (!citation && !found.before().is_some_and(char::is_alphanumeric)).then(|| found.get(1).to_owned())
    }),
    (r"\[\[([^\[\]\n|]+\|)?([^\[\]\n|]+)\]\]", |found| Some(found.get(2).to_owned())),
    // Footnotes and citations.
    (r"\[\^[^\[\]\s]{1,40}\]:? ?", |found| {
        let inside = found.head.ends_with(' ') || found.head.ends_with('\n') || found.head.is_empty();
        Some(if inside || !found.get(0).ends_with(' ') { "" } else { " " }.into())
    }),
    (r" ?\[[0-9]{1,3}(?:(?:, ?|-|–)[0-9]{1,3})*\]", citation),
    // Headings, lines between parts, and tables.
    (r"(?m)^ ?#{1,6} +([^\n]*?)(?: #+)? ?$", |found| Some(format!("\n{}\n", found.get(1)))),
    (r"(?m)^ ?\|? ?:?-{2,}:? ?(?:\| ?:?-+:? ?)+\|? ?$", |_| Some(String::new())),
    (r"(?m)^ ?(?:={2,}|(?:\* ?){3,}|-{2,}|(?:- ?){3,}|(?:_ ?){3,}) ?$", |_| Some(String::new())),
    (r"(?m)^ ?\|([^\n]*)\| ?$", |found| {
        let cells: Vec<_> = found.get(1).split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        Some(format!("\n{}\n", cells.join(", ")))
    }),
    (r" \| ", |_| Some(", ".into())),
    // Steps through menus; names are not compared.
    (r" > ([A-Z][a-z]+)", |found| {
        let name = super::last_word(found.head);
        (name.len() > 1 && name.starts_with(char::is_uppercase)).then(|| format!(", {}", found.get(1)))
    }),
    // Each item of a list becomes a paragraph. A plus before a digit can be a sum.
    (r"(?m)^ ?(?:(?:[-*•–—]+ +|[+] +)(?:\[[ xX]\] )?|([0-9]{1,3}[.)] |[a-z]\) ))", item),
    // Emphasis.
    (r"(\*{1,3})([^\s*](?:[^*\n]*[^\s*])?)(\*{1,3})", emphasis),
    (r"(_{1,3})([^\s_](?:[^_\n]*[^\s_])?)(_{1,3})", emphasis),
    (r"(~~)([^\s~](?:[^~\n]*[^\s~])?)(~~)", emphasis),
    (r"(==)([^\s=](?:[^=\n]*[^\s=])?)(==)", emphasis),
    // Faces and the names of emoji.
    (r"\([^()A-Za-z0-9\n]{0,12}[°^ツʖಠʘ益ω][^()A-Za-z0-9\n]{0,12}\)", |_| Some(String::new())),
    (r"[:;=8][-o^']?[()\[\]DPpO3/\\|*]+", face),
    (r"(?::[a-z][a-z0-9_+-]*:)+", |found| {
        let apart = found.before().is_none_or(char::is_whitespace);
        let ends = found.after().is_none_or(|after| after.is_whitespace() || ".,!?;)".contains(after));
        (apart && ends).then(String::new)
    }),
    (r"<3+", heart),
];

/// Reads a formula of LaTeX. Variables of a shell and prices are none: `$A=$B`, `$5_000 and US$`.
fn latex(found: &RuleMatch<'_>) -> Option<String> {
    let formula = found.get(1);
    let power = formula.contains(['\\', '^']);
    let price = formula.starts_with(|first: char| first.is_ascii_digit()) && !power;
    let sure = power || formula.contains(['_', '=']);
    let joined = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || "_({/$".contains(next));
    let free = !found.before().is_some_and(char::is_alphanumeric) && !joined(found.after());
    let pairs = [('(', ')'), ('{', '}'), ('[', ']')];
    let whole = formula.trim() == formula
        && pairs.iter().all(|&(open, close)| formula.matches(open).count() == formula.matches(close).count());
    let code = formula.contains(['"', '\'', ';', '@', '&', '#']) || formula.contains("=~");
    (sure && free && whole && !price && !code).then(|| formula.to_owned())
}

/// Reads code in a line. A tag is named, and so is an option.
fn code(span: &str) -> String {
    let bare = span.trim();
    let tag = bare.strip_prefix('<').and_then(|bare| bare.strip_suffix('>'));
    let words = tag.map_or_else(|| bare.to_owned(), |tag| tag.trim_matches('/').to_owned());
    let words: Vec<_> = words.split(' ').map(option).collect();
    words.join(" ")
}

/// Reads the hyphens of an option: `--help`, `-v`.
fn option(word: &str) -> String {
    let name = word.trim_start_matches('-');
    let hyphens = word.len() - name.len();
    if (1..=2).contains(&hyphens) && name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return format!("{}{name}", "dash ".repeat(hyphens));
    }
    word.to_owned()
}

/// Reads the text of a link. `f[i](x)` is none.
fn link(found: &RuleMatch<'_>) -> Option<String> {
    let target = found.get(2);
    let address = target.is_empty()
        || target.contains(['/', '.', '#', ':'])
        || !found.before().is_some_and(char::is_alphanumeric);
    let note = !found.get(1).is_empty() && found.get(1).bytes().all(|byte| byte.is_ascii_digit());
    address.then(|| if note && target.starts_with('#') { String::new() } else { found.get(1).to_owned() })
}

/// Removes a citation, as in `It rained.[3]`. Behind `see` and the like it is a word of the sentence,
/// and behind the name of an array its index.
fn citation(found: &RuleMatch<'_>) -> Option<String> {
    const NOUNS: &str =
        "see in by from ref reference of array list vector set interval range and or index is are equals";
    let listed = found.get(0).contains(',') || found.get(0).contains(['-', '–']);
    let apart = found.get(0).starts_with(' ');
    let word = super::last_word(found.head);
    let noun = NOUNS.split(' ').any(|noun| noun.eq_ignore_ascii_case(word));
    let ends = found.after().is_none_or(|after| after.is_whitespace() || ".,;!?)[\"'".contains(after));
    let free = found.before().is_some_and(|before| before.is_alphabetic() || ".,;:!?)\"']".contains(before));
    let code = found.rest.trim_start().starts_with('=') || word.len() == 1 || found.get(0).ends_with("[0]");
    (ends && free && !noun && !code && !(apart && listed)).then(String::new)
}

/// Begins a paragraph for an item.
fn item(found: &RuleMatch<'_>) -> Option<String> {
    let sum = found.get(0).trim_start().starts_with('+')
        && !found.rest.starts_with(|next: char| next.is_alphabetic() || next == '[');
    let lettered = found.get(1).starts_with(|first: char| first.is_ascii_lowercase());
    let number = if lettered { found.get(1).replace(')', ",").to_uppercase() } else { found.get(1).to_owned() };
    (!sum).then(|| format!("{}{number}", if found.head.is_empty() { "" } else { "\n" }))
}

/// Removes the same marks on both sides of a text, as in `**bold**`.
fn emphasis(found: &RuleMatch<'_>) -> Option<String> {
    let (open, close) = (found.get(1), found.get(3));
    let joins = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || open.starts_with(next));
    let inside = joins(found.before()) || joins(found.after());
    let intraword = open.len() == 2 && open.starts_with('*') && found.get(2).starts_with(char::is_alphabetic);
    (open == close && (!inside || intraword)).then(|| found.get(2).to_owned())
}

/// Removes a face, as in `Hi :-)`, but not the end of `(see 1:)`.
fn face(found: &RuleMatch<'_>) -> Option<String> {
    let apart = found.before().is_none_or(char::is_whitespace);
    let ends = found.after().is_none_or(|after| after.is_whitespace() || ".,!?".contains(after));
    let eight = found.get(0).starts_with('8') && !found.get(0).starts_with("8-");
    (apart && ends && !eight).then(String::new)
}

/// Removes a heart, as in `love you <3`, but not the comparison in `x <3` and `is <3`. Between a
/// person and an object it is the verb.
fn heart(found: &RuleMatch<'_>) -> Option<String> {
    const COMPARED: &str = "is was are be of than if when to at with for age size value score rate under needs";
    let word = found.word_before();
    let lover = ["I", "i", "We", "we"].contains(&word);
    let noun = word.len() != 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let compared = COMPARED.split(' ').any(|compared| compared.eq_ignore_ascii_case(word));
    if !found.head.ends_with(' ') || compared || !(noun || lover) {
        return None;
    }
    match found.rest.trim_start().chars().next() {
        Some(next) if found.rest.starts_with(' ') && next.is_alphanumeric() => {
            (lover && next.is_alphabetic()).then(|| "love".into())
        }
        Some(next) if !" \n.!,".contains(next) || found.rest[1..].starts_with(|digit: char| digit.is_ascii_digit()) => {
            None
        }
        _ => Some(String::new()),
    }
}
