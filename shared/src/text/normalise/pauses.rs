//! Punctuation and blanks as pauses: one mark out of several, one space, or the end of a paragraph.

/// Replaces every run of punctuation and blanks by one mark and one space, or by the end of a
/// paragraph.
pub(super) fn punctuation(text: &str) -> String {
    let in_run = |character: char| character.is_whitespace() || ",;:.!?".contains(character);
    let (mut said, mut rest) = (String::with_capacity(text.len()), text);
    while !rest.is_empty() {
        let (words, behind) = rest.split_at(rest.find(in_run).unwrap_or(rest.len()));
        let (run, next) = behind.split_at(behind.find(|character| !in_run(character)).unwrap_or(behind.len()));
        said.push_str(words);
        if !said.is_empty() && !run.is_empty() {
            pause(&mut said, run, next);
        }
        rest = next;
    }
    said
}

/// Appends the pause for a run between two words; `next` is the text behind it.
fn pause(said: &mut String, run: &str, next: &str) {
    let mark = run.split_whitespace().filter_map(|group| strongest(group, next)).max_by_key(|&mark| strength(mark));
    let paragraph = run.matches('\n').count() >= 2;
    match mark {
        _ if !next.is_empty() && (run == "." || run == ":") => said.push_str(run),
        None | Some(',') if next.is_empty() => {}
        Some(mark) if next.is_empty() => said.push(mark),
        Some(mark @ ('.' | '!' | '?')) if paragraph => said.extend([mark, '\n', '\n']),
        _ if paragraph => said.push_str(".\n\n"),
        Some(mark) => said.extend([mark, ' ']),
        None => said.push(' '),
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
