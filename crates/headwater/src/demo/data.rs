//! The flights data set, embedded: CSV in, JSON events in the order of their event time out. Knows no node and no client.

use std::error::Error;

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
    "carrier",
    "tailnum",
    "origin",
    "dest",
    "time_hour",
    "type",
    "manufacturer",
    "model",
    "engine",
    "name",
    "faa",
    "dst",
    "tzone",
];

/// When the look-up tables arrive, relative to the flights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tables {
    /// Planes, airlines and airports before the first flight, weather hour by hour.
    AsTheyCome,
    /// All of them before the first flight.
    Before,
    /// Weather hour by hour, planes, airlines and airports halfway through the year.
    During,
    /// All of them after the last flight.
    After,
}

/// One record to be produced: a line of its file.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub topic: u8,
    /// Seconds since the epoch: the order of replay.
    pub at_s: i64,
    line: (u32, u32),
}

/// One file of the data set, as text.
struct File {
    csv: Vec<u8>,
    columns: Vec<String>,
}

/// All events in the order of replay. They are turned into JSON one by one, as they are sent: the year as JSON would take 120 MB.
pub struct Events {
    files: Vec<File>,
    pub list: Vec<Event>,
}

impl Events {
    /// Writes key and value of an event over what the buffers hold.
    pub fn encode(&self, event: &Event, key: &mut Vec<u8>, value: &mut Vec<u8>) {
        let topic = usize::from(event.topic);
        let File { csv, columns } = &self.files[topic];
        let line = &csv[event.line.0 as usize..event.line.1 as usize];
        key.clear();
        value.clear();
        write_key(topic, columns, line, key);
        write_value(columns, line, value);
    }
}

/// Reads the data set and puts it into the order of replay.
pub fn load(tables: Tables) -> Result<Events, Box<dyn Error + Send + Sync>> {
    let mut events = Events {
        files: Vec::new(),
        list: Vec::with_capacity(367_687),
    };
    for (topic, file) in FILES.iter().enumerate() {
        let csv = zstd::decode_all(*file)?;
        events.files.push(read_file(topic, csv, &mut events.list)?);
    }
    place_tables(&mut events.list, tables);
    events.list.sort_by_key(|event| event.at_s);
    Ok(events)
}

/// Gives events that are not flights their place in the replay.
fn place_tables(list: &mut [Event], tables: Tables) {
    let flights = || {
        list.iter()
            .filter(|e| usize::from(e.topic) == FLIGHTS)
            .map(|e| e.at_s)
    };
    let (first, last) = (flights().min().unwrap_or(0), flights().max().unwrap_or(0));
    for event in list.iter_mut().filter(|e| usize::from(e.topic) != FLIGHTS) {
        let is_weather = event.at_s != 0;
        event.at_s = match tables {
            Tables::AsTheyCome | Tables::During if is_weather => event.at_s,
            Tables::AsTheyCome | Tables::Before => first - 1,
            Tables::During => first + (last - first) / 2,
            Tables::After => last + 1,
        };
    }
}

fn read_file(
    topic: usize,
    csv: Vec<u8>,
    list: &mut Vec<Event>,
) -> Result<File, Box<dyn Error + Send + Sync>> {
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let columns: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let mut row = csv::StringRecord::new();
    loop {
        let start = reader.position().byte();
        if !reader.read_record(&mut row)? {
            break;
        }
        let line = (
            u32::try_from(start)?,
            u32::try_from(reader.position().byte())?,
        );
        list.push(Event {
            topic: u8::try_from(topic)?,
            at_s: event_time(&columns, &row)?,
            line,
        });
    }
    Ok(File { csv, columns })
}

fn field<'a>(columns: &[String], row: &'a csv::StringRecord, name: &str) -> &'a str {
    columns
        .iter()
        .position(|c| c == name)
        .and_then(|at| row.get(at))
        .unwrap_or("")
}

/// Fields of one line. Quotes around a field are taken off; the data set has none inside a field.
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let split = line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    split.map(|field| {
        field
            .strip_prefix(b"\"")
            .and_then(|f| f.strip_suffix(b"\""))
            .unwrap_or(field)
    })
}

/// Flights are spread by flight number, tables are keyed by their primary key.
fn write_key(topic: usize, columns: &[String], line: &[u8], out: &mut Vec<u8>) {
    let get = |name| {
        let at = columns.iter().position(|column| column == name);
        at.and_then(|at| fields(line).nth(at)).unwrap_or_default()
    };
    let parts: &[&[u8]] = match TOPICS[topic] {
        "flights" => &[get("carrier"), get("flight")],
        "weather" => &[
            b"{\"origin\":\"",
            get("origin"),
            b"\",\"time_hour\":\"",
            get("time_hour"),
            b"\"}",
        ],
        _ => &[fields(line).next().unwrap_or_default()],
    };
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// One JSON object; `NA` is left out, which reads as NULL.
fn write_value(columns: &[String], line: &[u8], out: &mut Vec<u8>) {
    let mut before = b'{';
    for (name, text) in columns
        .iter()
        .zip(fields(line))
        .filter(|(_, text)| *text != b"NA")
    {
        out.extend_from_slice(&[before, b'"']);
        before = b',';
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        if TEXT.contains(&name.as_str()) {
            write_text(text, out);
        } else {
            out.extend_from_slice(text);
        }
    }
    out.push(b'}');
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// `time_hour` plus the minute; 0 where there is none.
fn event_time(
    columns: &[String],
    row: &csv::StringRecord,
) -> Result<i64, Box<dyn Error + Send + Sync>> {
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
        let count = |topic: usize| {
            events
                .list
                .iter()
                .filter(|e| usize::from(e.topic) == topic)
                .count()
        };
        assert_eq!(
            [0, 1, 2, 3, 4].map(count),
            [336_776, 26_115, 3_322, 16, 1_458]
        );
        assert!(events.list.is_sorted_by_key(|e| e.at_s));
        let first = events
            .list
            .iter()
            .find(|e| usize::from(e.topic) == FLIGHTS)
            .unwrap();
        assert_eq!(first.at_s, 1_357_035_300); // 2013-01-01T10:15:00Z
        let (mut key, mut value) = (Vec::new(), Vec::new());
        events.encode(first, &mut key, &mut value);
        assert_eq!(key, b"UA1545");
        let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(
            (value["tailnum"].as_str(), value["dep_delay"].as_i64()),
            (Some("N14228"), Some(2))
        );
    }

    #[test]
    fn every_event_is_json_with_its_key() {
        let events = load(Tables::AsTheyCome).unwrap();
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for event in &events.list {
            events.encode(event, &mut key, &mut value);
            assert!(
                serde_json::from_slice::<serde_json::Value>(&value).is_ok(),
                "{}",
                String::from_utf8_lossy(&value)
            );
            assert!(!key.is_empty());
        }
    }

    #[test]
    fn tables_come_when_they_are_told_to() {
        let first_is_flight = |tables| usize::from(load(tables).unwrap().list[0].topic) == FLIGHTS;
        assert!(!first_is_flight(Tables::Before));
        assert!(first_is_flight(Tables::After));
    }
}
