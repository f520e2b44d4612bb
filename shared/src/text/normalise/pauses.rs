//! Punctuation and blanks as pauses: one mark of many, one space, or the end of a paragraph.

/// Every run of punctuation and blanks becomes one mark and one space, or the end of a paragraph.
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

/// What a run between two words becomes; `next` is the text behind it.
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

/// The one mark of several without a blank between: `?!` asks, `.,` follows an abbreviation, dots trail off.
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
