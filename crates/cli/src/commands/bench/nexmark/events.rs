//! Events of an auction house as Nexmark describes them: of fifty one person, three auctions and 46 bids.
//!
//! An event's content depends on the seed and its number alone. Knows no clock and no topic.

use std::io::Write as _;

/// Of so many events in a row ...
const EPOCH: u64 = 50;
/// ... the first is a person, the next three are auctions, the others bids.
const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
/// Numbers of persons and auctions begin here.
const FIRST_ID: u64 = 1_000;
const CATEGORIES: u64 = 5;
const FIRST_CATEGORY: u64 = 10;
/// The first event's time, milliseconds since 1970, and how many events share a millisecond.
const BEGIN_MS: u64 = 1_700_000_000_000;
const EVENTS_PER_MS: u64 = 10;
/// Auctions that are open at a time, and persons that are active.
const OPEN_AUCTIONS: u64 = 100;
const ACTIVE_PERSONS: u64 = 1_000;
/// One of so many is the popular one for ...
const HOT_STRIDE: u64 = 100;
/// Lengths to which records are filled, in bytes.
const PERSON_BYTES: usize = 200;
const AUCTION_BYTES: usize = 500;
const BID_BYTES: usize = 100;

const FIRST_NAMES: [&str; 11] = [
    "Ada", "Blaise", "Carl", "Donald", "Edsger", "Frances", "Grace", "Hedy", "Ida", "John", "Karen",
];
const LAST_NAMES: [&str; 9] = [
    "Abel", "Bell", "Curie", "Dirac", "Euler", "Fermi", "Gauss", "Hopper", "Noether",
];
const STATES: [(&str, &[&str]); 6] = [
    ("az", &["phoenix", "tucson"]),
    ("ca", &["los angeles", "san francisco", "fresno"]),
    ("id", &["boise"]),
    ("or", &["portland", "bend"]),
    ("wa", &["redmond", "seattle", "kent"]),
    ("wy", &["cheyenne"]),
];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;

/// Makes events by their number.
pub(super) struct Events {
    seed: u64,
    /// Times are shuffled within groups of so many events (1: in order).
    disorder: u64,
}

/// Random numbers of one event (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }

    /// From 100 to 100 million, small ones as often as large ones.
    fn price(&mut self) -> u64 {
        let exponent = self.below(1_000_000) as f64 / 1e6 * 6.0;
        (10f64.powf(exponent) * 100.0).round() as u64
    }

    fn letters(&mut self, count: usize, out: &mut Vec<u8>) {
        let mut word = 0;
        for n in 0..count {
            if n % 12 == 0 {
                word = self.next();
            }
            out.push(b'a' + (word % 26) as u8);
            word /= 26;
        }
    }
}

impl Events {
    pub fn new(seed: u64, disorder: u64) -> Self {
        let disorder = disorder.max(1);
        Self { seed, disorder }
    }

