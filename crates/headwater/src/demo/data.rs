//! The flights data set, embedded: CSV in, JSON events in the order of their event time out. Knows no node and no client.

use std::error::Error;
use std::io::Write as _;

/// The topics of the demo, in the order of [`Event::topic`].
pub const TOPICS: [&str; 5] = ["flights", "weather", "planes", "airlines", "airports"];
/// Index of the topic that everything else is looked up for.
pub const FLIGHTS: usize = 0;

const FILES: [&[u8]; 5] = [
    include_bytes!("../../data/flights/flights.csv.zst"),
    include_bytes!("../../data/flights/weather.csv.zst"),
    include_bytes!("../../data/flights/planes.csv.zst"),
    include_bytes!("../../data/flights/airlines.csv.zst"),
    include_bytes!("../../data/flights/airports.csv.zst"),
];

/// Columns that are text; all others are numbers.
const TEXT: &[&str] = &[
    "carrier", "tailnum", "origin", "dest", "time_hour", "type", "manufacturer", "model", "engine", "name", "faa", "dst",
    "tzone",
];

/// When the look-up tables arrive, relative to the flights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tables {
    /// All of them before the first flight.
    Before,
    /// Weather hour by hour, planes, airlines and airports halfway through the year.
    During,
    /// All of them after the last flight.
    After,
}

/// One record to be produced: ranges into [`Events::bytes`].
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub topic: u8,
    /// Seconds since the epoch: the order of replay.
    pub at_s: i64,
    key: (u32, u16),
    value: (u32, u16),
}

/// All events in the order of replay.
pub struct Events {
    bytes: Vec<u8>,
    pub list: Vec<Event>,
}

impl Events {
    pub fn key(&self, event: &Event) -> &[u8] {
        slice(&self.bytes, event.key)
    }

    pub fn value(&self, event: &Event) -> &[u8] {
        slice(&self.bytes, event.value)
    }
}

fn slice(bytes: &[u8], (start, len): (u32, u16)) -> &[u8] {
    &bytes[start as usize..start as usize + usize::from(len)]
}

/// Reads the data set and puts it into the order of replay.
pub fn load(tables: Tables) -> Result<Events, Box<dyn Error + Send + Sync>> {
    let mut events = Events { bytes: Vec::with_capacity(128 << 20), list: Vec::with_capacity(370_000) };
    for (topic, file) in FILES.iter().enumerate() {
        let csv = zstd::decode_all(*file)?;
        read_file(topic, &csv, &mut events)?;
    }
    place_tables(&mut events.list, tables);
    events.list.sort_by_key(|event| event.at_s);
    Ok(events)
}

/// Gives events that are not flights their place in the replay.
fn place_tables(list: &mut [Event], tables: Tables) {
    let flights = || list.iter().filter(|e| usize::from(e.topic) == FLIGHTS).map(|e| e.at_s);
    let (first, last) = (flights().min().unwrap_or(0), flights().max().unwrap_or(0));
    for event in list.iter_mut().filter(|e| usize::from(e.topic) != FLIGHTS) {
        let is_weather = event.at_s != 0;
        event.at_s = match tables {
            Tables::Before => first - 1,
            Tables::After => last + 1,
            Tables::During if is_weather => event.at_s,
            Tables::During => first + (last - first) / 2,
        };
    }
}

fn read_file(topic: usize, csv: &[u8], events: &mut Events) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut reader = csv::Reader::from_reader(csv);
    let columns: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row)? {
        let key = write_key(topic, &columns, &row, &mut events.bytes)?;
        let value = write_value(&columns, &row, &mut events.bytes)?;
        let at_s = event_time(&columns, &row)?;
        events.list.push(Event { topic: u8::try_from(topic)?, at_s, key, value });
    }
    Ok(())
}

fn field<'a>(columns: &[String], row: &'a csv::StringRecord, name: &str) -> &'a str {
    columns.iter().position(|c| c == name).and_then(|at| row.get(at)).unwrap_or("")
}

/// Flights are spread by flight number, tables are keyed by their primary key.
fn write_key(
    topic: usize,
    columns: &[String],
    row: &csv::StringRecord,
    bytes: &mut Vec<u8>,
) -> Result<(u32, u16), Box<dyn Error + Send + Sync>> {
    let start = bytes.len();
    let get = |name| field(columns, row, name);
    match TOPICS[topic] {
        "flights" => write!(bytes, "{}{}", get("carrier"), get("flight"))?,
        "weather" => write!(bytes, r#"{{"origin":"{}","time_hour":"{}"}}"#, get("origin"), get("time_hour"))?,
        _ => bytes.extend_from_slice(row.get(0).unwrap_or("").as_bytes()),
    }
    Ok((u32::try_from(start)?, u16::try_from(bytes.len() - start)?))
}

/// One JSON object; `NA` is left out, which reads as NULL.
fn write_value(
    columns: &[String],
    row: &csv::StringRecord,
    bytes: &mut Vec<u8>,
) -> Result<(u32, u16), Box<dyn Error + Send + Sync>> {
    let start = bytes.len();
    let mut before = b'{';
    for (name, text) in columns.iter().zip(row).filter(|(_, text)| *text != "NA") {
        bytes.push(before);
        before = b',';
        write!(bytes, "\"{name}\":")?;
        if TEXT.contains(&name.as_str()) {
            serde_json::to_writer(&mut *bytes, text)?;
        } else {
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes.push(b'}');
    Ok((u32::try_from(start)?, u16::try_from(bytes.len() - start)?))
}

/// `time_hour` plus the minute; 0 where there is none.
fn event_time(columns: &[String], row: &csv::StringRecord) -> Result<i64, Box<dyn Error + Send + Sync>> {
    let hour = field(columns, row, "time_hour");
    if hour.is_empty() {
        return Ok(0);
    }
    let number = |range: std::ops::Range<usize>| hour.get(range).unwrap_or("").parse::<i64>();
    let days = days_from_civil(number(0..4)?, number(5..7)?, number(8..10)?);
    let minute = field(columns, row, "minute").parse::<i64>().unwrap_or(0);
    Ok(days * 86_400 + number(11..13)? * 3_600 + minute * 60)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day at their end.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_year_is_whole_and_in_order() {
        let events = load(Tables::During).unwrap();
        let count = |topic: usize| events.list.iter().filter(|e| usize::from(e.topic) == topic).count();
        assert_eq!([0, 1, 2, 3, 4].map(count), [336_776, 26_115, 3_322, 16, 1_458]);
        assert!(events.list.is_sorted_by_key(|e| e.at_s));
        let first = events.list.iter().find(|e| usize::from(e.topic) == FLIGHTS).unwrap();
        assert_eq!(first.at_s, 1_357_035_300); // 2013-01-01T10:15:00Z
        let value: serde_json::Value = serde_json::from_slice(events.value(first)).unwrap();
        assert_eq!((value["tailnum"].as_str(), value["dep_delay"].as_i64()), (Some("N14228"), Some(2)));
        assert_eq!(events.key(first), b"UA1545");
    }

    #[test]
    fn tables_come_when_they_are_told_to() {
        let first_is_flight = |tables| usize::from(load(tables).unwrap().list[0].topic) == FLIGHTS;
        assert!(!first_is_flight(Tables::Before));
        assert!(first_is_flight(Tables::After));
    }
}
