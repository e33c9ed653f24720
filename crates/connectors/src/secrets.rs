//! `${VAR}` in options: kept as written everywhere, expanded only here and only when a connection is opened.

use std::sync::Arc;

/// Gives the value of a variable, `None` if there is none.
pub type Resolver = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The text with every `${NAME}` replaced; `Err` names the first variable that is missing. A `$` without brace is text.
pub fn expand(text: &str, resolve: &Resolver) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else {
            break;
        };
        out.push_str(before);
        out.push_str(
            &resolve(name)
                .ok_or_else(|| format!("${{{name}}} is not set in the node's environment"))?,
        );
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_what_is_there() {
        let resolve: Resolver = Arc::new(|name| (name == "A").then(|| "x${A}".to_owned()));
        assert_eq!(expand("1${A}2$3${", &resolve).as_deref(), Ok("1x${A}2$3${"));
        assert_eq!(
            expand("${A}${B}", &resolve),
            Err("${B} is not set in the node's environment".into())
        );
    }
}
