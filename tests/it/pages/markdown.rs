//! Lines, code spans and anchors of a Markdown page.

/// Line of a page outside of the fences of its code blocks.
pub(super) struct Line<'a> {
    /// Number of the line, from 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
    /// Language of the code block that the line is in; `None` in prose.
    pub(super) language: Option<&'a str>,
}

/// Returns the lines of a page without the fences.
pub(super) fn lines(page: &str) -> Vec<Line<'_>> {
    let mut language = None;
    let mut lines = Vec::new();
    for (index, text) in page.lines().enumerate() {
        match text.trim_start().strip_prefix("```") {
            Some(_) if language.is_some() => language = None,
            Some(name) => language = Some(name.trim()),
            None => lines.push(Line { number: index + 1, text, language }),
        }
    }
    lines
}

/// Returns the lines in code blocks of a language.
pub(super) fn code<'a>(page: &'a str, language: &str) -> Vec<Line<'a>> {
    lines(page).into_iter().filter(|line| line.language == Some(language)).collect()
}

/// Returns the lines outside of code blocks.
pub(super) fn prose(page: &str) -> Vec<Line<'_>> {
    lines(page).into_iter().filter(|line| line.language.is_none()).collect()
}

/// Returns the code spans of the prose, each with the number of its first line. A span ends within
/// its paragraph.
pub(super) fn spans(page: &str) -> Vec<(usize, String)> {
    let mut spans = Vec::new();
    for paragraph in prose(page).split(|line| line.text.trim().is_empty()) {
        let mut open: Option<(usize, String)> = None;
        for line in paragraph {
            for (index, part) in line.text.trim().split('`').enumerate() {
                // Each backtick begins a span or ends one.
                if index > 0 {
                    match open.take() {
                        Some(span) => spans.push(span),
                        None => open = Some((line.number, String::new())),
                    }
                }
                if let Some((_, text)) = &mut open {
                    text.push_str(part);
                }
            }
            if let Some((_, text)) = &mut open {
                text.push(' ');
            }
        }
    }
    spans
}

/// Returns the anchors of the headings, as GitHub makes them, and those of `<a id="...">`.
pub(super) fn anchors(page: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut bases: Vec<String> = Vec::new();
    for line in prose(page).iter().filter(|line| line.text.starts_with('#')) {
        let base = anchor(line.text.trim_start_matches('#').trim());
        let earlier = bases.iter().filter(|earlier| **earlier == base).count();
        anchors.push(if earlier == 0 { base.clone() } else { format!("{base}-{earlier}") });
        bases.push(base);
    }
    let ids = page.split("<a id=\"").skip(1).filter_map(|rest| rest.split_once('"'));
    anchors.extend(ids.map(|(id, _)| id.to_owned()));
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>().to_lowercase()
}
