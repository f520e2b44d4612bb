//! Punctuation and blanks as pauses: one mark out of several, one space, or the end of a paragraph.

use crate::text::mapped_text::{MappedText, Rewriter};

/// Replaces every run of punctuation and blanks by one mark and one space, or by the end of a
/// paragraph.
pub(super) fn punctuation(text: &MappedText) -> MappedText {
    let in_run = |character: char| character.is_whitespace() || ",;:.!?".contains(character);
    let (mut said, mut at) = (Rewriter::new(text), 0);
    let text = text.text();
    while let Some(start) = text[at..].find(in_run).map(|found| at + found) {
        let rest = &text[start..];
        let end = start + rest.find(|character| !in_run(character)).unwrap_or(rest.len());
        let mark = if start == 0 { String::new() } else { pause(&text[start..end], &text[end..]) };
        said.replace(start..end, &mark);
        at = end;
    }
    said.finish()
}

/// Returns the pause for a run between two words; `next` is the text behind it.
fn pause(run: &str, next: &str) -> String {
    let mark = run.split_whitespace().filter_map(|group| strongest(group, next)).max_by_key(|&mark| strength(mark));
    let paragraph = run.matches('\n').count() >= 2;
    match mark {
        _ if !next.is_empty() && (run == "." || run == ":") => run.to_owned(),
        None | Some(',') if next.is_empty() => String::new(),
        Some(mark) if next.is_empty() => mark.to_string(),
        Some(mark @ ('.' | '!' | '?')) if paragraph => format!("{mark}\n\n"),
        _ if paragraph => ".\n\n".to_owned(),
        Some(mark) => format!("{mark} "),
        None => " ".to_owned(),
    }
}

/// Returns the mark that stands for a group without blanks. `?!` becomes a question mark, the last
/// mark wins in `.,` behind an abbreviation, and an ellipsis becomes a comma or a period.
fn strongest(group: &str, next: &str) -> Option<char> {
    let last = group.chars().next_back()?;
    if let Some(loud) = ['?', '!'].into_iter().find(|&loud| group.contains(loud)) {
        Some(loud)
    } else if group.contains("..") {
        Some(if next.starts_with(char::is_lowercase) { ',' } else { '.' })
    } else {
        Some(last)
    }
}

fn strength(mark: char) -> Option<usize> {
    [',', ';', ':', '.', '!', '?'].iter().position(|&other| other == mark)
}
