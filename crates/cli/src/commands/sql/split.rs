//! Where statements end: at a `;` outside quotes and comments. Only for the shell, which has to know when to send;
//! the node parses for itself.

/// What a text ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Code,
    /// Between quotes of this kind.
    Quoted(char),
    Line,
    /// In comments nested this deep.
    Block(u32),
}

/// Whether the text ends with a `;`, followed by nothing but blanks and comments.
pub(super) fn is_complete(text: &str) -> bool {
    scan(text).0
}

/// Nothing but blanks, comments and `;`.
pub(super) fn is_blank(text: &str) -> bool {
    !scan(text).1
}

/// Whether it is complete, and whether there is anything in it.
fn scan(text: &str) -> (bool, bool) {
    let (mut inside, mut complete, mut any) = (Inside::Code, false, false);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        inside = match inside {
            Inside::Code => match (char, chars.peek()) {
                ('-', Some('-')) => Inside::Line,
                ('/', Some('*')) => {
                    chars.next();
                    Inside::Block(1)
                }
                ('\'' | '"', _) => {
                    (complete, any) = (false, true);
                    Inside::Quoted(char)
                }
                _ => {
                    if !char.is_whitespace() {
                        complete = char == ';';
                        any |= char != ';';
                    }
                    Inside::Code
                }
            },
            // A doubled quote ends and begins again, which comes to the same.
            Inside::Quoted(quote) if char == quote => Inside::Code,
            Inside::Line if char == '\n' => Inside::Code,
            Inside::Block(depth) if char == '*' && chars.peek() == Some(&'/') => {
                chars.next();
                if depth == 1 {
                    Inside::Code
                } else {
                    Inside::Block(depth - 1)
                }
            }
            Inside::Block(depth) if char == '/' && chars.peek() == Some(&'*') => {
                chars.next();
                Inside::Block(depth + 1)
            }
            same => same,
        };
    }
    (
        complete && !matches!(inside, Inside::Quoted(_) | Inside::Block(_)),
        any,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_outside_quotes_and_comments() {
        for whole in [
            "SELECT 1;",
            "SELECT ';'; ",
            "SELECT 1; -- done",
            "SELECT 'it''s';",
            "a;\nb;",
            "/* ; */ SELECT 1;",
        ] {
            assert!(is_complete(whole), "{whole}");
        }
        for open in [
            "SELECT 1",
            "SELECT ';",
            "SELECT 1 -- ;",
            "SELECT \"a;",
            "/* ;",
            "a; b",
            "SELECT 1 /* /* */ ;",
        ] {
            assert!(!is_complete(open), "{open}");
        }
        assert!(is_blank(" ;\n -- nothing\n") && is_blank("") && !is_blank("x") && !is_blank("''"));
    }
}
