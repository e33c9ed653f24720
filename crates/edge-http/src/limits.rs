//! Every limit of the HTTP side, with its unit.

use std::time::Duration;

/// Body of a POST: a pipeline folder fits with room to spare.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// How long a POST's body may take to arrive.
pub const BODY_PAUSE: Duration = Duration::from_secs(30);
/// Bytes of a key, value or header that are shown.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 10;
/// Records of a topic in one answer.
pub const RECORDS_MAX: usize = 500;
/// Rows of a view in one answer.
pub const ROWS_MAX: usize = 10_000;
/// Dead letters in one answer.
pub const DEAD_LETTERS_MAX: usize = 500;
/// Server-sent event streams open at once, all kinds together.
pub const STREAMS_MAX: usize = 64;
/// Changes of a view in one event; what is more makes the page read the rows anew.
pub const CHANGES_PER_EVENT_MAX: usize = 1_000;
/// Changes of a view are gathered this long into one event.
pub const CHANGES_PAUSE: Duration = Duration::from_millis(250);
/// Connections open at once; further ones wait in the listener's queue.
pub const CONNECTIONS_MAX: usize = 512;
/// Statements running at once; further ones are told to come back.
pub const STATEMENTS_MAX: usize = 32;
/// A connection whose peer takes nothing for this long is closed: nobody holds memory by not reading.
pub const WRITE_STALL: Duration = Duration::from_secs(20);
/// Open requests may take this long to finish once the node stops.
pub const SHUTDOWN_PAUSE: Duration = Duration::from_secs(3);
/// Totals that rates are derived from, remembered at once.
pub const RATES_MAX: usize = 20_000;
/// Pause between overviews of the live stream.
pub const LIVE_PAUSE: Duration = Duration::from_secs(1);
/// Comment lines that keep a silent stream from being closed on its way.
pub const KEEP_ALIVE_PAUSE: Duration = Duration::from_secs(15);
/// Seconds of throughput and lag that are kept for charts.
pub const HISTORY_SAMPLES: usize = 300;
