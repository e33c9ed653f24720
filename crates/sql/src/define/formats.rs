//! The options that say in which format keys and values of records are, for sources, tables and sinks alike.

use super::options::OptionReader;
use crate::ast::OptionItem;
use crate::error::Result;

pub(super) const FORMATS: [&str; 4] = ["json", "csv", "text", "raw"];

/// Whose records they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Written,
}

impl OptionReader<'_> {
    /// Of the records' values.
    pub fn value_format(&self) -> Result<&'static str> {
        if let (Some(_), Some(_)) = (self.get("format"), self.get("value_format")) {
            return Err(self
                .error("value_format", "format and value_format say the same")
                .hint("write one of them"));
        }
        self.word(self.value_option(), &FORMATS)
    }

    /// Under which name the format of the values is given.
    pub fn value_option(&self) -> &'static str {
        if self.get("value_format").is_some() {
            "value_format"
        } else {
            "format"
        }
    }

    /// Of the records' keys, which fill so many columns: text for one, JSON for more.
    pub fn key_format(&self, columns: usize) -> Result<&'static str> {
        match self.get("key_format") {
            Some(_) => self.word("key_format", &FORMATS),
            None if columns == 1 => Ok("text"),
            None => Ok("json"),
        }
    }

    /// The options of single formats: that the format is in use, and that their values are some.
    pub fn check_formats(&self, way: Way) -> Result<()> {
        let value = self.value_format()?;
        let keyed = self.get("key_format").map(str::to_lowercase);
        // A key that nobody says anything of is JSON in a sink.
        let json_key = way == Way::Written && keyed.is_none() && self.get("key").is_some();
        for item in self.items() {
            let Some((format, _)) = item.name.text.split_once('.') else {
                continue;
            };
            if !matches!(format, "csv" | "json") {
                continue;
            }
            if value != format
                && keyed.as_deref() != Some(format)
                && !(format == "json" && json_key)
            {
                let message = format!("{} says nothing about {value}", item.name.text);
                let error = self.source().error(item.name.at, message);
                return Err(error.hint(format!("write format = '{format}'")));
            }
            self.check_value(item)?;
        }
        Ok(())
    }

    fn check_value(&self, item: &OptionItem) -> Result<()> {
        match item.name.text.as_str() {
            "csv.delimiter" | "csv.quote" => self.one_sign(item),
            "csv.header" => self.word("csv.header", &["false", "true"]).map(|_| ()),
            "json.unknown_fields" => {
                let words = ["ignore", "refuse"];
                self.word("json.unknown_fields", &words).map(|_| ())
            }
            "json.timestamp" => self
                .word("json.timestamp", &["text", "epoch_ms"])
                .map(|_| ()),
            "json.decimal" => self.word("json.decimal", &["number", "text"]).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn one_sign(&self, item: &OptionItem) -> Result<()> {
        let tab = item.name.text == "csv.delimiter" && matches!(item.value.as_str(), "tab" | "\\t");
        if tab || item.value.chars().count() == 1 {
            return Ok(());
        }
        let message = format!("{} is one sign, not \"{}\"", item.name.text, item.value);
        Err(self
            .source()
            .error(item.value_at, message)
            .hint("write for example ';', or 'tab' between fields"))
    }
}