    /// Appends event number `n` as a JSON object; answers its time in milliseconds.
    pub fn write(&self, n: u64, out: &mut Vec<u8>) -> u64 {
        let mut dice = Dice(self.seed ^ n.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        dice.next();
        let ts = BEGIN_MS + self.shuffled(n) / EVENTS_PER_MS;
        let begin = out.len();
        let (kind, bytes) = match n % EPOCH {
            r if r < PERSONS => (0, PERSON_BYTES),
            r if r < PERSONS + AUCTIONS => (1, AUCTION_BYTES),
            _ => (2, BID_BYTES),
        };
        match kind {
            0 => person(n, ts, &mut dice, out),
            1 => auction(n, ts, &mut dice, out),
            _ => bid(n, ts, &mut dice, out),
        }
        let fill = bytes.saturating_sub(out.len() - begin) + dice.below(bytes as u64 / 5) as usize;
        dice.letters(fill, out);
        put(
            out,
            format_args!("\"}},\"event_type\":{kind},\"ts\":{ts}}}"),
        );
        ts
    }

    /// A permutation within each group, as 953 has no factor in common with powers of ten.
    fn shuffled(&self, n: u64) -> u64 {
        let first = n - n % self.disorder;
        first + (n % self.disorder) * 953 % self.disorder
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory cannot fail.
    let _ = out.write_fmt(text);
}

/// How many persons and auctions there are before event `n`, itself included.
fn persons(n: u64) -> u64 {
    n / EPOCH * PERSONS + (n % EPOCH + 1).min(PERSONS)
}

fn auctions(n: u64) -> u64 {
    let into = (n % EPOCH + 1).saturating_sub(PERSONS).min(AUCTIONS);
    n / EPOCH * AUCTIONS + into
}

fn active_person(n: u64, dice: &mut Dice) -> u64 {
    let count = persons(n);
    let active = count.min(ACTIVE_PERSONS);
    FIRST_ID + count - active + dice.below(active)
}

fn person(n: u64, ts: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let id = FIRST_ID + persons(n) - 1;
    let (first, last) = (dice.one(&FIRST_NAMES), dice.one(&LAST_NAMES));
    let (state, cities) = STATES[dice.below(STATES.len() as u64) as usize];
    let city = dice.one(cities);
    let mut mail = Vec::new();
    dice.letters(7, &mut mail);
    let mail = String::from_utf8_lossy(&mail);
    let card: [u64; 4] = std::array::from_fn(|_| dice.below(10_000));
    put(
        out,
        format_args!(
            "{{\"auction\":null,\"bid\":null,\"person\":{{\"city\":\"{city}\",\"credit_card\":\"{:04} {:04} {:04} {:04}\",\
             \"date_time\":{ts},\"email_address\":\"{mail}@example.com\",\"id\":{id},\"name\":\"{first} {last}\",\
             \"state\":\"{state}\",\"extra\":\"",
            card[0], card[1], card[2], card[3]
        ),
    );
}

fn auction(n: u64, ts: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let id = FIRST_ID + auctions(n) - 1;
    // Three of four auctions are of somebody popular.
    let seller = match dice.below(4) {
        0 => active_person(n, dice),
        _ => FIRST_ID + (persons(n) - 1) / HOT_STRIDE * HOT_STRIDE,
    };
    let category = FIRST_CATEGORY + dice.below(CATEGORIES);
    let (low, more) = (dice.price(), dice.price());
    let open_ms = OPEN_AUCTIONS * EPOCH / AUCTIONS / EVENTS_PER_MS;
    let expires = ts + 1 + dice.below(open_ms * 2);
    let (mut item, mut text) = (Vec::new(), Vec::new());
    dice.letters(20, &mut item);
    dice.letters(100, &mut text);
    put(
        out,
        format_args!(
            "{{\"bid\":null,\"person\":null,\"auction\":{{\"category\":{category},\"date_time\":{ts},\"description\":\"{}\",\"expires\":{expires},\"id\":{id},\
             \"initial_bid\":{low},\"item_name\":\"{}\",\"reserve\":{},\"seller\":{seller},\"extra\":\"",
            String::from_utf8_lossy(&text),
            String::from_utf8_lossy(&item),
            low + more
        ),
    );
}

fn bid(n: u64, ts: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let newest = auctions(n).max(1) - 1;
    // Every other bid is on the popular auction, three of four are by a popular bidder.
    let auction = match dice.below(2) {
        0 => newest - dice.below(newest.min(OPEN_AUCTIONS) + 1),
        _ => newest / HOT_STRIDE * HOT_STRIDE,
    };
    let bidder = match dice.below(4) {
        0 => active_person(n, dice),
        _ => FIRST_ID + (persons(n) - 1) / HOT_STRIDE * HOT_STRIDE + 1,
    };
    let price = dice.price();
    let (channel, query) = match dice.below(2) {
        0 => (dice.one(&HOT_CHANNELS).to_owned(), String::new()),
        _ => {
            let number = dice.below(CHANNELS);
            (format!("channel-{number}"), format!("&channel_id={number}"))
        }
    };
    let mut path: Vec<u8> = Vec::new();
    for _ in 0..3 {
        dice.letters(4, &mut path);
        path.push(b'/');
    }
    put(
        out,
        format_args!(
            "{{\"auction\":null,\"person\":null,\"bid\":{{\"auction\":{},\"bidder\":{bidder},\"channel\":\"{channel}\",\"date_time\":{ts},\
             \"price\":{price},\"url\":\"https://www.example.com/{}item.htm?query=1{query}\",\"extra\":\"",
            FIRST_ID + auction,
            String::from_utf8_lossy(&path),
        ),
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;

    fn event(events: &Events, n: u64) -> Value {
        let mut out = Vec::new();
        let ts = events.write(n, &mut out);
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["ts"].as_u64(), Some(ts));
        value
    }

    #[test]
    fn of_fifty_events_one_is_a_person_and_three_are_auctions() {
        let events = Events::new(1, 1);
        let mut kinds = [0; 3];
        for n in 0..5_000 {
            let event = event(&events, n);
            let kind = event["event_type"].as_u64().unwrap() as usize;
            kinds[kind] += 1;
            for (at, name) in ["person", "auction", "bid"].iter().enumerate() {
                assert_eq!(event[name].is_object(), at == kind, "{event}");
            }
        }
        assert_eq!(kinds, [100, 300, 4_600]);
    }

    #[test]
    fn bids_are_on_auctions_by_persons_that_are_there() {
        let events = Events::new(3, 1);
        let (mut persons, mut auctions) = (Vec::new(), Vec::new());
        for n in 0..20_000 {
            let event = event(&events, n);
            match event["event_type"].as_u64().unwrap() {
                0 => persons.push(event["person"]["id"].as_u64().unwrap()),
                1 => {
                    auctions.push(event["auction"]["id"].as_u64().unwrap());
                    let auction = &event["auction"];
                    assert!(auction["expires"].as_u64() > auction["date_time"].as_u64());
                    assert!(persons.contains(&auction["seller"].as_u64().unwrap()));
                }
                _ => assert!(auctions.contains(&event["bid"]["auction"].as_u64().unwrap())),
            }
        }
        let ascending: Vec<u64> = (0..persons.len() as u64).map(|n| FIRST_ID + n).collect();
        assert_eq!(persons, ascending);
    }

    #[test]
    fn the_same_seed_gives_the_same_events_and_disorder_only_moves_times() {
        let text = |seed, disorder, n| {
            let mut out = Vec::new();
            let ts = Events::new(seed, disorder).write(n, &mut out);
            (out, ts)
        };
        assert_eq!(text(1, 1, 77), text(1, 1, 77));
        assert_ne!(text(1, 1, 77).0, text(2, 1, 77).0);
        let times = |disorder| {
            (0..1_000)
                .map(|n| text(1, disorder, n).1)
                .collect::<Vec<_>>()
        };
        let (mut shuffled, ordered) = (times(1_000), times(1));
        assert!(!shuffled.is_sorted() && ordered.is_sorted());
        shuffled.sort_unstable();
        assert_eq!(shuffled, ordered);
    }
}
